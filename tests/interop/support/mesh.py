"""A mesh of its own for a test: `agentmesh up` with a generated mesh file, on free ports."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[3]
ANY_PORT = "127.0.0.1:0"
# A debug build on a busy machine is slow; nothing waits this long unless it is broken.
START_SECONDS = 40
STOP_SECONDS = 30

T = TypeVar("T")


def binary(name: str) -> str:
    """Path of one of our programs: `AGENTMESH_BIN` and its neighbours, or the debug build."""
    chosen = os.environ.get("AGENTMESH_BIN")
    path = Path(chosen).resolve() if chosen else ROOT / "target" / "debug" / "agentmesh"
    path = path.with_name(name)
    assert path.is_file(), f"{path} is not there: run `make build`, or set AGENTMESH_BIN"
    return str(path)


def eventually(condition: Callable[[], T | None], *, what: str, within: float = 15.0) -> T:
    """Waits for something outside of this process that nothing announces: the end of a child, say."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.02)
    return value


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one with the same number by the time at which it began."""

    pid: int
    parent: int
    began: int
    command: str

    def is_alive(self) -> bool:
        now = look_at(self.pid)
        return now is not None and now.began == self.began

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def look_at(pid: int) -> Process | None:
    """What `/proc` says about a process; None if it has ended, also if nobody has waited for it yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[19]), command.replace(b"\0", b" ").decode().strip())


def descendants(root: int) -> list[Process]:
    """The children of a process, their children, and so on."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    processes = [process for pid in pids if (process := look_at(pid))]
    found: list[Process] = []
    parents = {root}
    while new := [p for p in processes if p.parent in parents and p not in found]:
        found += new
        parents = {p.pid for p in new}
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of one process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def scripted_agent(**settings: Any) -> dict[str, Any]:
    """An agent whose messages are little programs: see `mesh_test::worker`."""
    agent = {"listen": ANY_PORT, "worker": {"command": [binary("scripted-worker")]}}
    return agent | settings


class Mesh:
    """One mesh: its directory, and the process that runs it. It can be ended and started again."""

    all: list[Mesh] = []  # noqa: RUF012 - every mesh of the test run, for the report of a failure

    def __init__(self, directory: Path, config: dict[str, Any], *arguments: str) -> None:
        self.directory = directory
        self.arguments = arguments
        self.file = directory / "mesh.yaml"
        self.log_file = directory / "mesh.log"
        self.log_read = 0
        self.process: subprocess.Popen[str] | None = None
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.gateway = self.admin = ""
        self.agents: dict[str, str] = {}
        self.resumed = 0
        listeners = {"gateway": {"listen": ANY_PORT}, "admin": {"listen": ANY_PORT}}
        # JSON is YAML.
        self.file.write_text(
            json.dumps({"mesh": "interop"} | listeners | config, indent=1, ensure_ascii=False)
        )
        Mesh.all.append(self)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> Mesh:
        """Starts it and returns when it is ready."""
        self.begin()
        self.next_line("ready")
        return self

    def begin(self) -> None:
        """Starts it and returns when it listens."""
        command = [binary("agentmesh"), "up", "-o", "json", "-f", str(self.file), *self.arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENTMESH")}
        self.lines = queue.Queue()
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True).start()
        started = self.next_line("started")
        self.gateway, self.admin = started["gateway"], started["admin"]
        self.agents, self.resumed = started["agents"], started["resumedTasks"]

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def next_line(self, event: str) -> dict[str, Any]:
        """The next line of standard output, which has to tell of this event."""
        try:
            line = self.lines.get(timeout=START_SECONDS)
        except queue.Empty:
            raise AssertionError(f"no `{event}` within {START_SECONDS} s\n{self.log()}") from None
        assert line is not None, f"`agentmesh up` ended before `{event}`\n{self.log()}"
        record = json.loads(line)
        assert record["event"] == event, line
        return record

    def at(self, door: str) -> Mesh:
        """The same, its agents spoken to at their hosts, or at the gateway."""
        if door == "gateway":
            self.agents = {name: f"{self.gateway}/agents/{name}" for name in self.agents}
        return self

    def children(self, name: str = "") -> list[Process]:
        """Its child processes, and theirs, whose command contains `name`."""
        return [process for process in descendants(self.pid) if name in process.command]

    def worker(self) -> Process:
        """Its one scripted worker, once there is exactly one."""

        def only() -> Process | None:
            found = self.children("scripted-worker")
            return found[0] if len(found) == 1 else None

        return eventually(only, what="one scripted worker")

    def stop(self) -> None:
        """Ends it the polite way; it has to leave nothing behind."""
        if self.process is None:
            return
        children, process = self.children(), self.process
        assert process.poll() is None, f"`agentmesh up` ended by itself: {process.returncode}\n{self.log()}"
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"not stopped within {STOP_SECONDS} s\n{self.log()}") from None
        finally:
            self.process = None
        assert code == 0, f"exit code {code}\n{self.log()}"
        self.expect_gone(children)

    def kill(self) -> None:
        """Ends it with SIGKILL; its children have to notice."""
        children, process = self.children(), self.process
        assert process is not None
        process.kill()
        process.wait()
        self.process = None
        self.expect_gone(children)

    @staticmethod
    def expect_gone(children: list[Process]) -> None:
        try:
            eventually(lambda: not any(child.is_alive() for child in children), what="no orphans", within=10)
        finally:
            for orphan in [child for child in children if child.is_alive()]:
                orphan.kill()

    def abandon(self) -> None:
        """Ends whatever is left, without asking questions."""
        if self.process is not None:
            for process in descendants(self.pid):
                process.kill()
            self.process.kill()
            self.process.wait()
            self.process = None

    def log(self) -> str:
        """What the mesh logged, the last of it."""
        return self.log_file.read_text(errors="replace")[-20_000:] if self.log_file.exists() else ""

    def new_log(self) -> str:
        """What was logged since this was last asked."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open(errors="replace") as file:
            file.seek(self.log_read)
            text = file.read()
            self.log_read = file.tell()
        return text

    def audit(self) -> list[dict[str, Any]]:
        """The audit records so far."""
        file = self.directory / ".agentmesh" / "audit.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        # The last line may be half written while the mesh runs.
        return [json.loads(line) for line in lines if line.endswith("\n")]
