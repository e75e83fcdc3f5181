"""Fixtures of the MCP suite: real MCP servers behind our gateway, and the official client in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcp_servers import SERVER, HttpServer, stdio_upstream
from mesh import Mesh, scripted_agent


@pytest.fixture(scope="module")
def start_http_server() -> Iterator[Callable[..., HttpServer]]:
    servers: list[HttpServer] = []

    def start(era: str, program: Path = SERVER) -> HttpServer:
        servers.append(HttpServer(era, program))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def mesh(start_http_server: Callable[..., HttpServer], start_shared_mesh: Callable[..., Mesh]) -> Mesh:
    """A gateway with one upstream of each kind, and an agent that may use two of them."""
    tools = {
        "stdio": stdio_upstream(),
        "legacy": {"url": start_http_server("legacy").url},
        "modern": {"url": start_http_server("modern").url},
        # The address that nobody listens on.
        "absent": {"url": "http://127.0.0.1:1/mcp"},
    }
    agent = scripted_agent(tools=["stdio/*", "modern/add"])
    return start_shared_mesh({"tools": tools, "agents": {"worker": agent}})


@pytest.fixture(params=["legacy", "2026-07-28", "auto"])
def mode(request: pytest.FixtureRequest) -> str:
    """How the official client negotiates: with a handshake, without, or as the server wants."""
    return request.param


@pytest.fixture(params=["stdio", "legacy", "modern"])
def upstream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def connect(mesh: Mesh, mode: str) -> Callable[..., Client]:
    """The official client: of the whole gateway, or of one upstream."""

    def connect(upstream: str = "", **settings: Any) -> Client:
        url = f"{mesh.gateway}/mcp/{upstream}".rstrip("/")
        return Client(url, mode=mode, read_timeout_seconds=30, **settings)

    return connect
