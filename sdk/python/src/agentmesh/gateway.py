"""The gateway as a program outside of the mesh sees it: tools, found and called."""

from __future__ import annotations

import asyncio
import base64
import http.client
import itertools
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from agentmesh.calls import tool_decoder
from agentmesh.discovery import TARGET, DiscoveredTool, read_tools, wanted
from agentmesh.errors import ConfigError, ToolError
from agentmesh.version import VERSION

DEFAULT_URL = "http://127.0.0.1:3003"
_REVISION = "2026-07-28"
_ANSWER_LIMIT = 64 << 20
"""Largest answer that is read, in bytes."""
_PAGES = 64
"""Pages of a tool list that are read at most."""
_NAMES_AGE = 60.0
"""How long the names of tools are remembered, in seconds."""

_CODES = {
    -32600: "invalid",
    -32602: "invalid",
    -32020: "invalid",
    -32601: "not_found",
    -31403: "not_allowed",
    -31429: "busy",
    -31503: "unavailable",
    -31504: "timeout",
}
_HEADER_MISMATCH = -32020
_STATUSES = {
    401: "not_allowed",
    403: "not_allowed",
    404: "not_found",
    429: "busy",
    503: "unavailable",
    504: "timeout",
}


class AgentGateway:
    """A client of the gateway at `url`, or at `AGENT_GATEWAY_URL`, or on this machine.

    `timeout` is how long the gateway may be silent, in seconds. A cancelled call goes on until then.
    It may be used from any thread; every method has a twin for threads, `…_blocking`.
    """

    def __init__(
        self, url: str | None = None, *, timeout: float = 60.0, headers: Mapping[str, str] | None = None
    ) -> None:
        url = (url or os.environ.get("AGENT_GATEWAY_URL") or DEFAULT_URL).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"the gateway's address must be an http:// or https:// URL, not {url!r}")
        self.url = url
        self.timeout = timeout
        self._parts = parts
        self._headers = dict(headers or {})
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._names: tuple[float, tuple[str, ...]] = (0.0, ())

    async def discover_tools(
        self, category: str | None = None, query: str | None = None, *, limit: int | None = None
    ) -> list[DiscoveredTool]:
        """The tools of a category, or those that fit a need in words, best first. Raises ToolError."""
        return await asyncio.to_thread(self.discover_tools_blocking, category, query, limit=limit)

    def discover_tools_blocking(
        self, category: str | None = None, query: str | None = None, *, limit: int | None = None
    ) -> list[DiscoveredTool]:
        """`discover_tools` for code that runs in a thread."""
        asked = urlencode(wanted(category, query, limit))
        answer = self._exchange(TARGET, "GET", f"/tools?{asked}" if asked else "/tools", {}, None)
        return read_tools(answer)

    async def call_tool(self, tool_name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Calls a tool: its structured content, or else its text. Raises ToolError.

        The name is the gateway's (`crm_get_customer`), `upstream/tool`, or the tool's own if only one has it.
        """
        return await asyncio.to_thread(self.call_tool_blocking, tool_name, parameters)

    def call_tool_blocking(self, tool_name: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """`call_tool` for code that runs in a thread."""
        upstream, slash, name = tool_name.partition("/")
        path = f"/mcp/{quote(upstream, safe='')}" if slash else "/mcp"
        name = name if slash else self._full_name(tool_name)
        params = {"name": name, "arguments": dict(parameters or {})}
        try:
            result = self._ask(tool_name, path, "tools/call", params)
        except _MissingHeaders:
            # Some tools want arguments in headers as well; their definitions say which.
            headers = self._argument_headers(tool_name, path, params)
            result = self._ask(tool_name, path, "tools/call", params, headers)
        if result.get("resultType") == "input_required":
            raise ToolError(
                tool_name, "failed", f"tool {tool_name} asks for input, which nobody here can give"
            )
        return tool_decoder(tool_name)({"result": result})

    def _full_name(self, name: str) -> str:
        """The gateway's name for a tool's own. A name that nobody has is left to the gateway."""
        with self._lock:
            read_at, names = self._names
        if name in names and time.monotonic() - read_at < _NAMES_AGE:
            return name
        names = tuple(str(tool.get("name")) for tool in self._list(name, "/mcp"))
        with self._lock:
            self._names = (time.monotonic(), names)
        found = [full for full in names if full.partition("_")[2] == name]
        if name in names or not found:
            return name
        if len(found) > 1:
            raise ToolError(name, "invalid", f"tool {name!r} is ambiguous: write one of {', '.join(found)}")
        return found[0]

    def _argument_headers(self, target: str, path: str, params: Mapping[str, Any]) -> dict[str, str]:
        """The headers that repeat arguments of a call."""
        for tool in self._list(target, path):
            if tool.get("name") == params["name"]:
                return dict(_marked(tool.get("inputSchema"), params["arguments"]))
        return {}

    def _list(self, target: str, path: str) -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = []
        cursor: Any = None
        for _ in range(_PAGES):
            params = {} if cursor is None else {"cursor": cursor}
            page = self._ask(target, path, "tools/list", params)
            tools += [tool for tool in page.get("tools") or () if isinstance(tool, dict)]
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        return tools

    def _ask(
        self,
        target: str,
        path: str,
        method: str,
        params: Mapping[str, Any],
        more: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": _REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "agentmesh-sdk", "version": VERSION},
        }
        headers = {
            "Content-Type": "application/json",
            "MCP-Protocol-Version": _REVISION,
            "Mcp-Method": method,
        }
        name = params.get("name")
        if isinstance(name, str):
            headers["Mcp-Name"] = _header(name)
        request = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": method,
            "params": {**params, "_meta": meta},
        }
        body = json.dumps(request, ensure_ascii=False).encode()
        answer = self._exchange(target, "POST", path, {**headers, **(more or {})}, body)
        error = answer.get("error")
        if isinstance(error, dict):
            if error.get("code") == _HEADER_MISMATCH and more is None:
                raise _MissingHeaders
            code = _CODES.get(error.get("code"), "failed")  # type: ignore[arg-type]
            raise ToolError(target, code, str(error.get("message") or "no message"))
        result = answer.get("result")
        if not isinstance(result, dict):
            raise ToolError(target, "invalid", f"{self.url} answered neither with a result nor with an error")
        return result

    def _exchange(
        self,
        target: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> dict[str, Any]:
        """One request; the JSON object of the answer."""
        connection = self._connect()
        try:
            sent = {
                "Accept": "application/json",
                "User-Agent": f"agentmesh-sdk/{VERSION}",
                **headers,
                **self._headers,
            }
            connection.request(method, self._parts.path + path, body=body, headers=sent)
            response = connection.getresponse()
            text = response.read(_ANSWER_LIMIT + 1)
        except TimeoutError as error:
            raise ToolError(target, "timeout", f"{self.url} did not answer in time") from error
        except (OSError, http.client.HTTPException) as error:
            raise ToolError(target, "unavailable", f"{self.url} cannot be reached: {error}") from error
        finally:
            connection.close()
        if len(text) > _ANSWER_LIMIT:
            raise ToolError(target, "too_large", f"{self.url} answered with more than {_ANSWER_LIMIT} bytes")
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        # A JSON-RPC answer says more than its status.
        if isinstance(answer, dict) and (response.status < 400 or "jsonrpc" in answer):
            return answer
        code = _STATUSES.get(response.status, "failed")
        raise ToolError(target, code, f"{self.url}{path} answered {response.status} {response.reason}")

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)
        return http.client.HTTPConnection(host, port, timeout=self.timeout)


class _MissingHeaders(Exception):
    """The gateway wants arguments repeated in headers."""


def _marked(schema: Any, arguments: Any) -> Iterator[tuple[str, str]]:
    """The arguments that a schema wants in headers, at any depth."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not isinstance(arguments, Mapping):
        return
    for name, about in properties.items():
        value = arguments.get(name)
        if not isinstance(about, dict) or value is None:
            continue
        header = about.get("x-mcp-header")
        if isinstance(header, str) and isinstance(value, str | int | float):
            yield f"Mcp-Param-{header}", _header(value if isinstance(value, str) else json.dumps(value))
        yield from _marked(about, value)


def _header(name: str) -> str:
    """A name as a header's value: printable ASCII as it is, else encoded as the protocol says."""
    if name.isascii() and name.isprintable() and name == name.strip() and not name.startswith("=?base64?"):
        return name
    return f"=?base64?{base64.b64encode(name.encode()).decode()}?="
