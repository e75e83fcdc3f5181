"""The official Python client and the official Python server, alone and with the gateway between them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, create_client
from a2a.types import (
    AgentCard,
    AgentInterface,
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotFoundError

from mesh import Mesh
from official import chunk, connect, parts, request, said, send, state, stream
from suites import DOORS
from wire import PATIENCE

pytestmark = DOORS

SERVER = Path(__file__).parent / "servers" / "sdk_server.py"
CARD = "/cards/words.json"
CHUNKS = [f"chunk {n} of 10" for n in range(1, 11)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that is not ours."""
    process = subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def mesh(start_shared_mesh: Callable[..., Mesh], server: str) -> Mesh:
    return start_shared_mesh({"directory": {"agents": {"words": {"url": server, "card_path": CARD}}}})


@pytest.fixture
async def card(mesh: Mesh, server: str, door: str) -> AgentCard:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        if door == "host":
            return await A2ACardResolver(http, server, agent_card_path=CARD).get_agent_card()
        return await A2ACardResolver(http, f"{mesh.gateway}/agents/words").get_agent_card()


@pytest.fixture
async def client(card: AgentCard, binding: str) -> AsyncIterator[Client]:
    keep(card, binding, "1.0")
    async with connect(card, binding) as client:
        yield client


@pytest.fixture
async def blocking_client(card: AgentCard, binding: str) -> AsyncIterator[Client]:
    keep(card, binding, "1.0")
    async with connect(card, binding, streaming=False) as client:
        yield client


def is_for(interface: AgentInterface, binding: str, version: str) -> bool:
    return (interface.protocol_binding, interface.protocol_version) == (binding, version)


def keep(card: AgentCard, binding: str, version: str) -> None:
    """Leaves one interface in a card."""
    fits = [i for i in card.supported_interfaces if is_for(i, binding, version)]
    del card.supported_interfaces[:]
    card.supported_interfaces.extend(fits[:1])


async def test_a_stream_has_every_chunk_in_order_and_ends(client: Client) -> None:
    events = await stream(client, "chunks")
    assert [text for event in events if (text := chunk(event))] == CHUNKS
    assert state(events[-1]) == TaskState.TASK_STATE_COMPLETED


async def test_a_blocking_send_returns_the_task_which_can_be_read_and_listed(blocking_client: Client) -> None:
    task = await send(blocking_client, "chunks")
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert len(parts(task)) == 10
    assert (await blocking_client.get_task(GetTaskRequest(id=task.id))).id == task.id
    listed = await blocking_client.list_tasks(ListTasksRequest(context_id=task.context_id))
    assert [found.id for found in listed.tasks] == [task.id]


async def test_a_task_asks_and_goes_on_with_the_answer(blocking_client: Client) -> None:
    asked = await send(blocking_client, "ask")
    assert (asked.status.state, said(asked)) == (TaskState.TASK_STATE_INPUT_REQUIRED, "Who?")
    ended = await send(blocking_client, "Ada", task_id=asked.id, context_id=asked.context_id)
    assert ended.status.state == TaskState.TASK_STATE_COMPLETED


async def test_a_running_task_can_be_tapped_and_canceled(client: Client, blocking_client: Client) -> None:
    events = client.send_message(request("wait"))
    task = (await anext(events)).task
    tap = client.subscribe(SubscribeToTaskRequest(id=task.id))
    assert (await anext(tap)).task.id == task.id
    canceled = await blocking_client.cancel_task(CancelTaskRequest(id=task.id))
    assert canceled.status.state == TaskState.TASK_STATE_CANCELED
    assert state([event async for event in tap][-1]) == TaskState.TASK_STATE_CANCELED
    await events.aclose()


async def test_an_unknown_task_is_not_found(blocking_client: Client) -> None:
    with pytest.raises(TaskNotFoundError):
        await blocking_client.get_task(GetTaskRequest(id="nobody"))


async def test_the_extended_card_has_the_addresses_of_the_door(
    client: Client, mesh: Mesh, door: str, server: str
) -> None:
    extended = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
    (rpc,) = [i for i in extended.supported_interfaces if is_for(i, "JSONRPC", "1.0")]
    assert rpc.url == (f"{server}/rpc" if door == "host" else f"{mesh.gateway}/agents/words")


@pytest.mark.parametrize("old", ["JSONRPC", "HTTP+JSON"])
async def test_the_client_of_zero_point_three(card: AgentCard, old: str) -> None:
    keep(card, old, "0.3")
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[old])
        async with await create_client(card, config) as client:
            events = await stream(client, "chunks")
            assert [text for event in events if (text := chunk(event))] == CHUNKS
            task = await client.get_task(GetTaskRequest(id=events[0].task.id))
            assert task.status.state == TaskState.TASK_STATE_COMPLETED
