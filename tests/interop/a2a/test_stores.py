"""Backup, doctor and restore of a store: beside a mesh that works, and for one that has ended."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mesh import Mesh, binary, scripted_agent
from wire import Rpc, numbers, user_message

AGENTS = {"agents": {"scripted": scripted_agent(tasks={"concurrency": 64})}}


def agentmesh(mesh: Mesh, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """A command about the mesh's store: its exit status, its result, and what it says."""
    command = [binary("agentmesh"), "-o", "json", *arguments, "-f", str(mesh.file)]
    done = subprocess.run(
        command, cwd=mesh.directory, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


async def begin(rpc: Rpc, program: str) -> str:
    params = user_message(program) | {"configuration": {"returnImmediately": True}}
    return (await rpc.result("SendMessage", params))["task"]["id"]


async def test_a_task_that_worked_when_the_backup_was_made_is_finished_after_the_restore(
    start_mesh: Callable[..., Mesh], tmp_path: Path
) -> None:
    file, backup = tmp_path / "go", str(tmp_path / "backup.db")
    mesh = start_mesh(AGENTS)
    async with Rpc(mesh.agents["scripted"]) as rpc:
        done = (await rpc.result("SendMessage", user_message("chunks 20 && echo done")))["task"]["id"]
        task = await begin(rpc, f"chunks 3 && wait-file {file} && echo done")
        async with rpc.tap(task, 0) as tap:
            await tap.until_waiting()
        code, made, _ = agentmesh(mesh, "backup", backup)
        assert (code, made["tasks"]) == (0, 2)
        code, found, _ = agentmesh(mesh, "doctor")
        assert (code, found["sound"], found["findings"]) == (0, True, []), found
        code, _, said = agentmesh(mesh, "restore", backup, "--force")
        assert code == 1
        assert "in use by process" in said
        # What comes after the backup is not in it.
        late = (await rpc.result("SendMessage", user_message("echo late")))["task"]["id"]
        assert (await rpc.result("GetTask", {"id": task}))["status"]["state"] == "TASK_STATE_WORKING"
    mesh.kill()
    assert agentmesh(mesh, "doctor")[0] == 0
    code, _, said = agentmesh(mesh, "restore", backup)
    assert code == 1
    assert "--force" in said
    code, restored, _ = agentmesh(mesh, "restore", backup, "--force")
    assert (code, restored["tasks"], restored["unfinished"]) == (0, 2, 1)
    assert Path(restored["kept"]).exists()
    file.touch()
    mesh.start()
    assert mesh.resumed == 1
    async with Rpc(mesh.agents["scripted"]) as rpc:
        events = await rpc.events(task)
        assert numbers(events) == list(range(1, len(events) + 1))
        assert (await rpc.result("GetTask", {"id": task}))["status"]["state"] == "TASK_STATE_COMPLETED"
        assert (await rpc.result("GetTask", {"id": done}))["status"]["state"] == "TASK_STATE_COMPLETED"
        assert (await rpc.error("GetTask", {"id": late}))["code"] == -32001
    mesh.stop()
    assert agentmesh(mesh, "doctor")[1]["sound"]
