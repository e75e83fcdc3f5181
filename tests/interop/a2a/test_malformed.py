"""Malformed requests: an error of the protocol each, nothing worse, and nothing left behind."""

from __future__ import annotations

from mesh import Mesh
from rubbish import throw_rubbish
from wire import Rpc


async def test_the_host_answers_a_thousand_malformed_requests_with_errors(mesh: Mesh, rpc: Rpc) -> None:
    throw_rubbish(mesh, mesh.agents["scripted"], "a2a")
    assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_the_gateway_answers_a_thousand_malformed_requests_with_errors(mesh: Mesh, rpc: Rpc) -> None:
    throw_rubbish(mesh, mesh.gateway, "http")
    assert (await rpc.http.get(f"{mesh.gateway}/agents")).status_code == 200


async def test_the_admin_listener_answers_a_thousand_malformed_requests_with_errors(
    mesh: Mesh, rpc: Rpc
) -> None:
    throw_rubbish(mesh, mesh.admin, "http")
    assert (await rpc.http.get(f"{mesh.admin}/readyz")).status_code == 200
