"""An MCP server with the official SDK, for the gateway to stand in front of.

usage: server.py stdio | legacy | modern

`legacy` and `modern` serve Streamable HTTP on a free port, print its address, and know only the revisions
with a handshake or only 2026-07-28. Standard input and output speak whatever the client speaks.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import MCPError
from mcp.server import CacheHint, Server
from serving import MODERN, serve_http, serve_stdio

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
        return {"resultType": "complete"} | result if ctx.protocol_version >= MODERN else result

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


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        anyio.run(serve_stdio, build())
    else:
        serve_http(build().streamable_http_app(), sys.argv[1])
