"""What the specification demands and no other test shows: see `docs/conformance-a2a.md`.

JSON-RPC and HTTP+JSON are looked at as they are on the wire; the official client stands for gRPC.
"""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from a2a.client import ClientCallContext
from a2a.types import (
    AgentCard,
    GetTaskRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from google.protobuf.json_format import ParseDict

from mesh import Mesh, scripted_agent
from official import connect, request, send
from raw import Raw, missing, reason, without_metadata
from wire import Rpc, user_message

# Everything that an answer can have in it.
RICH = "status 1 && chunks 2 && ask who? && echo after"


@pytest.fixture(scope="module")
def mesh(start_shared_mesh: Callable[..., Mesh]) -> Mesh:
    """A mesh whose agent can ask another one."""
    agents = {
        "scripted": scripted_agent(tasks={"concurrency": 64}, peers=["other"]),
        "other": scripted_agent(),
    }
    return start_shared_mesh({"agents": agents})


@pytest.fixture(params=["JSONRPC", "HTTP+JSON"])
def raw(request: pytest.FixtureRequest, rpc: Rpc) -> Raw:
    return Raw(rpc, request.param)


@pytest.fixture
async def rich(raw: Raw) -> dict[str, Any]:
    """Whatever a client can be told, by its kind."""
    asked = await raw.send(RICH)
    events = await raw.events("SendStreamingMessage", user_message("status 1 && chunks 2 && fail so"))
    ended = (await raw.result("SendMessage", user_message("Ada", taskId=asked["id"])))["task"]
    params = {"contextId": asked["contextId"], "includeArtifacts": True}
    page = await raw.result("ListTasks", params)
    card = (await raw.rpc.http.get("/.well-known/agent-card.json")).json()
    return {"asked": asked, "ended": ended, "events": events, "page": page, "card": card}


async def test_names_are_in_camel_case_and_enums_have_their_names_of_the_proto_file(
    rich: dict[str, Any],
) -> None:
    named = list(without_metadata(rich))
    assert len(named) > 100
    assert [name for name, _ in named if not re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)*", name)] == []
    states = {value for name, value in named if name == "state"}
    assert states >= {"TASK_STATE_INPUT_REQUIRED", "TASK_STATE_COMPLETED", "TASK_STATE_FAILED"}
    assert states <= set(TaskState.keys())
    assert {value for name, value in named if name == "role"} == {"ROLE_USER", "ROLE_AGENT"}


async def test_times_are_in_utc_and_say_so(raw: Raw, rich: dict[str, Any]) -> None:
    times = [value for name, value in without_metadata(rich) if name == "timestamp"]
    assert len(times) > 5
    for time in times:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
        assert abs((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()) < 300
    last = datetime.fromisoformat(rich["ended"]["status"]["timestamp"])
    for later, found in ((0, 1), (1, 0)):
        asked = (last + timedelta(milliseconds=later)).isoformat().replace("+00:00", "Z")
        params = {"contextId": rich["ended"]["contextId"], "statusTimestampAfter": asked}
        assert (await raw.result("ListTasks", params))["totalSize"] == found, asked


async def test_what_must_be_there_is_there(rich: dict[str, Any]) -> None:
    for name, kind in (("asked", Task), ("ended", Task), ("card", AgentCard)):
        message = ParseDict(rich[name], kind(), ignore_unknown_fields=name == "card")
        assert list(missing(message, name)) == []
    for task in rich["page"]["tasks"]:
        assert list(missing(ParseDict(task, Task()), "page")) == []
    assert {"tasks", "nextPageToken", "pageSize", "totalSize"} <= set(rich["page"])
    kinds = set()
    for event in rich["events"]:
        assert len(event) == 1
        kinds |= set(event)
        assert list(missing(ParseDict(event, StreamResponse()), "event")) == []
    assert kinds == {"task", "statusUpdate", "artifactUpdate"}


async def test_messages_of_the_agent_name_their_task_and_its_context(rich: dict[str, Any]) -> None:
    told = [
        body["status"]["message"]
        for event in rich["events"]
        for body in event.values()
        if "message" in body.get("status", {})
    ]
    messages = [
        *rich["asked"]["history"],
        rich["asked"]["status"]["message"],
        *rich["ended"]["history"],
        *told,
    ]
    agents = [message for message in messages if message["role"] == "ROLE_AGENT"]
    assert len(agents) >= 5
    ids = {(message["taskId"], message["contextId"]) for message in agents}
    first = rich["events"][0]["task"]
    assert ids == {(task["id"], task["contextId"]) for task in (rich["asked"], first)}


async def test_an_artifact_has_an_id_of_its_own_within_its_task(raw: Raw) -> None:
    task = await raw.send("echo one && chunks 2 && agent other bench && echo two")
    named = [artifact["artifactId"] for artifact in task["artifacts"]]
    assert sorted(named) == ["out", "result"]


async def test_no_more_history_is_told_than_is_asked_for(raw: Raw) -> None:
    context = str(uuid.uuid4())
    for length in (0, 1, 2, 50):
        params = user_message("status 5", contextId=context) | {"configuration": {"historyLength": length}}
        task = (await raw.result("SendMessage", params))["task"]
        whole = (await raw.result("GetTask", {"id": task["id"]}))["history"]
        expected = whole[len(whole) - min(length, len(whole)) :]
        assert len(whole) == 6
        assert task.get("history", []) == expected
        got = await raw.result("GetTask", {"id": task["id"], "historyLength": length})
        assert got.get("history", []) == expected
        page = await raw.result("ListTasks", {"contextId": context, "historyLength": length})
        assert page["tasks"][0].get("history", []) == expected
        assert all(len(task.get("history", [])) <= length for task in page["tasks"])


async def test_a_page_without_artifacts_does_not_name_them_and_the_last_page_has_an_empty_token(
    raw: Raw,
) -> None:
    context = str(uuid.uuid4())
    await raw.send("echo here", contextId=context)
    page = await raw.result("ListTasks", {"contextId": context})
    assert page["tasks"][0]["status"]["state"] == "TASK_STATE_COMPLETED"
    assert "artifacts" not in page["tasks"][0]
    assert page["nextPageToken"] == ""
    nothing = await raw.result("ListTasks", {"contextId": str(uuid.uuid4())})
    assert (nothing["tasks"], nothing["nextPageToken"], nothing["totalSize"]) == ([], "", 0)


async def test_pages_go_on_where_they_ended_though_tasks_come_in_between(raw: Raw) -> None:
    context = str(uuid.uuid4())
    sent = [(await raw.send(f"echo {n}", contextId=context))["id"] for n in range(4)]
    seen: list[str] = []
    token = ""
    while True:
        page = await raw.result("ListTasks", {"contextId": context, "pageSize": 2, "pageToken": token})
        seen += [task["id"] for task in page["tasks"]]
        token = page["nextPageToken"]
        if not token:
            break
        await raw.send("echo in between", contextId=context)
    assert seen == sent[::-1]


async def test_a_task_that_changes_moves_to_the_front_of_the_list(raw: Raw) -> None:
    context = str(uuid.uuid4())
    first = await raw.send("ask who?", contextId=context)
    second = await raw.send("echo", contextId=context)

    async def listed() -> list[str]:
        page = await raw.result("ListTasks", {"contextId": context})
        times = [task["status"]["timestamp"] for task in page["tasks"]]
        assert times == sorted(times, reverse=True)
        return [task["id"] for task in page["tasks"]]

    assert await listed() == [second["id"], first["id"]]
    await raw.send("Ada", taskId=first["id"])
    assert await listed() == [first["id"], second["id"]]


async def test_every_task_has_an_id_of_its_own_and_a_context(raw: Raw) -> None:
    tasks = [await raw.send("echo") for _ in range(10)]
    assert len({task["id"] for task in tasks}) == 10
    # Nobody named a context, so each has a new one.
    assert len({task["contextId"] for task in tasks}) == 10
    events = await raw.events("SendStreamingMessage", user_message("echo"))
    assert events[0]["task"]["contextId"]
    assert all(body["contextId"] == events[0]["task"]["contextId"] for e in events[1:] for body in e.values())


async def test_a_context_of_the_client_is_kept_or_refused_but_never_replaced(raw: Raw) -> None:
    context = f"mine-{uuid.uuid4()}"
    assert (await raw.send("echo", contextId=context))["contextId"] == context
    before = (await raw.result("ListTasks", {}))["totalSize"]
    error = await raw.error("SendMessage", user_message("echo", contextId="x" * 257))
    assert "contextId" in error["message"]
    assert (await raw.result("ListTasks", {}))["totalSize"] == before


async def test_a_message_for_a_task_takes_the_context_of_the_task(raw: Raw) -> None:
    asked = await raw.send("ask who?")
    ended = await raw.send("Ada", taskId=asked["id"])
    assert ended["contextId"] == asked["contextId"]
    mismatch = await raw.send("ask who?")
    error = await raw.error("SendMessage", user_message("Ada", taskId=mismatch["id"], contextId="another"))
    assert "contextId" in error["message"]
    assert (await raw.result("GetTask", {"id": mismatch["id"]})) == mismatch


async def test_an_empty_id_is_one_that_is_not_set(raw: Raw) -> None:
    task = await raw.send("echo", contextId="", taskId="")
    assert task["id"]
    assert task["contextId"]
    assert (await raw.result("ListTasks", {"contextId": ""}))["totalSize"] > 0


async def test_a_client_cannot_choose_the_id_of_a_new_task(raw: Raw) -> None:
    error = await raw.error("SendMessage", user_message("echo", taskId=str(uuid.uuid4())))
    assert reason(error) == "TASK_NOT_FOUND"


async def test_a_first_event_comes_while_the_work_goes_on(rpc: Rpc, tmp_path: Path) -> None:
    file = tmp_path / "go"
    async with rpc.send_streaming(f"status 1 && wait-file {file}") as tap:
        first = await tap.next()
        assert first is not None
        assert first.kind == "task"
        await tap.until_waiting()
        assert (await rpc.get(first.task_id))["status"]["state"] == "TASK_STATE_WORKING"
        file.touch()
        assert (await tap.rest())[-1].state == "TASK_STATE_COMPLETED"


async def test_an_authorization_that_is_required_is_explained(raw: Raw) -> None:
    task = await raw.send("authorize may I read your mail?")
    assert task["status"]["state"] == "TASK_STATE_AUTH_REQUIRED"
    message = task["status"]["message"]
    assert (message["role"], message["parts"]) == ("ROLE_AGENT", [{"text": "may I read your mail?"}])


async def test_an_extension_that_nobody_knows_is_ignored(raw: Raw) -> None:
    known = "urn:agentmesh:a2a-extension:event-log:v1"
    for asked in ("https://example.org/unknown/v1", f"{known}, {known[:-1]}99", "", "not a URI"):
        task = await raw.result("SendMessage", user_message("echo"), **{"A2A-Extensions": asked})
        assert task["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_the_address_in_a_part_is_not_called(raw: Raw) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        task = await raw.send("", parts=[{"text": "bench"}, {"url": url, "mediaType": "text/plain"}])
        assert task["status"]["state"] == "TASK_STATE_COMPLETED"
        assert task["history"][0]["parts"][1]["url"] == url
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


# The errors that a client can provoke: section 5.4's codes in JSON-RPC, gRPC and HTTP.
ERRORS = {
    "TASK_NOT_FOUND": (-32001, "NOT_FOUND", 404),
    "TASK_NOT_CANCELABLE": (-32002, "FAILED_PRECONDITION", 400),
    "UNSUPPORTED_OPERATION": (-32004, "FAILED_PRECONDITION", 400),
    "VERSION_NOT_SUPPORTED": (-32009, "FAILED_PRECONDITION", 400),
}


async def provoke(raw: Raw) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    ended = {"id": (await raw.send("echo"))["id"]}
    nobody = {"id": "nobody"}
    for operation in ("GetTask", "CancelTask", "SubscribeToTask"):
        yield "TASK_NOT_FOUND", await raw.error(operation, nobody)
    unknown = {"taskId": ended["id"], "id": "nothing"}
    yield "TASK_NOT_FOUND", await raw.error("GetTaskPushNotificationConfig", unknown)
    yield "TASK_NOT_CANCELABLE", await raw.error("CancelTask", ended)
    yield "UNSUPPORTED_OPERATION", await raw.error("SubscribeToTask", ended)
    yield "UNSUPPORTED_OPERATION", await raw.error("SendMessage", user_message("x", taskId=ended["id"]))
    yield "UNSUPPORTED_OPERATION", await raw.error("GetExtendedAgentCard", {})
    yield "VERSION_NOT_SUPPORTED", await raw.error("GetTask", ended, **{"A2A-Version": "99.0"})


async def test_an_error_has_a_code_a_message_and_typed_details(raw: Raw) -> None:
    seen = set()
    async for expected, error in provoke(raw):
        code, status, http = ERRORS[expected]
        assert reason(error) == expected
        assert error["message"]
        if raw.binding == "JSONRPC":
            assert error["code"] == code
        else:
            assert (error["code"], error["status"]) == (http, status)
        seen.add(expected)
    assert seen == set(ERRORS)


async def test_http_says_the_code_of_an_error_in_its_status(raw: Raw) -> None:
    response = await raw.rpc.http.get("/tasks/nobody")
    assert (response.status_code, response.json()["error"]["code"]) == (404, 404)
    assert response.headers["content-type"] == "application/a2a+json"
    bad = await raw.rpc.http.post("/message:send", json={"message": {}})
    assert bad.status_code == 400
    assert {d["@type"].rsplit(".")[-1] for d in bad.json()["error"]["details"]} == {"ErrorInfo", "BadRequest"}


async def test_a_body_that_is_not_utf_8_is_refused(raw: Raw) -> None:
    path = "/" if raw.binding == "JSONRPC" else "/message:send"
    body = json.dumps(user_message("zwölf"), ensure_ascii=False).encode("latin-1")
    response = await raw.rpc.http.post(path, content=body, headers={"Content-Type": "application/json"})
    assert "UTF-8" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"id": 1, "method": "ListTasks", "params": {}},
        {"jsonrpc": "1.0", "id": 1, "method": "ListTasks", "params": {}},
        {"jsonrpc": "2.0", "id": 1, "params": {}},
        {"jsonrpc": "2.0", "id": {}, "method": "ListTasks"},
        [{"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}],
    ],
    ids=["no version", "another version", "no method", "no id", "a batch"],
)
async def test_what_is_no_request_of_json_rpc_2_0_is_refused(rpc: Rpc, body: Any) -> None:
    answer = (await rpc.http.post("/", json=body)).json()
    assert answer["jsonrpc"] == "2.0"
    assert answer["error"]["code"] == -32600


async def test_service_parameters_are_read_whatever_their_case(raw: Raw) -> None:
    for name in ("a2a-version", "A2A-VERSION", "A2a-Version"):
        assert reason(await raw.error("GetTask", {"id": "x"}, **{name: "99.0"})) == "VERSION_NOT_SUPPORTED"


async def test_all_bindings_tell_the_same_of_a_task(mesh: Mesh, raw: Raw) -> None:
    sent = await raw.send("status 1 && chunks 3 && ask who?")
    told = []
    for binding in ("JSONRPC", "HTTP+JSON", "GRPC"):
        async with connect(mesh.agents["scripted"], binding) as client:
            told.append(await client.get_task(GetTaskRequest(id=sent["id"])))
    assert told[0] == told[1] == told[2] == ParseDict(sent, Task())
    assert told[0] == ParseDict(await raw.result("GetTask", {"id": sent["id"]}), Task())


async def test_all_streams_of_a_task_have_the_same_events_whatever_their_binding_and_whoever_leaves(
    mesh: Mesh, rpc: Rpc, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    async with AsyncExitStack() as stack, rpc.send_streaming(f"wait-file {file} && chunks 20") as first:
        task = SubscribeToTaskRequest(id=(await first.until_waiting()).task_id)
        streams = []
        for binding in ("JSONRPC", "HTTP+JSON", "GRPC"):
            client = await stack.enter_async_context(connect(mesh.agents["scripted"], binding))
            leaving, staying = client.subscribe(task), client.subscribe(task)
            snapshots = [await anext(leaving), await anext(staying)]
            assert snapshots[0] == snapshots[1]
            await leaving.aclose()
            streams.append((snapshots[1], staying))
        file.touch()
        told = [[snapshot, *[event async for event in events]] for snapshot, events in streams]
        rest = [ParseDict(event.result, StreamResponse()) for event in await first.rest()]
    assert told[0] == told[1] == told[2]
    assert told[0][1:] == rest
    assert len(rest) == 21


async def test_a_message_that_was_sent_by_one_binding_is_known_to_the_others(mesh: Mesh) -> None:
    message = request("echo")
    tasks = []
    for binding in ("JSONRPC", "HTTP+JSON", "GRPC"):
        async with connect(mesh.agents["scripted"], binding, streaming=False) as client:
            (response,) = [event async for event in client.send_message(message)]
            tasks.append(response.task)
    assert tasks[0] == tasks[1] == tasks[2]


async def test_each_interface_of_the_card_is_where_the_card_says(mesh: Mesh, binding: str) -> None:
    async with connect(mesh.agents["scripted"], binding, streaming=False) as client:
        assert (await send(client, "echo")).status.state == TaskState.TASK_STATE_COMPLETED


async def test_grpc_reads_service_parameters_from_its_metadata(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a2a.client.transports.grpc.PROTOCOL_VERSION_CURRENT", "1.0.7")
    extensions = ClientCallContext(service_parameters={"A2A-Extensions": "https://example.org/unknown/v1"})
    async with connect(mesh.agents["scripted"], "GRPC", streaming=False) as client:
        (response,) = [event async for event in client.send_message(request("echo"), context=extensions)]
    assert response.task.status.state == TaskState.TASK_STATE_COMPLETED
