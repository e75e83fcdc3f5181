"""Two gateways behind a plain round-robin, and a gateway whose configuration changes under load."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mcp import Client

from mcp_servers import HttpServer
from mesh import ANY_PORT, Mesh, binary

CALLS = 1000
RELOADS = 100


@contextmanager
def round_robin(*gateways: Mesh) -> Iterator[str]:
    """A proxy that sends each request to the next gateway, and past one that is gone."""
    command = [binary("fault-proxy")]
    for gateway in gateways:
        command += ["--to", gateway.gateway.removeprefix("http://")]
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout is not None
        yield f"http://{json.loads(proxy.stdout.readline())['listen']}"
    finally:
        proxy.kill()
        proxy.wait()


async def call_in_turn(url: str, mode: str, count: int, before: Callable[[int], None]) -> None:
    async with Client(url, mode=mode, read_timeout_seconds=30) as client:
        for number in range(count):
            before(number)
            result = await client.call_tool("add", {"a": number, "b": 1})
            assert result.structured_content == {"sum": number + 1}


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_clients_calls_all_succeed_over_two_gateways_also_when_one_is_killed(
    start_http_server: Callable[..., HttpServer],
    start_mesh: Callable[..., Mesh],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    era: str,
) -> None:
    monkeypatch.setenv("INTEROP_SESSION_KEY", secrets.token_hex(32))
    gateway = {"listen": ANY_PORT, "session_key": "${INTEROP_SESSION_KEY}"}
    config = {"gateway": gateway, "tools": {"sums": {"url": start_http_server(era).url}}}
    one, two = start_mesh(config), start_mesh(config)

    def kill_one(number: int) -> None:
        if number == CALLS // 2:
            one.kill()

    with round_robin(one, two) as proxy:
        await call_in_turn(f"{proxy}/mcp/sums", mode, CALLS, kill_one)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_no_call_fails_while_the_configuration_is_read_again_and_again(
    start_http_server: Callable[..., HttpServer], start_mesh: Callable[..., Mesh], mode: str
) -> None:
    servers = [start_http_server("modern"), start_http_server("modern")]
    mesh = start_mesh({"tools": {"sums": {"url": servers[0].url}}})
    written = json.loads(mesh.file.read_text())
    ended = asyncio.Event()

    async def keep_calling() -> int:
        number = 0
        async with Client(f"{mesh.gateway}/mcp/sums", mode=mode, read_timeout_seconds=30) as client:
            while not ended.is_set():
                number += 1
                result = await client.call_tool("add", {"a": number, "b": 1})
                assert result.structured_content == {"sum": number + 1}
        return number

    async def reload() -> None:
        for round_ in range(RELOADS):
            # Another server for the same upstream, and another upstream that comes and goes.
            tools = {"sums": {"url": servers[round_ % 2].url}}
            if round_ % 3:
                tools["other"] = {"url": servers[0].url}
            mesh.file.write_text(json.dumps(written | {"tools": tools}))
            done = await asyncio.create_subprocess_exec(
                binary("agentmesh"), "reload", "--admin", mesh.admin, stdout=asyncio.subprocess.DEVNULL
            )
            assert await done.wait() == 0
        ended.set()

    *counts, _ = await asyncio.gather(*(keep_calling() for _ in range(4)), reload())
    assert all(count > RELOADS // 10 for count in counts)


async def test_a_gateway_reads_its_configuration_again_on_a_signal(
    start_http_server: Callable[..., HttpServer], start_mesh: Callable[..., Mesh]
) -> None:
    mesh = start_mesh({"tools": {"one": {"url": start_http_server("modern").url}}})
    written = json.loads(mesh.file.read_text())
    mesh.file.write_text(json.dumps(written | {"tools": {"two": written["tools"]["one"]}}))
    assert mesh.process is not None
    mesh.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(20):
        while True:
            async with Client(f"{mesh.gateway}/mcp", read_timeout_seconds=10) as client:
                if "two_add" in [tool.name for tool in (await client.list_tools()).tools]:
                    break
            await asyncio.sleep(0.05)
