"""An MCP server (2026-07-28, Streamable HTTP) that does as little as can be, so that a gateway shows.

Prints its address. One tool, `echo`, whose answer is always the same. Reads only what a well-meaning
client sends.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

DISCOVERED = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "ttlMs": 3_600_000,
    "cacheScope": "public",
}
LISTED = {
    "tools": [{"name": "echo", "description": "Answers", "inputSchema": {"type": "object"}}],
    "ttlMs": 3_600_000,
    "cacheScope": "public",
}
CALLED = {"content": [{"type": "text", "text": "hello"}], "structuredContent": {"text": "hello"}}
RESULTS = {
    method: json.dumps({"resultType": "complete"} | result, separators=(",", ":")).encode()
    for method, result in (
        (b"server/discover", DISCOVERED),
        (b"tools/list", LISTED),
        (b"tools/call", CALLED),
    )
}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
ID = re.compile(rb'"id":(\d+)')
METHOD = re.compile(rb'"method":"([^"]+)"')


class Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.pending, 0, end)
            rest = end + 4 + int(length[1] if length else 0)
            if len(self.pending) < rest:
                return
            self.answer(self.pending[end + 4 : rest])
            self.pending = self.pending[rest:]

    def answer(self, body: bytes) -> None:
        identifier, method = ID.search(body), METHOD.search(body)
        result = RESULTS.get(method[1]) if method else None
        if identifier is None or result is None:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        answer = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identifier[1], result)
        self.transport.write(HEAD % len(answer) + answer)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
