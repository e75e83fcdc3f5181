"""A client of A2A 0.3 (the one in a2a-sdk) against our host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from a2a.client import A2ACardResolver, Client, ClientConfig, create_client
from a2a.types import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)

from mesh import Mesh, scripted_agent
from official import chunk, parts, request, said, send, state, stream
from suites import DOORS
from wire import PATIENCE

pytestmark = DOORS


@pytest.fixture(scope="module")
def mesh(start_shared_mesh: Callable[..., Mesh], door: str) -> Mesh:
    """A mesh that notifies this machine."""
    config = {"push": {"allow": ["127.0.0.0/8"]}, "agents": {"scripted": scripted_agent()}}
    return start_shared_mesh(config).at(door)


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


async def test_who_leaves_in_mid_stream_and_comes_back_has_missed_nothing(
    client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    events = client.send_message(request(f"chunks 3 && wait-file {file} && chunks 3"))
    task = (await anext(events)).task
    async for event in events:
        if chunk(event) == "waiting; ":
            break
    await events.aclose()
    again = client.subscribe(SubscribeToTaskRequest(id=task.id))
    snapshot = parts((await anext(again)).task)
    file.touch()
    texts = [text async for event in again if (text := chunk(event))]
    assert [text.split(" of ")[0] for text in texts] == ["chunk 1", "chunk 2", "chunk 3"]
    assert parts(await client.get_task(GetTaskRequest(id=task.id))) == snapshot + texts


async def test_the_stream_of_a_message_ends_where_the_task_asks(client: Client) -> None:
    asked = await stream(client, "ask Who? && chunks 2")
    assert state(asked[-1]) == TaskState.TASK_STATE_INPUT_REQUIRED
    answered = await stream(client, "Ada", task_id=asked[0].task.id)
    assert state(answered[-1]) == TaskState.TASK_STATE_COMPLETED
    task = await client.get_task(GetTaskRequest(id=asked[0].task.id))
    assert [part.split(" of ")[0] for part in parts(task)] == ["Ada", "chunk 1", "chunk 2"]


async def test_a_push_configuration_is_created_read_listed_and_deleted(blocking_client: Client) -> None:
    task = await send(blocking_client, "ask Who?")
    config = TaskPushNotificationConfig(task_id=task.id, id="hook", url="http://127.0.0.1:1/hook", token="t")
    assert await blocking_client.create_task_push_notification_config(config) == config
    named = GetTaskPushNotificationConfigRequest(task_id=task.id, id="hook")
    assert await blocking_client.get_task_push_notification_config(named) == config
    every = ListTaskPushNotificationConfigsRequest(task_id=task.id)
    assert list((await blocking_client.list_task_push_notification_configs(every)).configs) == [config]
    gone = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="hook")
    await blocking_client.delete_task_push_notification_config(gone)
    with pytest.raises(TaskNotFoundError):
        await blocking_client.get_task_push_notification_config(named)


async def test_an_unknown_task_is_not_found(client: Client) -> None:
    with pytest.raises(TaskNotFoundError):
        await client.get_task(GetTaskRequest(id="nobody"))
    with pytest.raises(TaskNotFoundError):
        await anext(client.subscribe(SubscribeToTaskRequest(id="nobody")))
    with pytest.raises(TaskNotFoundError):
        await stream(client, "bench", task_id="nobody")


async def test_an_ended_task_takes_nothing_more(client: Client, blocking_client: Client) -> None:
    task = await send(blocking_client, "bench")
    with pytest.raises(TaskNotCancelableError):
        await blocking_client.cancel_task(CancelTaskRequest(id=task.id))
    with pytest.raises(UnsupportedOperationError):
        await send(blocking_client, "more", task_id=task.id)
    with pytest.raises(UnsupportedOperationError):
        await anext(client.subscribe(SubscribeToTaskRequest(id=task.id)))


async def test_a_message_without_parts_is_refused(blocking_client: Client) -> None:
    empty = request("bench")
    del empty.message.parts[:]
    with pytest.raises(InvalidParamsError):
        [event async for event in blocking_client.send_message(empty)]
