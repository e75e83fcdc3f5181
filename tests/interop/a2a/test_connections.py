"""Many connections: a thousand that are open, and more than are allowed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mesh import Mesh, resident_bytes, scripted_agent
from wire import Rpc, chunks, user_message

StartMesh = Callable[..., Mesh]
THOUSAND = 1000


@asynccontextmanager
async def open_connections(
    url: str, count: int
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """TCP connections on which nothing has been said yet."""
    host, port = url.removeprefix("http://").split(":")
    connections = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    try:
        yield connections
    finally:
        for _, writer in connections:
            writer.close()


async def active_connections(mesh: Mesh, rpc: Rpc) -> float:
    text = (await rpc.http.get(f"{mesh.admin}/metrics")).text
    values = [line.split()[-1] for line in text.splitlines() if line.startswith("a2a_active_connections{")]
    return sum(float(value) for value in values)


async def test_a_thousand_idle_connections_leave_room_for_work(start_mesh: StartMesh) -> None:
    mesh = start_mesh({"agents": {"scripted": scripted_agent()}, "limits": {"connections": THOUSAND + 50}})
    before = resident_bytes(mesh.pid)
    async with open_connections(mesh.agents["scripted"], THOUSAND), Rpc(mesh.agents["scripted"]) as rpc:
        for _ in range(10):
            assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"
        assert await active_connections(mesh, rpc) >= THOUSAND
        assert resident_bytes(mesh.pid) - before < 64 << 20


async def test_a_thousand_subscribers_of_one_task_get_every_event(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    mesh = start_mesh({"agents": {"scripted": scripted_agent()}})
    url = mesh.agents["scripted"]
    async with Rpc(url) as rpc, rpc.send_streaming(f"wait-file {file} && chunks 20") as tap:
        waiting = await tap.until_waiting()
        body = json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": waiting.task_id}}
        )
        request = (
            "POST / HTTP/1.1\r\nHost: mesh\r\nContent-Type: application/json\r\nA2A-Version: 1.0\r\n"
            f"Last-Event-ID: {waiting.number}\r\nContent-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n{body}"
        )
        async with open_connections(url, THOUSAND) as connections:
            for _, writer in connections:
                writer.write(request.encode())
            for reader, _ in connections:
                assert b" 200 " in await reader.readline()
            file.touch()
            rest = await tap.rest()
            assert len(chunks(rest)) == 20
            for reader, _ in connections:
                text = (await reader.read()).decode()
                ids = [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]
                assert ids == [event.number for event in rest]


async def test_connections_beyond_the_bound_wait_and_silent_ones_are_cut(start_mesh: StartMesh) -> None:
    limits = {"connections": 20, "header_timeout": "1s"}
    mesh = start_mesh({"agents": {"scripted": scripted_agent()}, "limits": limits})
    url = mesh.agents["scripted"]
    async with open_connections(url, 20) as connections, Rpc(url) as rpc:
        # There is no place for this one until the silent ones have had their time.
        assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"
        assert await connections[0][0].read() == b""


async def test_a_full_queue_is_said_clearly_and_passes(start_mesh: StartMesh, tmp_path: Path) -> None:
    file = tmp_path / "go"
    tasks = {"concurrency": 1, "queue": 1}
    mesh = start_mesh({"agents": {"scripted": scripted_agent(tasks=tasks)}})
    async with Rpc(mesh.agents["scripted"]) as rpc:
        async with rpc.send_streaming(f"wait-file {file}") as running:
            await running.until_waiting()
            async with rpc.send_streaming("bench", messageId="queued") as queued:
                await queued.next()
                error = await rpc.error("SendMessage", user_message("bench"))
                assert error["code"] == -32050
                assert "busy" in error["message"]
                # What is known already is not refused: it needs no new place.
                again = rpc.send_streaming("bench", messageId="queued")
                async with again as known:
                    first = await known.next()
                    assert first is not None
                    assert first.task_id == queued.seen[0].task_id
                file.touch()
                assert len(chunks(await queued.rest())) == 10
        assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"
