#!/usr/bin/env python3
"""Measures Agent Mesh beside its peers and prints the tables of docs/benchmarks.md. Run it with `make bench`.

Every server is started anew for each cell. A round goes through all cells; where servers are compared, they
take turns within a row, and each round begins with another one. A figure is the median of its rounds.

What other processes take of the machine while a cell is measured is written down with it. With `--patience`,
cells wait for a quiet machine, and are measured again when it was not.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "target" / "release"
WORK = ROOT / "target" / "bench"
# What is measured is a copy: a build that ends in the middle of a run must not change it.
BIN = WORK / "bin"
PROGRAMS = ("agentmesh", "load", "scripted-worker")
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PEERS = ROOT / "benches" / "peers"
A2A_PYTHON = ROOT / ".envs" / "a2a" / "bin" / "python"
MCP_PYTHON = ROOT / ".envs" / "tools" / "bin" / "python"
MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")
ANY_PORT = "127.0.0.1:0"
MEBIBYTE = 1 << 20
CONNECTIONS = (1, 16, 64)
START_UPS = 10
# Of all cores, by others: more than this is noise.
QUIET = 0.05


@dataclass
class Server:
    """A running server: where it is, and the process to measure."""

    url: str
    pid: int


@contextmanager
def process(command: list[str | Path], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A child process that ends with the block."""
    with (WORK / "servers.log").open("a") as log:
        child = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=log, text=True, **more
        )
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
        sys.exit(f"bench: {child.args} did not start; see {(WORK / 'servers.log').relative_to(ROOT)}")
    return line


@contextmanager
def python_server(python: Path, *arguments: str | Path) -> Iterator[Server]:
    """A peer that prints its address when it listens."""
    with process([python, *arguments]) as child:
        yield Server(line_of(child), child.pid)


@contextmanager
def mesh(config: dict[str, Any], *arguments: str) -> Iterator[tuple[dict[str, Any], int]]:
    """`agentmesh up` with an empty store on a real disk: what it says of itself, and its process."""
    directory = WORK / "mesh"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    listeners = {"gateway": {"listen": ANY_PORT}, "admin": {"listen": ANY_PORT}}
    # JSON is YAML.
    (directory / "mesh.yaml").write_text(json.dumps({"mesh": "bench"} | listeners | config))
    command = [BIN / "agentmesh", "up", "-o", "json", "-f", directory / "mesh.yaml", *arguments]
    with process(command) as child:
        started, ready = json.loads(line_of(child)), json.loads(line_of(child))
        yield started | ready, child.pid


@contextmanager
def our_host(*arguments: str) -> Iterator[Server]:
    agent = {"listen": ANY_PORT, "worker": {"command": [str(BIN / "scripted-worker")]}}
    with mesh({"agents": {"bench": agent | {"tasks": {"concurrency": 64}}}}, *arguments) as (started, pid):
        yield Server(started["agents"]["bench"] + "/", pid)


@contextmanager
def through_gateway(upstream: Callable[[], Any]) -> Iterator[Server]:
    with (
        upstream() as behind,
        mesh({"tools": {"bench": {"url": behind.url}}}) as (started, pid),
    ):
        yield Server(f"{started['gateway']}/mcp/bench", pid)


def sdk_upstream() -> Any:
    return python_server(MCP_PYTHON, ROOT / "tests" / "interop" / "mcp" / "servers" / "server.py", "modern")


def plain_upstream() -> Any:
    return python_server(Path(sys.executable), PEERS / "mcp_plain_server.py")


@dataclass
class Cell:
    """One server at one number of connections; `reports` has one entry for each round."""

    table: str
    server: str
    connections: int
    start: Callable[[], Any]
    load: list[str]
    reports: list[dict[str, Any]] = field(default_factory=list)

    def measure(self, options: argparse.Namespace) -> None:
        others = Others()
        (WORK / "servers.log").write_text("")
        with self.start() as server:
            command = [BIN / "load", *self.load, "--url", server.url, "--pid", server.pid, "-o", "json"]
            command += ["--connections", self.connections, "--seconds", options.seconds]
            command += ["--warmup", options.warmup]
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: {self.table}, {self.server}, {self.connections}: {done.stderr}")
        report = json.loads(done.stdout) | {"others": others.share()}
        self.reports.append(report)
        text = done.stderr.splitlines()[0]
        progress(f"{self.table:<13} {self.server:<38} others {report['others']:>4.0%}  {text}")

    def values(self, *path: str) -> list[float]:
        found = []
        for report in self.reports:
            value: Any = report
            for name in path:
                value = value[name]
            found.append(float(value))
        return found

    def median(self, *path: str) -> float:
        return statistics.median(self.values(*path))

    def spread(self, *path: str) -> float:
        """How far the rounds are apart, as a share of their median."""
        values = self.values(*path)
        return (max(values) - min(values)) / max(statistics.median(values), 1e-9)


class Others:
    """What processes that are not ours take of the machine, from now on."""

    def __init__(self) -> None:
        self.begin = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        """Seconds of all cores together, and those that somebody else used, since the machine's start."""
        tick = os.sysconf("SC_CLK_TCK")
        # user, nice, system, idle, iowait, irq, softirq, steal
        fields = [int(field) / tick for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        idle = fields[3] + fields[4]
        ours = sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        return sum(fields), sum(fields) - idle - ours

    def share(self) -> float:
        """Our children count when they have ended."""
        (before, theirs_before), (now, theirs_now) = self.begin, self._now()
        return max(theirs_now - theirs_before, 0.0) / max(now - before, 0.01)


class Patience:
    """Waits for a quiet machine, and has cells measured again, for so many seconds in all."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def measure(self, cell: Cell, options: argparse.Namespace) -> None:
        while True:
            self.wait()
            begin = time.monotonic()
            cell.measure(options)
            if self.left <= 0 or cell.reports[-1]["others"] <= QUIET:
                return
            cell.reports.pop()
            self.left -= time.monotonic() - begin

    def wait(self) -> None:
        while self.left > 0:
            others = Others()
            time.sleep(1)
            if others.share() <= QUIET:
                return
            self.left -= 1


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


A2A_SERVERS: dict[str, Callable[[], Any]] = {
    "Agent Mesh, SQLite": our_host,
    "Agent Mesh, `--ephemeral`": lambda: our_host("--ephemeral"),
    "Python SDK, in memory": lambda: python_server(A2A_PYTHON, PEERS / "a2a_sdk_server.py"),
}
MCP_SERVERS: dict[str, tuple[str, Callable[[], Any]]] = {
    "plain server, direct": ("plain", plain_upstream),
    "plain server, through the gateway": ("plain", lambda: through_gateway(plain_upstream)),
    "Python SDK server, direct": ("sdk", sdk_upstream),
    "Python SDK server, through the gateway": ("sdk", lambda: through_gateway(sdk_upstream)),
}


def all_cells(only: str | None) -> list[list[Cell]]:
    """The cells in groups that are compared with each other."""
    groups = []
    for mode in ("blocking", "stream"):
        for count in CONNECTIONS:
            load = ["a2a", "--mode", mode]
            groups.append([Cell(f"a2a-{mode}", name, count, s, load) for name, s in A2A_SERVERS.items()])
    call = ["mcp", "--tool", "echo", "--args", '{"text":"hello"}', "--expect", "hello"]
    call += ["--revision", "2026-07-28"]
    for kind in ("plain", "sdk"):
        for count in CONNECTIONS:
            servers = [(name, start) for name, (k, start) in MCP_SERVERS.items() if k == kind]
            groups.append([Cell(f"mcp-{kind}", name, count, start, call) for name, start in servers])
    return [group for group in groups if only is None or group[0].table.startswith(only)]


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def measure_start() -> dict[str, float]:
    """Start-up of a mesh without agents, from the spawn of the process to the line that says it is ready."""
    times, own, idle = [], [], []
    for _ in range(START_UPS):
        begin = time.perf_counter()
        with mesh({}) as (started, pid):
            times.append((time.perf_counter() - begin) * 1000)
            own.append(started["milliseconds"])
            time.sleep(0.3)
            idle.append(resident_bytes(pid))
    return {
        "start_ms": statistics.median(times),
        "start_ms_max": max(times),
        "start_ms_own": statistics.median(own),
        "idle_rss_bytes": statistics.median(idle),
        "binary_bytes": (BIN / "agentmesh").stat().st_size,
    }


def measure_disk(count: int = 200) -> dict[str, float]:
    """How long the disk takes to keep 4 KiB for good."""
    file = WORK / "disk"
    times = []
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    try:
        for _ in range(count):
            os.write(descriptor, b"x" * 4096)
            begin = time.perf_counter()
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - begin) * 1000)
    finally:
        os.close(descriptor)
        file.unlink()
    times.sort()
    return {"p50": times[count // 2], "p90": times[count * 9 // 10]}


def output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def commit() -> str:
    """What was measured, as honestly as it can be told: the build may be older than the sources."""
    text = output("git", "rev-parse", "--short=12", "HEAD")
    if output("git", "status", "--porcelain", "crates", "Cargo.toml", "Cargo.lock"):
        text += " with changes"
    built = min((BUILT / program).stat().st_mtime for program in PROGRAMS)
    sources = [*(ROOT / "crates").rglob("*.rs"), ROOT / "Cargo.lock"]
    if max(source.stat().st_mtime for source in sources) > built:
        text += " (the build is older than its sources)"
    return text


def environment(options: argparse.Namespace) -> dict[str, Any]:
    cpu = next(
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "rust": output("rustc", "--version").split(" (")[0],
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "agentmesh_sha256": hashlib.sha256((BIN / "agentmesh").read_bytes()).hexdigest(),
        "fdatasync_ms": measure_disk(),
        "seconds": options.seconds,
        "rounds": options.rounds,
    }


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "| --- " + "| ---: " * (len(heads) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def mebibytes(value: float) -> str:
    return f"{value / MEBIBYTE:.1f}"


def a2a_table(groups: list[list[Cell]], mode: str) -> str:
    rate = ("events_per_s",) if mode == "stream" else ("calls_per_s",)
    heads = ["connections and server", "tasks/s"]
    heads += ["events/s", "first event p50 ms"] if mode == "stream" else []
    heads += ["p50 ms", "p99 ms", "CPU ms/task", "peak MiB", "times the SDK", "rounds differ by"]
    rows = []
    for cells in groups:
        if cells[0].table != f"a2a-{mode}":
            continue
        peer = cells[-1].median(*rate)
        for cell in cells:
            row = [f"{cell.connections}: {cell.server}", number(cell.median("calls_per_s"))]
            if mode == "stream":
                row += [number(cell.median("events_per_s")), number(cell.median("first_event_ms", "p50"))]
            row += [number(cell.median("latency_ms", "p50")), number(cell.median("latency_ms", "p99"))]
            row += [f"{cell.median('process', 'cpu_ms_per_call'):.3f}"]
            row += [mebibytes(cell.median("process", "rss_peak_bytes"))]
            row += [f"{cell.median(*rate) / peer:.1f}", f"{cell.spread(*rate):.0%}"]
            rows.append(row)
    return table(heads, rows)


def mcp_table(groups: list[list[Cell]]) -> str:
    heads = ["connections and server", "calls/s", "p50 ms", "p99 ms", "added p50 ms", "CPU ms/call"]
    heads += ["peak MiB", "of direct", "rounds differ by"]
    rows = []
    for cells in groups:
        if not cells[0].table.startswith("mcp"):
            continue
        direct = cells[0]
        for cell in cells:
            p50 = cell.median("latency_ms", "p50")
            added = "" if cell is direct else number(p50 - direct.median("latency_ms", "p50"))
            rate = cell.median("calls_per_s")
            share = "" if cell is direct else f"{rate / direct.median('calls_per_s'):.0%}"
            row = [f"{cell.connections}: {cell.server}", number(rate), number(p50)]
            row += [number(cell.median("latency_ms", "p99")), added]
            row += [f"{cell.median('process', 'cpu_ms_per_call'):.3f}"]
            row += [mebibytes(cell.median("process", "rss_peak_bytes")), share]
            row += [f"{cell.spread('calls_per_s'):.0%}"]
            rows.append(row)
    return table(heads, rows)


def start_table(start: dict[str, float]) -> str:
    rows = [
        ["from starting the process to ready, median of 10", f"{start['start_ms']:.1f} ms", "50 ms"],
        ["the slowest of them", f"{start['start_ms_max']:.1f} ms", ""],
        ["idle memory (resident)", f"{mebibytes(start['idle_rss_bytes'])} MiB", "25 MiB"],
        ["size of the binary, stripped", f"{mebibytes(start['binary_bytes'])} MiB", ""],
    ]
    return table(["`agentmesh up` without agents", "measured", "goal"], rows)


def figures(results: dict[str, Any], groups: list[list[Cell]]) -> str:
    where, start = results["environment"], results["start"]
    others = [report["others"] for cells in groups for cell in cells for report in cell.reports] or [0.0]
    disk = where["fdatasync_ms"]
    parts = [
        f"{where['cpu']}, {where['cores']} cores, {where['kernel']}; {where['rust']}, "
        f"Python {where['python']}; commit {where['commit']}, {where['date']}. "
        f"`fdatasync` of 4 KiB on this disk: p50 {disk['p50']:.2f} ms, p90 {disk['p90']:.2f} ms. "
        f"{where['rounds']} rounds of {where['seconds']:g} s for each cell; "
        f"other processes took {statistics.median(others):.1%} of the machine, "
        f"{max(others):.0%} in the worst of them.",
    ]
    measured = {cells[0].table for cells in groups}
    if "a2a-blocking" in measured:
        parts.append("### A2A, blocking tasks\n\n" + a2a_table(groups, "blocking"))
        parts.append("### A2A, streamed events\n\n" + a2a_table(groups, "stream"))
    if "mcp-sdk" in measured:
        parts.append("### MCP, `tools/call`\n\n" + mcp_table(groups))
    if start:
        parts.append("### Start and size\n\n" + start_table(start))
    return "\n\n".join(parts)


def update_document(text: str) -> None:
    document = DOCUMENT.read_text()
    before, rest = document.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    DOCUMENT.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure Agent Mesh beside its peers (release build).")
    parser.add_argument("--seconds", type=float, default=5, help="time measured in each cell and round")
    parser.add_argument("--warmup", type=float, default=0.5, help="time before that")
    parser.add_argument("--rounds", type=int, default=3, help="how often each cell is measured")
    parser.add_argument(
        "--patience", type=float, default=0, help="seconds to wait for a quiet machine, in all"
    )
    parser.add_argument("--only", choices=["a2a", "mcp", "start"], help="a part of it")
    parser.add_argument("--update-docs", action="store_true", help="write the tables to docs/benchmarks.md")
    options = parser.parse_args()
    needed = (*(BUILT / program for program in PROGRAMS), A2A_PYTHON, MCP_PYTHON)
    missing = [path for path in needed if not path.exists()]
    if missing:
        sys.exit(f"bench: {missing[0].relative_to(ROOT)} is not there; run `make bench`")
    if options.update_docs and options.only:
        sys.exit("bench: --update-docs needs the whole run")
    BIN.mkdir(parents=True, exist_ok=True)
    lock = (WORK / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("bench: another run is under way; two would measure each other")
    for program in PROGRAMS:
        shutil.copy2(BUILT / program, BIN / program)

    groups, patience = all_cells(options.only), Patience(options.patience)
    patience.wait()
    results: dict[str, Any] = {"environment": environment(options), "start": None, "cells": []}
    if options.only in (None, "start"):
        results["start"] = measure_start()
    for turn in range(options.rounds):
        progress(f"round {turn + 1} of {options.rounds}")
        for group in groups:
            shift = turn % len(group)
            for cell in group[shift:] + group[:shift]:
                patience.measure(cell, options)
    results["cells"] = [
        {
            "table": cell.table,
            "server": cell.server,
            "connections": cell.connections,
            "rounds": cell.reports,
        }
        for group in groups
        for cell in group
    ]
    shutil.rmtree(WORK / "mesh", ignore_errors=True)
    (WORK / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = figures(results, groups)
    print(text)
    if options.update_docs:
        update_document(text)


if __name__ == "__main__":
    main()
