"""The official Python client (a2a-sdk, unmodified) against our host, by each of its bindings."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from a2a.client import A2ACardResolver, Client, ClientCallContext
from a2a.helpers import get_message_text
from a2a.types import (
    CancelTaskRequest,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTasksRequest,
    Role,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.errors import (
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
    VersionNotSupportedError,
)
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from mesh import Mesh
from official import ENDED, chunk, connect, parts, request, said, send, state, stream
from suites import DOORS
from wire import Rpc

pytestmark = DOORS


async def start_waiting(client: Client, file: Path) -> tuple[Task, AsyncIterator[StreamResponse]]:
    """A task whose worker waits for the file, and the rest of its stream."""
    events = client.send_message(request(f"wait-file {file} && chunks 3"))
    first = await anext(events)
    async for event in events:
        if chunk(event) == "waiting; ":
            return first.task, events
    raise AssertionError("the task does not wait")


async def test_it_resolves_the_card(mesh: Mesh, rpc: Rpc) -> None:
    url = mesh.agents["scripted"]
    card = await A2ACardResolver(rpc.http, url).get_agent_card()
    assert card.name == "scripted"
    assert card.capabilities.streaming
    assert card.capabilities.push_notifications
    extensions = {extension.uri: extension.required for extension in card.capabilities.extensions}
    assert "urn:agentmesh:a2a-extension:event-log:v1" in extensions
    assert not any(extensions.values()), "nothing is required of clients"
    served = [(i.protocol_binding, i.protocol_version, i.url) for i in card.supported_interfaces]
    if url.startswith(mesh.gateway):
        assert served == [
            ("JSONRPC", "1.0", url),
            ("GRPC", "1.0", mesh.gateway.removeprefix("http://")),
            ("HTTP+JSON", "1.0", url),
            ("JSONRPC", "0.3", url),
        ]
        return
    assert served == [
        ("JSONRPC", "1.0", f"{url}/"),
        ("GRPC", "1.0", url.removeprefix("http://")),
        ("HTTP+JSON", "1.0", url),
        ("JSONRPC", "0.3", f"{url}/"),
    ]


async def test_a_card_that_has_not_changed_is_not_sent_again(rpc: Rpc) -> None:
    path = "/.well-known/agent-card.json"
    first = await rpc.http.get(path)
    assert first.status_code == 200
    assert "max-age" in first.headers["cache-control"]
    again = await rpc.http.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_blocking_send_returns_the_ended_task(blocking_client: Client) -> None:
    task = await send(blocking_client, "bench")
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    assert [part.split(" of ")[0] for part in parts(task)] == [f"chunk {n}" for n in range(1, 11)]
    assert task.history[0].parts[0].text == "bench"
    assert task.status.HasField("timestamp")


async def test_a_send_that_does_not_wait_returns_a_task_that_runs(
    polling_client: Client, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    task = await send(polling_client, f"wait-file {file}")
    assert task.status.state not in ENDED
    subscription = client.subscribe(SubscribeToTaskRequest(id=task.id))
    assert (await anext(subscription)).task.id == task.id
    file.touch()
    assert state([event async for event in subscription][-1]) == TaskState.TASK_STATE_COMPLETED


async def test_a_stream_has_every_chunk_in_order_and_ends(client: Client) -> None:
    events = await stream(client, "status 2 && chunks 500 100")
    assert events[0].HasField("task")
    assert not any(event.HasField("task") for event in events[1:])
    texts = [text for event in events if (text := chunk(event))]
    assert [text.split(" of ")[0] for text in texts] == [f"chunk {n}" for n in range(1, 501)]
    updates = [event.artifact_update for event in events if event.HasField("artifact_update")]
    assert [update.append for update in updates] == [False] + [True] * 499
    assert [update.last_chunk for update in updates] == [False] * 499 + [True]
    states = [s for event in events if (s := state(event))]
    assert states[0] == TaskState.TASK_STATE_SUBMITTED
    assert states[-1] == TaskState.TASK_STATE_COMPLETED
    assert set(states[1:-1]) == {TaskState.TASK_STATE_WORKING}
    assert state(events[-1]) == TaskState.TASK_STATE_COMPLETED


async def test_the_task_afterwards_is_what_the_stream_said(client: Client) -> None:
    events = await stream(client, "echo zwölf Boxkämpfer 🥊 && chunks 20")
    task = await client.get_task(GetTaskRequest(id=events[0].task.id))
    assert parts(task) == [text for event in events if (text := chunk(event))]
    assert parts(task)[0] == "zwölf Boxkämpfer 🥊"


async def test_sixty_four_streams_at_once_get_each_their_own(client: Client) -> None:
    async def one(number: int) -> None:
        events = await stream(client, f"echo number {number} && chunks 50")
        ids = {e.artifact_update.task_id for e in events if e.HasField("artifact_update")}
        texts = [text for event in events if (text := chunk(event))]
        assert ids == {events[0].task.id}
        assert texts[0] == f"number {number}"
        assert len(texts) == 51

    async with asyncio.TaskGroup() as group:
        for number in range(64):
            group.create_task(one(number))


async def test_get_task_gives_as_much_history_as_is_asked_for(blocking_client: Client) -> None:
    task = await send(blocking_client, "ask first? && ask second?")
    task = await send(blocking_client, "one", task_id=task.id)
    task = await send(blocking_client, "two", task_id=task.id)
    assert task.status.state == TaskState.TASK_STATE_COMPLETED
    whole = (await blocking_client.get_task(GetTaskRequest(id=task.id))).history
    said_by_user = [m.parts[0].text for m in whole if m.role == Role.ROLE_USER]
    assert said_by_user == ["ask first? && ask second?", "one", "two"]
    for length in (0, 1, 2, len(whole), 100):
        got = await blocking_client.get_task(GetTaskRequest(id=task.id, history_length=length))
        assert list(got.history) == list(whole)[len(whole) - min(length, len(whole)) :]


async def test_list_tasks_goes_through_all_pages_newest_first(blocking_client: Client) -> None:
    context = str(uuid.uuid4())
    sent = [(await send(blocking_client, f"echo {n}", context_id=context)).id for n in range(5)]
    listed: list[Task] = []
    token, sizes = "", []
    while True:
        page = await blocking_client.list_tasks(
            ListTasksRequest(context_id=context, page_size=2, page_token=token)
        )
        assert (page.total_size, page.page_size) == (5, 2)
        sizes.append(len(page.tasks))
        listed += page.tasks
        token = page.next_page_token
        if not token:
            break
    assert sizes == [2, 2, 1]
    assert sorted(task.id for task in listed) == sorted(sent)
    times = [task.status.timestamp.ToNanoseconds() for task in listed]
    assert times == sorted(times, reverse=True)
    assert not any(task.artifacts for task in listed)


async def test_list_tasks_has_artifacts_only_on_request(blocking_client: Client) -> None:
    context = str(uuid.uuid4())
    await send(blocking_client, "echo here", context_id=context)
    page = await blocking_client.list_tasks(ListTasksRequest(context_id=context, include_artifacts=True))
    assert parts(page.tasks[0]) == ["here"]


async def test_list_tasks_filters_by_state_and_time(blocking_client: Client) -> None:
    context = str(uuid.uuid4())
    done = await send(blocking_client, "echo done", context_id=context)
    failed = await send(blocking_client, "fail on purpose", context_id=context)
    waits = await send(blocking_client, "ask why?", context_id=context)

    async def listed(**filters: object) -> set[str]:
        page = await blocking_client.list_tasks(ListTasksRequest(context_id=context, **filters))
        return {task.id for task in page.tasks}

    assert await listed() == {done.id, failed.id, waits.id}
    assert await listed(status=TaskState.TASK_STATE_COMPLETED) == {done.id}
    assert await listed(status=TaskState.TASK_STATE_FAILED) == {failed.id}
    assert await listed(status=TaskState.TASK_STATE_INPUT_REQUIRED) == {waits.id}
    assert await listed(status=TaskState.TASK_STATE_WORKING) == set()
    # The bound itself belongs to the result.
    assert waits.id in await listed(status_timestamp_after=waits.status.timestamp)
    later = Timestamp(seconds=waits.status.timestamp.seconds + 3600)
    assert await listed(status_timestamp_after=later) == set()


@pytest.mark.parametrize("size", [-1, 101])
async def test_list_tasks_refuses_page_sizes_out_of_range(client: Client, size: int) -> None:
    with pytest.raises(InvalidParamsError, match="pageSize"):
        await client.list_tasks(ListTasksRequest(page_size=size))


async def test_a_running_task_can_be_canceled_once(client: Client) -> None:
    events = client.send_message(request("hang"))
    task = (await anext(events)).task
    async for event in events:
        if event.HasField("status_update") and "hanging" in get_message_text(
            event.status_update.status.message
        ):
            break
    canceled = await client.cancel_task(CancelTaskRequest(id=task.id))
    assert canceled.status.state == TaskState.TASK_STATE_CANCELED
    rest = [event async for event in events]
    assert [state(event) for event in rest] == [TaskState.TASK_STATE_CANCELED]
    with pytest.raises(TaskNotCancelableError):
        await client.cancel_task(CancelTaskRequest(id=task.id))


async def test_a_completed_task_cannot_be_canceled(client: Client, blocking_client: Client) -> None:
    task = await send(blocking_client, "bench")
    with pytest.raises(TaskNotCancelableError):
        await client.cancel_task(CancelTaskRequest(id=task.id))


async def test_a_canceled_task_stays_canceled_whatever_its_worker_says(
    client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    task, events = await start_waiting(client, file)
    await client.cancel_task(CancelTaskRequest(id=task.id))
    file.touch()
    assert [state(event) async for event in events] == [TaskState.TASK_STATE_CANCELED]
    after = await client.get_task(GetTaskRequest(id=task.id))
    assert after.status.state == TaskState.TASK_STATE_CANCELED
    assert parts(after) == ["waiting; "]


async def test_a_subscriber_gets_a_snapshot_and_everything_after_it(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "go"
    task, events = await start_waiting(client, file)
    subscription = client.subscribe(SubscribeToTaskRequest(id=task.id))
    snapshot = (await anext(subscription)).task
    assert snapshot.status.state == TaskState.TASK_STATE_WORKING
    assert parts(snapshot) == ["waiting; "]
    file.touch()
    rest = [event async for event in subscription]
    assert rest == [event async for event in events]
    texts = [text for event in rest if (text := chunk(event))]
    assert [text.split(" of ")[0] for text in texts] == ["chunk 1", "chunk 2", "chunk 3"]
    assert state(rest[-1]) == TaskState.TASK_STATE_COMPLETED


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
    assert [text.split(" of ")[0] for text in snapshot] == ["chunk 1", "chunk 2", "chunk 3", "waiting; "]
    file.touch()
    rest = [event async for event in again]
    texts = [text for event in rest if (text := chunk(event))]
    assert [text.split(" of ")[0] for text in texts] == ["chunk 1", "chunk 2", "chunk 3"]
    assert state(rest[-1]) == TaskState.TASK_STATE_COMPLETED
    assert parts(await client.get_task(GetTaskRequest(id=task.id))) == snapshot + texts


async def test_a_task_that_asks_can_be_subscribed_to_and_is_followed_through_the_answer(
    client: Client, blocking_client: Client
) -> None:
    asked = await send(blocking_client, "ask who are you? && chunks 2")
    tap = client.subscribe(SubscribeToTaskRequest(id=asked.id))
    assert (await anext(tap)).task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    await send(blocking_client, "Ada", task_id=asked.id)
    rest = [event async for event in tap]
    assert [text.split(" of ")[0] for event in rest if (text := chunk(event))] == [
        "Ada",
        "chunk 1",
        "chunk 2",
    ]
    assert state(rest[-1]) == TaskState.TASK_STATE_COMPLETED


async def test_subscribing_to_an_ended_task_is_unsupported(client: Client, blocking_client: Client) -> None:
    task = await send(blocking_client, "bench")
    with pytest.raises(UnsupportedOperationError):
        await anext(client.subscribe(SubscribeToTaskRequest(id=task.id)))


async def test_a_task_asks_and_goes_on_with_the_answer(blocking_client: Client) -> None:
    task = await send(blocking_client, "echo before && ask who are you? && echo after")
    assert task.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
    assert said(task) == "who are you?"
    assert parts(task) == ["before"]
    answered = await send(blocking_client, "Ada", task_id=task.id, context_id=task.context_id)
    assert answered.id == task.id
    assert answered.status.state == TaskState.TASK_STATE_COMPLETED
    assert parts(answered) == ["before", "Ada", "after"]


async def test_the_stream_of_a_message_ends_where_the_task_asks(client: Client) -> None:
    asked = await stream(client, "ask who are you? && chunks 2")
    assert state(asked[-1]) == TaskState.TASK_STATE_INPUT_REQUIRED
    answered = await stream(client, "Ada", task_id=asked[0].task.id)
    assert answered[0].task.id == asked[0].task.id
    assert state(answered[-1]) == TaskState.TASK_STATE_COMPLETED
    task = await client.get_task(GetTaskRequest(id=asked[0].task.id))
    assert [part.split(" of ")[0] for part in parts(task)] == ["Ada", "chunk 1", "chunk 2"]


async def test_a_task_can_wait_for_authorization(blocking_client: Client) -> None:
    task = await send(blocking_client, "authorize may I?")
    assert task.status.state == TaskState.TASK_STATE_AUTH_REQUIRED
    assert parts(await send(blocking_client, "yes", task_id=task.id)) == ["yes"]


async def test_a_task_that_waits_can_be_canceled(blocking_client: Client) -> None:
    task = await send(blocking_client, "ask who are you?")
    canceled = await blocking_client.cancel_task(CancelTaskRequest(id=task.id))
    assert canceled.status.state == TaskState.TASK_STATE_CANCELED


async def test_a_failed_task_says_why(blocking_client: Client) -> None:
    task = await send(blocking_client, "chunks 2 && fail the disk is on fire")
    assert task.status.state == TaskState.TASK_STATE_FAILED
    assert said(task) == "the disk is on fire"
    assert len(parts(task)) == 2


async def test_a_task_can_be_rejected(blocking_client: Client) -> None:
    task = await send(blocking_client, "reject not my job")
    assert (task.status.state, said(task)) == (TaskState.TASK_STATE_REJECTED, "not my job")


async def test_an_unknown_task_is_not_found(client: Client) -> None:
    unknown = str(uuid.uuid4())
    with pytest.raises(TaskNotFoundError):
        await client.get_task(GetTaskRequest(id=unknown))
    with pytest.raises(TaskNotFoundError):
        await client.cancel_task(CancelTaskRequest(id=unknown))
    with pytest.raises(TaskNotFoundError):
        await anext(client.subscribe(SubscribeToTaskRequest(id=unknown)))
    with pytest.raises(TaskNotFoundError):
        await stream(client, "bench", task_id=unknown)


async def test_an_ended_task_takes_no_more_messages(blocking_client: Client) -> None:
    task = await send(blocking_client, "bench")
    with pytest.raises(UnsupportedOperationError):
        await send(blocking_client, "more", task_id=task.id)


async def test_a_message_for_a_task_must_name_its_context_or_none(blocking_client: Client) -> None:
    task = await send(blocking_client, "ask who are you?")
    with pytest.raises(InvalidParamsError):
        await send(blocking_client, "Ada", task_id=task.id, context_id=str(uuid.uuid4()))
    unchanged = await blocking_client.get_task(GetTaskRequest(id=task.id))
    assert unchanged == task


async def test_the_same_message_again_is_the_same_task(client: Client, blocking_client: Client) -> None:
    message_id = str(uuid.uuid4())
    first = await send(blocking_client, "bench", message_id=message_id)
    second = await send(blocking_client, "bench", message_id=message_id)
    assert second == first
    streamed = await stream(client, "bench", message_id=message_id)
    assert [event.task for event in streamed] == [first]


async def test_the_same_message_many_times_at_once_is_one_task(blocking_client: Client) -> None:
    message_id, context = str(uuid.uuid4()), str(uuid.uuid4())
    sends = [send(blocking_client, "chunks 5", message_id=message_id, context_id=context) for _ in range(16)]
    tasks = await asyncio.gather(*sends)
    assert len({task.id for task in tasks}) == 1
    assert all(len(parts(task)) == 5 for task in tasks)
    listed = await blocking_client.list_tasks(ListTasksRequest(context_id=context))
    assert listed.total_size == 1


async def test_another_tenant_finds_nothing(
    client: Client, blocking_client: Client, door: str, binding: str
) -> None:
    if (door, binding) == ("gateway", "GRPC"):
        pytest.skip("there the tenant names the agent")
    task = await send(blocking_client, "ask who are you?")
    other = {"id": task.id, "tenant": "other"}
    with pytest.raises(TaskNotFoundError):
        await client.get_task(GetTaskRequest(**other))
    with pytest.raises(TaskNotFoundError):
        await client.cancel_task(CancelTaskRequest(**other))
    with pytest.raises(TaskNotFoundError):
        await anext(client.subscribe(SubscribeToTaskRequest(**other)))
    assert (await client.list_tasks(ListTasksRequest(tenant="other"))).total_size == 0
    with pytest.raises((TaskNotFoundError, InvalidParamsError)):
        await send(blocking_client, "Ada", task_id=task.id, tenant="other")
    assert await client.get_task(GetTaskRequest(id=task.id)) == task


async def test_a_message_keeps_its_parts_and_metadata(client: Client) -> None:
    wanted = request("bench")
    more = {
        "metadata": {"nested": {"list": [1, 2.5, None, "x"]}, "": "empty"},
        "referenceTaskIds": ["another"],
        "parts": [
            {"text": "bench", "metadata": {"language": "en"}},
            {"data": {"deep": [{"a": 1}]}, "mediaType": "application/json"},
            {"raw": "AP8=", "filename": "bytes.bin", "mediaType": "application/octet-stream"},
            {"url": "https://example.org/file", "filename": "file"},
        ],
    }
    ParseDict(more, wanted.message)
    expected = MessageToDict(wanted.message)
    assert len(expected["parts"]) == 4
    events = [event async for event in client.send_message(wanted)]
    kept = MessageToDict((await client.get_task(GetTaskRequest(id=events[0].task.id))).history[0])
    assert {name: kept.get(name) for name in expected} == expected


async def test_a_version_that_is_not_spoken_is_refused(
    client: Client, blocking_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Over gRPC the client says its own version besides, and first.
    monkeypatch.setattr("a2a.client.transports.grpc.PROTOCOL_VERSION_CURRENT", "99.0")
    later = ClientCallContext(service_parameters={"A2A-Version": "99.0"})
    with pytest.raises(VersionNotSupportedError):
        await blocking_client.get_task(GetTaskRequest(id="x"), context=later)
    with pytest.raises(VersionNotSupportedError):
        await anext(client.subscribe(SubscribeToTaskRequest(id="x"), context=later))


async def test_there_is_no_extended_card(mesh: Mesh, rpc: Rpc, binding: str) -> None:
    card = await A2ACardResolver(rpc.http, mesh.agents["scripted"]).get_agent_card()
    assert not card.capabilities.extended_agent_card
    # The client asks only where the card says that there is one.
    card.capabilities.extended_agent_card = True
    async with connect(card, binding) as client:
        with pytest.raises(UnsupportedOperationError):
            await client.get_extended_agent_card(GetExtendedAgentCardRequest())
