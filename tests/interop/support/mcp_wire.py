"""MCP over Streamable HTTP without the SDK, for what the SDK does not show: bytes, statuses and headers."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
_ids = itertools.count(1)


def modern_meta(**more: Any) -> dict[str, Any]:
    prefix = "io.modelcontextprotocol/"
    return {f"{prefix}protocolVersion": MODERN, f"{prefix}clientCapabilities": {}} | more


def headers_of(method: str, params: dict[str, Any], revision: str) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": revision,
    }
    if revision == MODERN:
        headers["Mcp-Method"] = method
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
    return headers


def encode(method: str, params: dict[str, Any], revision: str) -> bytes:
    if revision == MODERN:
        params = params | {"_meta": modern_meta(**params.get("_meta", {}))}
    return json.dumps({"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params}).encode()


class Exchange:
    """One request on a connection of its own."""

    def __init__(
        self,
        url: str,
        method: str,
        params: dict[str, Any],
        revision: str = LEGACY,
        headers: dict[str, str] | None = None,
        change: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """Sends it; `change` has the last word about the bytes of its body."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        body = change(encode(method, params, revision))
        headers = headers_of(method, params, revision) | (headers or {})
        self.connection.request("POST", parts.path, body, headers)

    def leave(self) -> None:
        """Closes the connection without waiting for the answer."""
        self.connection.close()

    def answer(self) -> tuple[int, str]:
        """Status and the JSON text of the answer, also out of an event stream."""
        response = self.connection.getresponse()
        text = response.read().decode()
        self.connection.close()
        if response.headers.get_content_type() == "text/event-stream":
            events = [
                line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith("data:")
            ]
            text = events[-1]
        return response.status, text


def call_tool(
    url: str, name: str, arguments: dict[str, Any] | None = None, revision: str = LEGACY, **more: Any
) -> dict[str, Any]:
    """The JSON-RPC answer to `tools/call`."""
    headers = more.pop("headers", None)
    params = {"name": name, "arguments": arguments or {}} | more
    return json.loads(Exchange(url, "tools/call", params, revision, headers).answer()[1])
