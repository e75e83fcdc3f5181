"""Starts what is measured: Agent Mesh, its peers, and the upstreams of its gateway.

Every server ends with the block that it was started for.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "target" / "release"
BUILT_PEERS = ROOT / "target" / "bench-peers" / "release"
WORK = ROOT / "target" / "bench"
# What is measured is a copy: a build that ends in the middle of a run must not change it.
BIN = WORK / "bin"
LOG = WORK / "servers.log"
PROGRAMS = ("agentmesh", "echo-server", "load", "scripted-worker")
PEERS = ROOT / "benches" / "peers"
PEER_PROGRAMS = ("official-server", "protocol-server")
A2A_PYTHON = ROOT / ".envs" / "a2a" / "bin" / "python"
MCP_PYTHON = ROOT / ".envs" / "tools" / "bin" / "python"
NATS_SERVER = ROOT / ".envs" / "nats" / "bin" / "nats-server"
ANY_PORT = "127.0.0.1:0"
# More than any cell needs, so that no bound of the configuration is measured.
LIMITS = {"connections": 20_000, "streams_per_task": 20_000}


class BenchError(Exception):
    """A server or its measurement failed; the run goes on without it."""


@dataclass
class Server:
    """A running server: where it is, and the processes to measure."""

    url: str
    pid: int
    more_pids: list[int] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        return [self.pid, *self.more_pids]


Starter = Callable[[], Any]


@contextmanager
def process(command: list[str | Path], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A child process that ends with the block."""
    with LOG.open("a") as log:
        try:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                **more,
            )
        except OSError as error:
            raise BenchError(f"{Path(command[0]).name}: {error.strerror}") from error
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    if not line:
        assert isinstance(child.args, list)
        raise BenchError(f"{Path(str(child.args[0])).name} did not start; see {LOG.relative_to(ROOT)}")
    return line


@contextmanager
def peer(*command: str | Path) -> Iterator[Server]:
    """A server that prints its address when it listens."""
    with process(list(command)) as child:
        yield Server(line_of(child), child.pid)


def official_rust() -> Any:
    return peer(BIN / "official-server")


@contextmanager
def protocol_server(*, durable: bool) -> Iterator[Server]:
    directory = empty(WORK / "peer")
    with peer(BIN / "protocol-server", *([directory / "tasks.db"] if durable else [])) as server:
        yield server


def official_python() -> Any:
    return peer(A2A_PYTHON, PEERS / "a2a_sdk_server.py")


def empty(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


@contextmanager
def mesh(config: dict[str, Any], *arguments: str) -> Iterator[tuple[dict[str, Any], int]]:
    """`agentmesh up` with an empty store on a real disk: what it says of itself, and its process."""
    directory = empty(WORK / "mesh")
    listeners = {"gateway": {"listen": ANY_PORT}, "admin": {"listen": ANY_PORT}}
    # JSON is YAML.
    (directory / "mesh.yaml").write_text(json.dumps({"mesh": "bench"} | listeners | config))
    command = [BIN / "agentmesh", "up", "-o", "json", "-f", directory / "mesh.yaml", *arguments]
    with process(command) as child:
        started, ready = json.loads(line_of(child)), json.loads(line_of(child))
        yield started | ready, child.pid


@contextmanager
def our_host(*arguments: str, **config: Any) -> Iterator[Server]:
    # As in the peers, each chunk is an event.
    tasks = {"concurrency": 64, "join_tokens": "0s"}
    agent = {"listen": ANY_PORT, "worker": {"command": [str(BIN / "scripted-worker")]}, "tasks": tasks}
    with mesh({"agents": {"bench": agent}, "limits": LIMITS} | config, *arguments) as (started, pid):
        yield Server(started["agents"]["bench"] + "/", pid)


@contextmanager
def nats() -> Iterator[tuple[str, int]]:
    """A nats-server on a port of its own that acknowledges what is on disk: its address, and its process."""
    directory = empty(WORK / "nats")
    log, store = directory / "log", json.dumps(str(directory / "store"))
    (directory / "nats.conf").write_text(
        f'listen: "127.0.0.1:-1"\nmax_payload: 8MB\nlog_file: {json.dumps(str(log))}\n'
        f"jetstream {{ store_dir: {store}, sync_interval: always }}\n"
    )
    with process([NATS_SERVER, "-c", directory / "nats.conf"]) as child:
        deadline = time.monotonic() + 20
        while "Server is ready" not in (text := log.read_text() if log.exists() else ""):
            if child.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"nats-server did not start; see {LOG.relative_to(ROOT)} and {log}")
            time.sleep(0.05)
        address = text.split("Listening for client connections on ")[1].split()[0]
        yield f"nats://{address}", child.pid


@contextmanager
def our_host_on_jetstream() -> Iterator[Server]:
    with nats() as (address, pid), our_host(storage=address) as server:
        server.more_pids = [pid]
        yield server


@contextmanager
def through_gateway(upstream: Starter) -> Iterator[Server]:
    with (
        upstream() as behind,
        mesh({"tools": {"bench": {"url": behind.url}}}) as (started, pid),
    ):
        yield Server(f"{started['gateway']}/mcp/bench", pid)


@contextmanager
def many_upstreams(count: int, tools: int) -> Iterator[Server]:
    """All tools of so many fast upstreams as one server."""
    with ExitStack() as stack:
        servers = [stack.enter_context(echo_upstream(tools - 1)) for _ in range(count)]
        config = {f"bench{n}": {"url": server.url} for n, server in enumerate(servers)}
        started, pid = stack.enter_context(mesh({"tools": config}))
        yield Server(f"{started['gateway']}/mcp", pid)


@contextmanager
def agent_through_gateway() -> Iterator[Server]:
    """The route to an agent of the same mesh: its CPU time is that of both."""
    tasks = {"concurrency": 64, "join_tokens": "0s"}
    agent = {"listen": ANY_PORT, "worker": {"command": [str(BIN / "scripted-worker")]}, "tasks": tasks}
    with mesh({"agents": {"bench": agent}, "limits": LIMITS}, "--ephemeral") as (started, pid):
        yield Server(f"{started['gateway']}/agents/bench/", pid)


def echo_upstream(more_tools: int = 0) -> Any:
    return peer(BIN / "echo-server", "--tools", str(more_tools))


def sdk_upstream() -> Any:
    return peer(MCP_PYTHON, ROOT / "tests" / "interop" / "mcp" / "servers" / "server.py", "modern")


OURS: dict[str, Starter] = {
    "Agent Mesh, SQLite": our_host,
    "Agent Mesh, `--ephemeral`": lambda: our_host("--ephemeral"),
    "Agent Mesh, JetStream": our_host_on_jetstream,
}
THEIRS: dict[str, Starter] = {
    "Rust SDK, in memory": official_rust,
    "a2a-protocol-server, in memory": lambda: protocol_server(durable=False),
    "a2a-protocol-server, SQLite": lambda: protocol_server(durable=True),
    "Python SDK, in memory": official_python,
}
SQLITE, MEMORY, JETSTREAM = OURS
RUST_SDK, PROTOCOL_MEMORY, PROTOCOL_SQLITE, PYTHON_SDK = THEIRS
MCP_SERVERS: dict[str, tuple[str, Starter]] = {
    "echo server, direct": ("echo", echo_upstream),
    "echo server, through the gateway": ("echo", lambda: through_gateway(echo_upstream)),
    "Python SDK server, direct": ("sdk", sdk_upstream),
    "Python SDK server, through the gateway": ("sdk", lambda: through_gateway(sdk_upstream)),
}
