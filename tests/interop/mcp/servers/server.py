"""An MCP server with the official SDK, for the gateway to stand in front of.

usage: server.py stdio | legacy | modern

`legacy` and `modern` serve Streamable HTTP on a free port, print its address, and know only the revisions
with a handshake or only 2026-07-28. Standard input and output speak whatever the client speaks.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp import MCPError
from mcp.server import CacheHint, Server
from mcp.server.stdio import stdio_server

MODERN = b"2026-07-28"

ANY_OBJECT = {"type": "object"}
NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


def describe(name: str, schema: dict[str, Any] = ANY_OBJECT, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"The tool {name}", "inputSchema": schema} | more


TOOLS = [
    describe("add", NUMBERS, outputSchema={"type": "object", "properties": {"sum": {"type": "integer"}}}),
    describe("echo"),
    describe("fail"),
    describe("meta"),
    describe("process"),
    describe("progress"),
    describe("refuse"),
    describe("wait"),
]


def answer(text: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]} | more


async def call(ctx: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    match name:
        case "add":
            total = arguments["a"] + arguments["b"]
            return answer(str(total), structuredContent={"sum": total})
        case "echo":
            return answer(json.dumps(arguments), structuredContent={"arguments": arguments})
        case "fail":
            return answer("it did not work", isError=True)
        case "meta":
            return answer("", structuredContent={"meta": dict(ctx.meta or {})})
        case "process":
            return answer(str(os.getpid()))
        case "progress":
            for step in range(1, 4):
                await ctx.session.report_progress(step, 3, f"step {step}")
            return answer("done")
        case "refuse":
            raise MCPError(-31234, "not today", {"until": "tomorrow", "big": 10**30})
        case "wait":
            # Says that it has begun, then waits for its end.
            Path(arguments["begun"]).touch()
            while not Path(arguments["end"]).exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.01)
            return answer("waited")
    raise MCPError(-32602, f"unknown tool: {name}")


def build() -> Server[Any]:
    def of_revision(ctx: Any, result: dict[str, Any]) -> dict[str, Any]:
        return {"resultType": "complete"} | result if ctx.protocol_version >= MODERN.decode() else result

    async def list_tools(ctx: Any, _params: Any) -> Any:
        return of_revision(ctx, {"tools": TOOLS})

    async def call_tool(ctx: Any, params: Any) -> Any:
        return of_revision(ctx, await call(ctx, params.name, params.arguments or {}))

    return Server(
        "interop",
        version="1.0.0",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="public")},
    )


Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def only(app: Asgi, era: str) -> Asgi:
    """Refuses what a server of the other generation would not understand."""

    async def filtered(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        is_modern = dict(scope["headers"]).get(b"mcp-protocol-version") == MODERN
        if is_modern == (era == "modern"):
            return await app(scope, receive, send)
        error: dict[str, Any] = {"code": -32000, "message": "Bad Request: unsupported protocol version"}
        if era == "modern":
            error = {"code": -32022, "message": "unsupported", "data": {"supported": [MODERN.decode()]}}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return None

    return filtered


async def serve_stdio() -> None:
    server = build()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def serve_http(era: str) -> None:
    # Named TCP, or asyncio would not switch Nagle's delay off on what it accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    listener.listen(1024)
    config = uvicorn.Config(only(build().streamable_http_app(), era), log_level="error")
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        anyio.run(serve_stdio)
    else:
        serve_http(sys.argv[1])
