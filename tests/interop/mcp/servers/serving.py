"""How our MCP servers are served: on standard input and output, or over HTTP for one or both generations."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server

MODERN = "2026-07-28"

Asgi = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def only(app: Asgi, era: str) -> Asgi:
    """Refuses what a server of the other generation would not understand; `both` refuses nothing."""

    async def filtered(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or era == "both":
            return await app(scope, receive, send)
        is_modern = dict(scope["headers"]).get(b"mcp-protocol-version") == MODERN.encode()
        if is_modern == (era == "modern"):
            return await app(scope, receive, send)
        error: dict[str, Any] = {"code": -32000, "message": "Bad Request: unsupported protocol version"}
        if era == "modern":
            error = {"code": -32022, "message": "unsupported", "data": {"supported": [MODERN]}}
        status = 400 if scope["method"] == "POST" else 405
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return None

    return filtered


async def serve_stdio(server: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def serve_http(app: Asgi, era: str) -> None:
    """On the port that `PORT` names, or a free one; prints the address."""
    # Named TCP, or asyncio would not switch Nagle's delay off on what it accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    listener.listen(1024)
    # Open streams do not keep it from ending.
    config = uvicorn.Config(only(app, era), log_level="error", timeout_graceful_shutdown=1)
    sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    uvicorn.Server(config).run([listener])
