"""Tasks that were trimmed: read as before, and never followed with a gap (docs/event-log-extension.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest
from a2a.client import ClientConfig, create_client
from a2a.types import GetTaskRequest, TaskState

from mesh import Mesh, eventually, scripted_agent
from wire import PATIENCE, Rpc

StartMesh = Callable[..., Mesh]


async def gap(rpc: Rpc, task: str, after: int) -> dict[str, Any] | None:
    """What a subscription after a number is refused with; none if it is not."""
    headers = {"Last-Event-ID": str(after)}
    body = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": task}}
    response = await rpc.http.post("/", json=body, headers=headers)
    if response.headers["content-type"].startswith("text/event-stream"):
        return None
    return response.json()["error"]


def wait_until_trimmed(mesh: Mesh) -> None:
    """A mesh that starts trims at once."""
    counter = 'a2a_trimmed_tasks_total{agent="scripted"} 1'
    eventually(lambda: counter in httpx.get(f"{mesh.admin}/metrics").text, what="a trimmed task")


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_a_trimmed_task_is_read_as_before_and_a_gap_is_an_error(
    start_mesh: StartMesh, binding: str
) -> None:
    mesh = start_mesh({"agents": {"scripted": scripted_agent(tasks={"retention": {"events": "0s"}})}})
    async with Rpc(mesh.agents["scripted"]) as rpc:
        task = await rpc.send("chunks 20")
        whole = await rpc.get(task["id"])
    mesh.stop()
    mesh.start()
    wait_until_trimmed(mesh)
    url = mesh.agents["scripted"]
    async with Rpc(url) as rpc:
        error = await gap(rpc, task["id"], 0)
        assert error is not None
        assert error["code"] == -32051
        info = error["data"][0]
        assert info["reason"] == "EVENTS_TRIMMED"
        last = int(info["metadata"]["firstEvent"])
        assert str(last) in error["message"]
        assert await rpc.get(task["id"]) == whole
        assert await gap(rpc, task["id"], last - 1) == error
        assert await rpc.events(task["id"], last) == []

        headers = {"A2A-Version": "1.0", "Last-Event-ID": "1"}
        gone = await rpc.http.get(f"/tasks/{task['id']}:subscribe", headers=headers)
        assert gone.status_code == 410
        assert gone.json()["error"]["details"][0]["metadata"] == {"firstEvent": str(last)}

    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        config = ClientConfig(
            httpx_client=http,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=[binding],
        )
        async with await create_client(url, config) as client:
            found = await client.get_task(GetTaskRequest(id=task["id"]))
            assert found.status.state == TaskState.TASK_STATE_COMPLETED
            assert len(found.artifacts[0].parts) == 20
