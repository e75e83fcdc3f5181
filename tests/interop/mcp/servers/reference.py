"""An MCP server with everything that MCP's conformance suite asks of a server, made with the official SDK.

usage: reference.py both | legacy | modern | stdio

The first three serve Streamable HTTP on a free port and print its address; `legacy` and `modern` know one
generation of the protocol only. What it lacks are the extensions, which the SDK does not have.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import anyio
from mcp import MCPDeprecationWarning, MCPError
from mcp.server import CacheHint, Server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import ListenHandler
from reference_content import described_prompts, described_resources, described_templates, prompt, read
from reference_tools import BUS, DEFINITIONS, HANDLERS, schema_of
from reference_turns import INVALID_PARAMS, Ask, Result, Turn, answer, of_revision
from serving import serve_http, serve_stdio

CACHED = (
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "server/discover",
    "tools/list",
)


class Events(EventStore):
    """The events of all streams, so that a client can come back for what it missed; none is forgotten."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        if not last_event_id.isdigit() or not 0 < int(last_event_id) <= len(self.events):
            return None
        last = int(last_event_id)
        stream = self.events[last - 1][0]
        for number, (of, message) in enumerate(self.events[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def call_tool(context: Any, params: Any) -> Any:
    handler = HANDLERS.get(params.name)
    if handler is None:
        raise MCPError(INVALID_PARAMS, f"unknown tool: {params.name}")
    return await answer(handler, context, params)


async def get_prompt(context: Any, params: Any) -> Any:
    async def handler(turn: Turn) -> Result | Ask:
        return prompt(params.name, turn)

    return await answer(handler, context, params)


async def read_resource(context: Any, params: Any) -> Any:
    return of_revision(context, read(str(params.uri)))


async def nothing(_context: Any, _params: Any) -> Any:
    return {}


def always(result: Result) -> Any:
    async def handler(context: Any, _params: Any) -> Any:
        return of_revision(context, result)

    return handler


def build() -> Server[Any]:
    # It serves the old revisions too.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    hint = CacheHint(ttl_ms=60_000, scope="public")
    return Server(
        "reference",
        version="1.0.0",
        on_list_tools=always({"tools": DEFINITIONS}),
        on_call_tool=call_tool,
        on_list_prompts=always({"prompts": described_prompts()}),
        on_get_prompt=get_prompt,
        on_list_resources=always({"resources": described_resources()}),
        on_list_resource_templates=always({"resourceTemplates": described_templates()}),
        on_read_resource=read_resource,
        on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing,
        on_set_logging_level=nothing,
        on_completion=always({"completion": {"values": ["paris", "park"], "total": 2, "hasMore": False}}),
        on_subscriptions_listen=ListenHandler(BUS),
        get_tool_input_schema=schema_of,
        cache_hints=dict.fromkeys(CACHED, hint),
    )


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        anyio.run(serve_stdio, build())
    else:
        serve_http(build().streamable_http_app(event_store=Events(), retry_interval=200), sys.argv[1])
