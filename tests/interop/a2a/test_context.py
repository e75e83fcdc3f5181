"""What agents share in a context: with each other, over the death of their mesh, and between processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from mesh import ROOT, Mesh, binary, eventually, scripted_agent
from wire import PATIENCE, Rpc, parts, user_message

StartMesh = Callable[..., Mesh]

CONTEXT = "a context / with ä"


async def say(mesh: Mesh, agent: str, program: str) -> dict[str, Any]:
    """The settled task of a program that runs in the context."""
    async with Rpc(mesh.agents[agent]) as rpc:
        return (await rpc.result("SendMessage", in_context(program)))["task"]


def in_context(program: str) -> dict[str, Any]:
    """Parameters of a message in the context."""
    return user_message(program, contextId=CONTEXT)


def memory(op: str, **fields: Any) -> str:
    return f"memory {json.dumps({'op': op, **fields})}"


def data(task: dict[str, Any]) -> Any:
    """What the last call of a scripted agent came to."""
    assert task["status"]["state"] == "TASK_STATE_COMPLETED", task
    return task["artifacts"][-1]["parts"][1]["data"]


async def entries(mesh: Mesh, agent: str) -> list[dict[str, Any]]:
    """The memory, as a client reads it."""
    base = mesh.agents[agent].rstrip("/")
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        answer = await http.get(
            f"{base}/extensions/context/{CONTEXT.replace('/', '%2F')}", headers={"A2A-Version": "1.0"}
        )
    assert answer.status_code == 200, answer.text
    return answer.json()["entries"]


def two_agents() -> dict[str, Any]:
    return {"agents": {"first": scripted_agent(peers=["second"]), "second": scripted_agent()}}


async def test_a_second_agent_goes_on_with_what_the_first_one_knows(start_mesh: StartMesh) -> None:
    mesh = start_mesh(two_agents())
    program = f"{memory('put', key='figures', value=[41, 42])} && agent second {memory('get', key='figures')}"
    await say(mesh, "first", program)
    history = data(await say(mesh, "second", 'history {"artifacts": true}'))
    assert [task["agent"] for task in history["tasks"]] == ["first", "second"]
    asked = history["tasks"][1]["messages"][0]
    assert asked["referenceTaskIds"] == [history["tasks"][0]["task"]]
    found = history["tasks"][1]["artifacts"][0]["parts"][1]["data"]
    assert (found["value"], found["agent"]) == ([41, 42], "first")
    command = [binary("agentmesh"), "-o", "json", "context", CONTEXT, "--gateway", mesh.gateway]
    shown = await anyio.run_process(command)
    context = json.loads(shown.stdout)
    assert [entry["agent"] for entry in context["tasks"]] == ["first", "second", "second"]
    assert [entry["value"] for entry in context["memory"]] == [[41, 42]]


async def test_the_memory_outlives_a_mesh_that_is_killed(start_mesh: StartMesh) -> None:
    mesh = start_mesh(two_agents())
    version = data(await say(mesh, "first", memory("put", key="k", value={"n": 1}, expect=0)))["version"]
    mesh.kill()
    mesh.start()
    found = data(await say(mesh, "second", memory("get", key="k")))
    assert (found["value"], found["version"]) == ({"n": 1}, version)
    stale = await say(mesh, "second", memory("put", key="k", value=2, expect=0))
    assert stale["status"]["message"]["parts"][0]["text"] == f"conflict: the entry is at version {version}"
    assert (
        data(await say(mesh, "second", memory("put", key="k", value=2, expect=version)))["version"] > version
    )


async def test_what_an_agent_gave_to_another_is_canceled_with_its_task(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    mesh = start_mesh(two_agents())
    file = tmp_path / "never"
    async with Rpc(mesh.agents["first"]) as first, Rpc(mesh.agents["second"]) as second:
        params = in_context(f"agent second wait-file {file}") | {"configuration": {"returnImmediately": True}}
        task = (await first.result("SendMessage", params))["task"]
        given: list[dict[str, Any]] = []
        while not given:
            given = (await second.result("ListTasks", {"contextId": CONTEXT}))["tasks"]
        await first.result("CancelTask", {"id": task["id"]})
        events = await second.events(given[0]["id"])
        assert events[-1].state == "TASK_STATE_CANCELED"


PYTHON_AGENT = """
async def run(task):
    total = await task.memory.update("n", lambda n: n + 1, 0)
    past = [f"{earlier.text}: {earlier.answer}" for earlier in await task.history()]
    return f"{total} after {past}"
"""


async def test_a_python_worker_counts_in_the_memory_and_knows_what_was_said(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    (tmp_path / "agent.py").write_text(PYTHON_AGENT)
    worker = {
        "command": [sys.executable, "-m", "agentmesh", "agent:run"],
        "cwd": str(tmp_path),
        "env": {"PYTHONPATH": str(ROOT / "sdk/python/src")},
    }
    mesh = start_mesh({"agents": {"python": scripted_agent(worker=worker), "other": scripted_agent()}})
    await say(mesh, "other", memory("put", key="n", value=40))
    await say(mesh, "other", "echo hello")
    answer = await say(mesh, "python", "go")
    [told] = parts(answer, "response")
    assert told.startswith("41 after ['memory ")
    assert told.endswith("'echo hello: hello']")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[str]:
    """A server with JetStream on a free port."""
    program = ROOT / ".envs/nats/bin/nats-server"
    command = [str(program), "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(tmp_path / "nats")]
    command += ["--ports_file_dir", str(tmp_path)]
    with (tmp_path / "nats.log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            ports = tmp_path / f"nats-server_{process.pid}.ports"
            text = eventually(lambda: ports.exists() and ports.read_text(), what="the ports of the server")
            yield json.loads(text)["nats"][0]
        finally:
            process.kill()


async def test_agents_in_two_processes_share_a_context_over_jetstream(
    start_mesh: StartMesh, nats: str
) -> None:
    one = start_mesh({"storage": nats, "agents": {"first": scripted_agent()}})
    other = start_mesh({"storage": nats, "agents": {"second": scripted_agent()}})
    version = data(await say(one, "first", memory("put", key="k", value=1)))["version"]
    assert data(await say(other, "second", memory("get", key="k")))["value"] == 1
    assert (
        data(await say(other, "second", memory("put", key="k", value=2, expect=version)))["version"] > version
    )
    assert [entry["value"] for entry in await entries(one, "first")] == [2]
    told = data(await say(one, "first", "history"))
    assert [task["agent"] for task in told["tasks"]] == ["first", "second", "second"]
    counts = f"count n {20}"
    await say(one, "first", counts)
    await say(other, "second", counts)
    assert {entry["key"]: entry["value"] for entry in await entries(other, "second")} == {"k": 2, "n": 40}
