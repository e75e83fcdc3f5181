"""An MCP server (2026-07-28, Streamable HTTP) without an SDK: it answers with exact bytes.

Prints its address, and shows in its results what it was sent. The SDK's servers leave out of their results
what they do not know; this one does not.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What somebody who parses and prints again would change: spaces, order, numbers, escapes, unknown members.
DEFINITION = (
    r'{"x-vendor": {"big":123456789012345678901234567890, "one":1.0}, "name":"odd" ,'
    r'"description":"\u00e9\/","inputSchema":{"type":"object","x-e":1E+2},"execution":{"taskSupport":"optional"}}'
)
RESULT = (
    r'{ "content":[{"type":"text","text":"odd","x-part":-0}, {"type":"x-unknown","\u0061":[]}],'
    r'"structuredContent":{"big":123456789012345678901234567890,"precise":0.1000000000000000055,"one":1.0,'
    r'"tiny":1e-400,"null":null},"resultType":"complete" ,"x-result":{"z":1,"a":2},"_meta":{"x.y/z":1.50}}'
)
SEEN = '{"name":"seen","description":"Shows the request","inputSchema":{"type":"object"}}'
DISCOVERED = (
    '{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},'
    '"ttlMs":60000,"cacheScope":"public"}'
)
LISTED = f'{{"resultType":"complete","tools":[{DEFINITION},{SEEN}],"ttlMs":60000,"cacheScope":"public"}}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = json.loads(body)
        identifier = json.dumps(request.get("id"))
        result = self.result(request, body)
        member = f'"result":{result}' if result else '"error":{"code":-32601,"message":"not here"}'
        answer = f'{{"jsonrpc":"2.0","id":{identifier},{member}}}'.encode()
        self.send_response(200 if result else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def result(self, request: dict, body: bytes) -> str | None:
        match request["method"], request.get("params", {}).get("name"):
            case "server/discover", _:
                return DISCOVERED
            case "tools/list", _:
                return LISTED
            case "tools/call", "odd":
                return RESULT
            case "tools/call", "seen":
                seen = {"headers": {k.lower(): v for k, v in self.headers.items()}, "body": body.decode()}
                return json.dumps({"resultType": "complete", "content": [], "structuredContent": seen})
        return None

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_address[1]}/mcp\n")
    sys.stdout.flush()
    server.serve_forever()
