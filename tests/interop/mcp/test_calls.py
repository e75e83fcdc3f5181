"""What happens around a call: time-outs, upstreams that die, clients that leave, and its audit."""

from __future__ import annotations

import hashlib
import json
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcp_wire import LEGACY, MODERN, Exchange, call_tool
from mesh import ANY_PORT, Mesh, eventually, scripted_agent
from rubbish import throw_rubbish

StartMesh = Callable[..., Mesh]
SERVER = Path(__file__).parent / "servers" / "server.py"


def stdio(**settings: Any) -> dict[str, Any]:
    return {"command": [sys.executable, str(SERVER), "stdio"]} | settings


def records(mesh: Mesh, **fields: Any) -> list[dict[str, Any]]:
    """The audit records with these fields."""
    return [record for record in mesh.audit() if fields.items() <= record.items()]


def traced() -> tuple[str, dict[str, str]]:
    """A trace id to find the record of a call by, and the header that carries it."""
    trace = uuid.uuid4().hex
    return trace, {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}


def all_records(mesh: Mesh, **fields: Any) -> list[dict[str, Any]]:
    """The records with these fields of the calls so far: records are written in order, but not at once."""
    trace, headers = traced()
    call_tool(f"{mesh.gateway}/mcp", "last", headers=headers)
    eventually(lambda: records(mesh, traceId=trace), what="the record of the last call")
    return records(mesh, **fields)


def only_record(mesh: Mesh, **fields: Any) -> dict[str, Any]:
    """The one record with these fields."""
    eventually(lambda: records(mesh, **fields), what="an audit record")
    (record,) = all_records(mesh, **fields)
    return record


@pytest.mark.parametrize(
    ("tool", "arguments", "outcome", "error_kind"),
    [
        ("stdio_add", {"a": 1, "b": 2}, "ok", None),
        ("legacy_add", {"a": 1, "b": 2}, "ok", None),
        ("modern_add", {"a": 1, "b": 2}, "ok", None),
        ("stdio_fail", {}, "tool_error", "tool_error"),
        ("modern_refuse", {}, "protocol_error", "upstream_error"),
        ("stdio_nothing", {}, "not_found", "unknown_tool"),
        ("absent_add", {}, "upstream_unavailable", "upstream_unavailable"),
    ],
)
async def test_every_call_ends_in_exactly_one_audit_record(
    mesh: Mesh, tool: str, arguments: dict, outcome: str, error_kind: str | None
) -> None:
    trace, headers = traced()
    call_tool(f"{mesh.gateway}/mcp", tool, arguments, headers=headers)
    record = only_record(mesh, traceId=trace)
    assert (record["outcome"], record.get("errorKind")) == (outcome, error_kind)
    assert record["action"] == "tools/call"
    assert (record["tenant"], record["principal"], record["principalKind"]) == ("default", "local", "person")
    if outcome != "not_found":
        assert record["upstream"] == tool.split("_")[0]
    if error_kind is None:
        assert record["tool"] == "add"
        assert record["decision"]["allowed"]
    # The arguments themselves are not kept, but what they were can be proved.
    assert record["argumentsSha256"] == hashlib.sha256(json.dumps(arguments).encode()).hexdigest()
    assert uuid.UUID(record["id"]).version == 7


async def test_the_calls_of_the_official_client_are_audited_too(mesh: Mesh, mode: str) -> None:
    trace, meta = traced()
    async with Client(f"{mesh.gateway}/mcp", mode=mode) as client:
        await client.list_tools()
        await client.call_tool("stdio_add", {"a": 1, "b": 2}, meta=meta)
    assert only_record(mesh, traceId=trace)["tool"] == "add"


@pytest.mark.parametrize("upstream", ["stdio", "legacy", "modern"])
def test_a_client_that_leaves_is_audited_as_gone(mesh: Mesh, tmp_path: Path, upstream: str) -> None:
    trace, headers = traced()
    begun, end = tmp_path / "begun", tmp_path / "end"
    params = {"name": f"{upstream}_wait", "arguments": {"begun": str(begun), "end": str(end)}}
    exchange = Exchange(f"{mesh.gateway}/mcp", "tools/call", params, headers=headers)
    eventually(begun.exists, what="the call has reached the tool")
    exchange.leave()
    record = only_record(mesh, traceId=trace)
    end.touch()
    assert (record["outcome"], record["tool"], record["upstream"]) == ("client_gone", "wait", upstream)
    assert call_tool(f"{mesh.gateway}/mcp", f"{upstream}_add", {"a": 1, "b": 1})["result"]


@pytest.mark.parametrize("revision", [LEGACY, MODERN])
def test_a_call_that_takes_too_long_is_given_up_and_the_upstream_stays(
    start_mesh: StartMesh, tmp_path: Path, revision: str
) -> None:
    mesh = start_mesh({"tools": {"stdio": stdio(timeout="400ms")}})
    url = f"{mesh.gateway}/mcp"
    # Once to have it started and listed, so that the time is the call's own.
    eventually(lambda: "result" in call_tool(url, "stdio_process"), what="the upstream is up")
    process = call_tool(url, "stdio_process")["result"]["content"]
    arguments = {"begun": str(tmp_path / "begun"), "end": str(tmp_path / "never")}
    error = call_tool(url, "stdio_wait", arguments, revision)["error"]
    assert error["code"] == -31504
    assert "400 ms" in error["message"]
    assert error["data"] == {"kind": "timeout", "upstream": "stdio"}
    assert only_record(mesh, tool="wait")["outcome"] == "timeout"
    assert call_tool(url, "stdio_process")["result"]["content"] == process


def test_a_killed_upstream_fails_its_call_and_is_started_again(start_mesh: StartMesh, tmp_path: Path) -> None:
    mesh = start_mesh({"tools": {"stdio": stdio()}})
    url = f"{mesh.gateway}/mcp"
    begun = tmp_path / "begun"
    params = {"name": "stdio_wait", "arguments": {"begun": str(begun), "end": str(tmp_path / "never")}}
    exchange = Exchange(url, "tools/call", params)
    eventually(begun.exists, what="the call has reached the tool")
    (process,) = mesh.children("server.py")
    process.kill()
    error = json.loads(exchange.answer()[1])["error"]
    assert error["code"] == -31503
    assert error["data"]["upstream"] == "stdio"

    def called() -> str | None:
        answer = call_tool(url, "stdio_process")
        return answer["result"]["content"][0]["text"] if "result" in answer else None

    assert int(eventually(called, what="the upstream is up again")) != process.pid
    assert len(mesh.children("server.py")) == 1
    assert only_record(mesh, tool="wait")["outcome"] == "upstream_unavailable"


def test_an_http_upstream_that_was_restarted_is_found_again(
    start_mesh: StartMesh, start_http_server: Callable[[str], Any]
) -> None:
    for era in ("legacy", "modern"):
        server = start_http_server(era)
        mesh = start_mesh({"tools": {"http": {"url": server.url}}})
        url = f"{mesh.gateway}/mcp"
        assert call_tool(url, "http_add", {"a": 1, "b": 2})["result"]
        server.stop()
        error = call_tool(url, "http_add", {"a": 1, "b": 2})["error"]
        assert error["code"] == -31503, era
        server.start()
        # A legacy server has forgotten our session, which is nothing that a client should hear of.
        assert call_tool(url, "http_add", {"a": 1, "b": 2})["result"]["structuredContent"] == {"sum": 3}, era


@pytest.mark.parametrize("revision", [LEGACY, MODERN])
def test_an_upstream_that_is_down_does_not_empty_the_list(mesh: Mesh, revision: str) -> None:
    _, text = Exchange(f"{mesh.gateway}/mcp", "tools/list", {}, revision).answer()
    result = json.loads(text)["result"]
    assert {tool["name"].split("_")[0] for tool in result["tools"]} == {"stdio", "legacy", "modern"}
    assert result["_meta"]["agentmesh/unavailable"] == ["absent"]


def test_an_upstream_that_went_down_keeps_its_last_known_tools(
    start_mesh: StartMesh, start_http_server: Callable[[str], Any]
) -> None:
    server = start_http_server("legacy")
    mesh = start_mesh({"tools": {"http": {"url": server.url}, "stdio": stdio()}})

    def listed() -> set[str]:
        _, text = Exchange(f"{mesh.gateway}/mcp", "tools/list", {}).answer()
        return {tool["name"].split("_")[0] for tool in json.loads(text)["result"]["tools"]}

    eventually(lambda: listed() == {"http", "stdio"}, what="both upstreams are listed")
    server.stop()
    assert listed() == {"http", "stdio"}
    assert call_tool(f"{mesh.gateway}/mcp", "stdio_add", {"a": 1, "b": 2})["result"]


def test_an_upstream_with_a_full_queue_says_so_and_slows_nobody_else(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    narrow = stdio(concurrency=1, queue=0)
    mesh = start_mesh({"tools": {"narrow": narrow, "wide": stdio()}})
    url = f"{mesh.gateway}/mcp"
    begun, end = tmp_path / "begun", tmp_path / "end"
    params = {"name": "narrow_wait", "arguments": {"begun": str(begun), "end": str(end)}}
    exchange = Exchange(url, "tools/call", params)
    eventually(begun.exists, what="the call has reached the tool")
    error = call_tool(url, "narrow_add", {"a": 1, "b": 2})["error"]
    assert error["code"] == -31429
    assert call_tool(url, "wide_add", {"a": 1, "b": 2})["result"]
    end.touch()
    assert json.loads(exchange.answer()[1])["result"]["content"][0]["text"] == "waited"
    assert call_tool(url, "narrow_add", {"a": 1, "b": 2})["result"]
    assert only_record(mesh, outcome="busy")["upstream"] == "narrow"


def a2a_send(mesh: Mesh, text: str) -> dict[str, Any]:
    """Sends the scripted agent a message and waits for its task."""
    message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"text": text}]}
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    request = urllib.request.Request(
        mesh.agents["worker"],
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "A2A-Version": "1.0"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["result"]["task"]


def test_a_tool_that_an_agent_calls_is_audited_as_that_agents_call(mesh: Mesh) -> None:
    task = a2a_send(mesh, 'call stdio/add {"a": 20, "b": 22}')
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    text, data = task["artifacts"][0]["parts"]
    assert text["text"] == "42"
    assert data["data"]["structuredContent"] == {"sum": 42}
    record = only_record(mesh, taskId=task["id"])
    assert (record["agent"], record["principalKind"], record["onBehalfOf"]) == ("worker", "agent", "local")
    assert (record["upstream"], record["tool"]) == ("stdio", "add")
    assert record["outcome"] == "ok"


def test_the_trace_of_a_task_goes_on_in_its_tool_calls(mesh: Mesh) -> None:
    task = a2a_send(mesh, "call stdio/meta")
    meta = task["artifacts"][0]["parts"][1]["data"]["structuredContent"]["meta"]
    record = only_record(mesh, taskId=task["id"])
    assert meta["traceparent"].split("-")[1] == record["traceId"]


def test_a_tool_error_is_the_agents_to_handle(mesh: Mesh) -> None:
    task = a2a_send(mesh, "call stdio/fail")
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    assert task["artifacts"][0]["parts"][1]["data"]["isError"] is True


@pytest.mark.parametrize("tool", ["modern/echo", "legacy/add", "stdio/nothing", "nobody/add"])
def test_an_agent_may_call_only_what_it_was_granted(mesh: Mesh, tool: str) -> None:
    task = a2a_send(mesh, f"call {tool} {{}}")
    assert task["status"]["state"] == "TASK_STATE_FAILED"
    assert not all_records(mesh, taskId=task["id"], outcome="ok")


def test_an_agent_is_not_ready_before_its_upstream_and_says_why(
    start_mesh: StartMesh, start_http_server: Callable[[str], Any]
) -> None:
    server = start_http_server("modern")
    server.stop()
    agent = scripted_agent(tools=["late/*"])
    mesh = start_mesh({"tools": {"late": {"url": server.url}}, "agents": {"worker": agent}}, ready=False)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{mesh.admin}/readyz")
    assert caught.value.code == 503
    assert b"worker" in caught.value.read()
    server.start()
    mesh.next_line("ready")
    assert a2a_send(mesh, 'call late/add {"a": 1, "b": 2}')["status"]["state"] == "TASK_STATE_COMPLETED"


def test_the_gateway_lists_the_agents_and_their_cards(mesh: Mesh) -> None:
    with urllib.request.urlopen(f"{mesh.gateway}/agents/worker/.well-known/agent-card.json") as response:
        assert json.load(response)["name"] == "worker"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_sessions_there_is_nothing_to_get_or_delete(mesh: Mesh, method: str) -> None:
    headers = {"Accept": "text/event-stream"}
    request = urllib.request.Request(f"{mesh.gateway}/mcp", method=method, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 405


def test_a_web_page_from_elsewhere_is_refused(mesh: Mesh) -> None:
    params = {"name": "stdio_add", "arguments": {"a": 1, "b": 2}}
    for header in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        trace, headers = traced()
        exchange = Exchange(f"{mesh.gateway}/mcp", "tools/call", params, headers=headers | header)
        assert exchange.answer()[0] == 403
        assert not all_records(mesh, traceId=trace)


def test_the_gateway_answers_a_thousand_malformed_requests_with_errors(mesh: Mesh) -> None:
    throw_rubbish(mesh, f"{mesh.gateway}/mcp", "mcp", "--tool", "stdio_echo")
    assert call_tool(f"{mesh.gateway}/mcp", "stdio_add", {"a": 1, "b": 2})["result"]


def test_one_upstreams_door_answers_a_thousand_malformed_requests_with_errors(mesh: Mesh) -> None:
    throw_rubbish(mesh, f"{mesh.gateway}/mcp/modern", "mcp", "--tool", "echo", "--seed", "2")
    assert call_tool(f"{mesh.gateway}/mcp/modern", "add", {"a": 1, "b": 2})["result"]


def test_a_mesh_that_is_stopped_leaves_no_upstream_behind(start_mesh: StartMesh) -> None:
    agent = {"listen": ANY_PORT, "worker": scripted_agent()["worker"], "tools": ["one/*", "two/*"]}
    mesh = start_mesh({"tools": {"one": stdio(), "two": stdio()}, "agents": {"worker": agent}})
    children = mesh.children()
    assert len(children) == 3
    mesh.kill()
    assert not any(child.is_alive() for child in children)
