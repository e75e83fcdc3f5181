"""Fixtures of the A2A suite: one mesh with one scripted agent for each module, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from a2a.client import Client

from mesh import Mesh, scripted_agent
from official import connect
from suites import Agents
from wire import Rpc


@pytest.fixture(scope="session", autouse=True)
async def one_loop() -> AsyncIterator[None]:
    """Holds one event loop for all tests.

    gRPC hands the end of a call that was left to the loop that made it.
    If that loop is closed, some other test fails.
    """
    yield  # noqa: PT022 - what is held is held until here


@pytest.fixture(scope="module")
def door(request: pytest.FixtureRequest) -> str:
    """Where agents are spoken to: at their hosts, or, in modules marked with `DOORS`, at the gateway too."""
    return getattr(request, "param", "host")


@pytest.fixture(scope="module")
def mesh(start_shared_mesh: Callable[..., Mesh], door: str) -> Mesh:
    mesh = start_shared_mesh({"agents": {"scripted": scripted_agent(tasks={"concurrency": 64})}})
    return mesh.at(door)


@pytest.fixture(scope="module")
def agents(start_shared_mesh: Callable[..., Mesh], door: str) -> Agents:
    """For suites in other languages: an agent that notifies this machine, and one that notifies nobody."""
    agent = scripted_agent(tasks={"concurrency": 64})
    ordinary = start_shared_mesh({"push": {"allow": ["127.0.0.0/8"]}, "agents": {"scripted": agent}})
    without_push = start_shared_mesh({"push": {"per_task": 0}, "agents": {"scripted": agent}})
    return Agents(ordinary.at(door).agents["scripted"], without_push.at(door).agents["scripted"])


@pytest.fixture
async def rpc(mesh: Mesh) -> AsyncIterator[Rpc]:
    """A client that is not the SDK's."""
    async with Rpc(mesh.agents["scripted"]) as rpc:
        yield rpc


@pytest.fixture(params=["JSONRPC", "HTTP+JSON", "GRPC"])
def binding(request: pytest.FixtureRequest) -> str:
    """Each of the bindings that the card offers."""
    return request.param


@pytest.fixture
async def client(mesh: Mesh, binding: str) -> AsyncIterator[Client]:
    """The official client, as it comes: it streams."""
    async with connect(mesh.agents["scripted"], binding) as client:
        yield client


@pytest.fixture
async def blocking_client(mesh: Mesh, binding: str) -> AsyncIterator[Client]:
    """The official client with SendMessage."""
    async with connect(mesh.agents["scripted"], binding, streaming=False) as client:
        yield client


@pytest.fixture
async def polling_client(mesh: Mesh, binding: str) -> AsyncIterator[Client]:
    """The official client with SendMessage and returnImmediately."""
    async with connect(mesh.agents["scripted"], binding, streaming=False, polling=True) as client:
        yield client
