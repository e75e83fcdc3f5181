"""A client of A2A 0.3 (the one in a2a-sdk) against our host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, create_client
from a2a.types import CancelTaskRequest, GetTaskRequest, SubscribeToTaskRequest, TaskState
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError

from mesh import Mesh
from official import chunk, parts, request, said, send, state, stream
from wire import PATIENCE


async def _old(mesh: Mesh, *, streaming: bool) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        card = await A2ACardResolver(http, mesh.agents["scripted"]).get_agent_card()
        (old,) = [i for i in card.supported_interfaces if i.protocol_version == "0.3"]
        del card.supported_interfaces[:]
        card.supported_interfaces.append(old)
        async with await create_client(card, ClientConfig(httpx_client=http, streaming=streaming)) as client:
            yield client


@pytest.fixture
async def client(mesh: Mesh) -> AsyncIterator[Client]:
    async for client in _old(mesh, streaming=True):
        yield client


@pytest.fixture
async def blocking_client(mesh: Mesh) -> AsyncIterator[Client]:
    async for client in _old(mesh, streaming=False):
        yield client


async def test_a_blocking_send_returns_the_ended_task(blocking_client: Client) -> None:
    task = await send(blocking_client, "bench")
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert [part.split(" of ")[0] for part in parts(task)] == [f"chunk {n}" for n in range(1, 11)]
    assert await blocking_client.get_task(GetTaskRequest(id=task.id)) == task


async def test_a_stream_has_every_chunk_in_order_and_ends(client: Client) -> None:
    events = await stream(client, "bench")
    assert events[0].HasField("task")
    assert [text.split(" of ")[0] for text in map(chunk, events) if text] == [
        f"chunk {n}" for n in range(1, 11)
    ]
    assert state(events[-1]) == TaskState.TASK_STATE_COMPLETED


async def test_a_task_asks_and_goes_on_with_the_answer(blocking_client: Client) -> None:
    asked = await send(blocking_client, "ask Who?")
    assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert said(asked) == "Who?"
    ended = await send(blocking_client, "Ada", task_id=asked.id)
    assert ended.status.state == TaskState.TASK_STATE_COMPLETED
    assert len(ended.history) >= 2


async def test_a_running_task_can_be_tapped_and_canceled_once(client: Client, tmp_path: Path) -> None:
    events = client.send_message(request(f"wait-file {tmp_path / 'file'}"))
    task = (await anext(events)).task
    tap = client.subscribe(SubscribeToTaskRequest(id=task.id))
    assert (await anext(tap)).task.id == task.id
    canceled = await client.cancel_task(CancelTaskRequest(id=task.id))
    assert canceled.status.state == TaskState.TASK_STATE_CANCELED
    assert state([event async for event in tap][-1]) == TaskState.TASK_STATE_CANCELED
    assert state([event async for event in events][-1]) == TaskState.TASK_STATE_CANCELED
    with pytest.raises(TaskNotCancelableError):
        await client.cancel_task(CancelTaskRequest(id=task.id))


async def test_an_unknown_task_is_not_found(client: Client) -> None:
    with pytest.raises(TaskNotFoundError):
        await client.get_task(GetTaskRequest(id="nobody"))
