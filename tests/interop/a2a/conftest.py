"""Fixtures of the A2A suite: one mesh with one scripted agent for each module, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import httpx
import pytest
from a2a.client import Client, ClientConfig, create_client

from mesh import Mesh, scripted_agent
from suites import Agents
from wire import PATIENCE, Rpc


@pytest.fixture(scope="module")
def mesh(start_shared_mesh: Callable[..., Mesh]) -> Mesh:
    return start_shared_mesh({"agents": {"scripted": scripted_agent(tasks={"concurrency": 64})}})


@pytest.fixture(scope="module")
def agents(start_shared_mesh: Callable[..., Mesh]) -> Agents:
    """Two agents for suites in other languages: one that notifies loopback addresses, and one that notifies nobody."""
    agent = scripted_agent(tasks={"concurrency": 64})
    ordinary = start_shared_mesh({"push": {"allow": ["127.0.0.0/8"]}, "agents": {"scripted": agent}})
    without_push = start_shared_mesh({"push": {"per_task": 0}, "agents": {"scripted": agent}})
    return Agents(ordinary.agents["scripted"], without_push.agents["scripted"])


@pytest.fixture
async def rpc(mesh: Mesh) -> AsyncIterator[Rpc]:
    """A client that is not the SDK's."""
    async with Rpc(mesh.agents["scripted"]) as rpc:
        yield rpc


@pytest.fixture(params=["JSONRPC", "HTTP+JSON", "GRPC"])
def binding(request: pytest.FixtureRequest) -> str:
    """Each of the bindings that the card offers."""
    return request.param


async def _official(mesh: Mesh, binding: str, **config: Any) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        config = ClientConfig(
            httpx_client=http,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=[binding],
            **config,
        )
        async with await create_client(mesh.agents["scripted"], config) as client:
            yield client


@pytest.fixture
async def client(mesh: Mesh, binding: str) -> AsyncIterator[Client]:
    """The official client, as it comes: it streams."""
    async for client in _official(mesh, binding):
        yield client


@pytest.fixture
async def blocking_client(mesh: Mesh, binding: str) -> AsyncIterator[Client]:
    """The official client with SendMessage."""
    async for client in _official(mesh, binding, streaming=False):
        yield client


@pytest.fixture
async def polling_client(mesh: Mesh, binding: str) -> AsyncIterator[Client]:
    """The official client with SendMessage and returnImmediately."""
    async for client in _official(mesh, binding, streaming=False, polling=True):
        yield client
