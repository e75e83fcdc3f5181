"""The plain client of the gateway, against a server that follows a script."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agentmesh import AgentGateway, ConfigError, ToolError

Message = dict[str, Any]
Script = Callable[[str, Message], "tuple[int, Any]"]

NAMES = ["crm_get_customer", "crm_find", "erp_find"]


class Server:
    def __init__(self) -> None:
        #: The one tool that is listed, instead of NAMES.
        self.listed: Message | None = None
        self.seen: list[tuple[str, Message, dict[str, str]]] = []
        self.script: Script = lambda path, message: (200, {"jsonrpc": "2.0", "result": {"content": []}})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self, message: Message) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.seen.append((self.path, message, headers))
                if message.get("method") == "tools/list" and outer.listed:
                    answer: tuple[int, Any] = (200, {"jsonrpc": "2.0", "result": {"tools": [outer.listed]}})
                elif message.get("method") == "tools/list":
                    cursor = message["params"].get("cursor")
                    names = NAMES[:1] if cursor is None else NAMES[1:]
                    page: Message = {"tools": [{"name": name} for name in names]}
                    answer = (200, {"jsonrpc": "2.0", "result": page})
                    if cursor is None:
                        page["nextCursor"] = "2"
                else:
                    answer = outer.script(self.path, message)
                body = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.answer({})

            def do_POST(self) -> None:
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def result(**fields: Any) -> tuple[int, Any]:
    return 200, {"jsonrpc": "2.0", "id": 1, "result": {"resultType": "complete", "content": [], **fields}}


def test_a_call_of_the_founding_document(server: Server) -> None:
    server.script = lambda path, message: result(structuredContent={"of": message["params"]["arguments"]})
    gateway = AgentGateway(server.url, headers={"X-Team": "sales"})
    call = gateway.call_tool(tool_name="get_customer", parameters={"customer_id": "Ä-1"})
    assert asyncio.run(call) == {"of": {"customer_id": "Ä-1"}}
    path, message, headers = server.seen[-1]
    assert (path, message["params"]["name"]) == ("/mcp", "crm_get_customer")
    version = message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"]
    assert headers["mcp-protocol-version"] == version
    assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "crm_get_customer")
    assert (headers["x-team"], headers["accept"]) == ("sales", "application/json")


def test_a_name_is_the_gateways_the_upstreams_or_the_tools_own(server: Server) -> None:
    gateway = AgentGateway(server.url + "/")
    server.script = lambda path, message: result(
        content=[{"type": "text", "text": f"{path} {message['params']['name']}"}]
    )
    assert gateway.call_tool_blocking("crm_find") == "/mcp crm_find"
    assert gateway.call_tool_blocking("erp/find") == "/mcp/erp find"
    assert gateway.call_tool_blocking("get_customer") == "/mcp crm_get_customer"
    assert gateway.call_tool_blocking("unknown") == "/mcp unknown"
    with pytest.raises(ToolError, match="ambiguous: write one of crm_find, erp_find"):
        gateway.call_tool_blocking("find")
    before = len(server.seen)
    gateway.call_tool_blocking("crm_find")
    assert len(server.seen) == before + 1, "the names are remembered"


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ((200, {"jsonrpc": "2.0", "error": {"code": -31429, "message": "full"}}), "busy", "full"),
        ((400, {"jsonrpc": "2.0", "error": {"code": -32602, "message": "no"}}), "invalid", "no"),
        (result(isError=True, content=[{"type": "text", "text": "out of order"}]), "failed", "out of order"),
        (result(resultType="input_required"), "failed", "asks for input"),
        ((200, {"jsonrpc": "2.0"}), "invalid", "neither"),
        ((503, b"<html>"), "unavailable", "503"),
        ((200, b"no JSON"), "failed", "200"),
    ],
)
def test_what_goes_wrong_has_a_code(server: Server, answer: tuple[int, Any], code: str, text: str) -> None:
    server.script = lambda path, message: answer
    with pytest.raises(ToolError, match=text) as caught:
        AgentGateway(server.url).call_tool_blocking("crm/get")
    assert caught.value.code == code


def test_arguments_are_repeated_in_headers_where_a_tool_wants_that(server: Server) -> None:
    def script(path: str, message: Message) -> tuple[int, Any]:
        headers = server.seen[-1][2]
        if "mcp-param-region" not in headers:
            return 400, {"jsonrpc": "2.0", "error": {"code": -32020, "message": "differ"}}
        wanted = [headers["mcp-param-region"], headers["mcp-param-deep"]]
        return result(structuredContent={"headers": wanted})

    server.script = script
    properties = {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "in": {"properties": {"n": {"x-mcp-header": "Deep"}}},
        "other": {"type": "string"},
    }
    server.listed = {"name": "get", "inputSchema": {"properties": properties}}
    gateway = AgentGateway(server.url)
    found = gateway.call_tool_blocking("crm/get", {"region": "größe", "in": {"n": 7}, "other": "x"})
    assert found == {"headers": ["=?base64?Z3LDtsOfZQ==?=", "7"]}
    assert [path for path, _, _ in server.seen] == ["/mcp/crm"] * 3
    with pytest.raises(ToolError, match="differ") as caught:
        gateway.call_tool_blocking("crm/get", {})
    assert caught.value.code == "invalid"


def test_nobody_there_and_nobody_in_time(server: Server) -> None:
    hold = threading.Event()
    server.script = lambda path, message: (hold.wait(10), result())[1]
    with pytest.raises(ToolError) as late:
        AgentGateway(server.url, timeout=0.05).call_tool_blocking("crm/get")
    assert late.value.code == "timeout"
    hold.set()
    with pytest.raises(ToolError) as away:
        AgentGateway("http://127.0.0.1:1").call_tool_blocking("crm/get")
    assert away.value.code == "unavailable"
    with pytest.raises(ConfigError):
        AgentGateway("ftp://x")


def test_tools_are_found_by_category_and_by_words(server: Server) -> None:
    entry = {
        "name": "crm_find",
        "description": "d",
        "inputSchema": {"type": "object"},
        "category": "crm",
        "score": 2,
    }
    server.script = lambda path, message: (200, {"tools": [entry, {"name": "x"}]})
    found = asyncio.run(AgentGateway(server.url).discover_tools(category="crm", query="a customer's address"))
    assert [(tool.name, tool.category, tool.score) for tool in found] == [
        ("crm_find", "crm", 2.0),
        ("x", None, None),
    ]
    assert found[0].raw == entry
    wanted = urlsplit(server.seen[-1][0])
    assert wanted.path == "/tools"
    assert parse_qs(wanted.query) == {"category": ["crm"], "query": ["a customer's address"]}
    asyncio.run(AgentGateway(server.url).discover_tools())
    assert server.seen[-1][0] == "/tools"


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_GATEWAY_URL", "http://gateway:3003/")
    assert AgentGateway().url == "http://gateway:3003"
    monkeypatch.setenv("AGENT_GATEWAY_URL", "")
    assert AgentGateway().url == "http://127.0.0.1:3003"
