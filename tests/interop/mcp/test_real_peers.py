"""Official servers behind the gateway, and official clients in front of it: what they see of each other."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from real_peers import CLIENTS, MORE_STEPS, follow, tool_steps, upstreams

from conformance import NODE, PACKAGES
from mesh import Mesh

# Upstreams whose prompts and resources do not arrive yet; a test of one that does has to leave this table.
NOT_YET: dict[str, str] = {}
SERVERS = ["everything", "filesystem", "memory", "fast", "sdk"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seen")


@pytest.fixture(scope="module")
def gateway(directory: Path, start_shared_mesh: Callable[..., Mesh]) -> str:
    return start_shared_mesh({"tools": upstreams(directory)}).gateway


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_sees_an_upstream_by_its_own_names(
    gateway: str, directory: Path, client: str, server: str
) -> None:
    steps = tool_steps(directory)[server]
    observed = follow(client, f"{gateway}/mcp/{server}", [{"do": "tools"}] + [wanted for wanted, _ in steps])
    assert {wanted["name"] for wanted, _ in steps} <= set(observed[0])
    assert observed[1:] == [expected for _, expected in steps]


def test_a_client_sees_all_upstreams_as_one_server(gateway: str, directory: Path, client: str) -> None:
    steps = [
        (wanted | {"name": f"{server}_{wanted['name']}"}, expected)
        for server, steps in tool_steps(directory).items()
        for wanted, expected in steps
    ]
    observed = follow(client, f"{gateway}/mcp", [{"do": "tools"}] + [wanted for wanted, _ in steps])
    assert {wanted["name"] for wanted, _ in steps} <= set(observed[0])
    assert observed[1:] == [expected for _, expected in steps]


@pytest.mark.parametrize("server", MORE_STEPS)
def test_a_client_sees_an_upstreams_prompts_and_resources(
    request: pytest.FixtureRequest, gateway: str, client: str, server: str
) -> None:
    if reason := NOT_YET.get(server):
        request.applymarker(pytest.mark.xfail(reason=reason, raises=AssertionError))
    steps = MORE_STEPS[server]
    observed = follow(client, f"{gateway}/mcp/{server}", [wanted for wanted, _ in steps])
    assert observed == [expected for _, expected in steps]


def test_the_inspector_lists_and_calls(gateway: str, directory: Path) -> None:
    def inspect(*arguments: str) -> dict:
        program = PACKAGES / "@modelcontextprotocol" / "inspector" / "clients" / "cli" / "build" / "index.js"
        command = [str(NODE), str(program), f"{gateway}/mcp", "--transport", "http", *arguments]
        # It starts itself again, with whatever Node.js it finds; and it keeps its settings at home.
        environment = os.environ | {"PATH": f"{NODE.parent}:{os.environ['PATH']}", "HOME": str(directory)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    listed = inspect("--method", "tools/list")
    assert "everything_echo" in [tool["name"] for tool in listed["tools"]]
    called = inspect("--method", "tools/call", "--tool-name", "everything_echo", "--tool-arg", "message=hi")
    assert called["content"] == [{"type": "text", "text": "Echo: hi"}]
