"""What is measured: cells, which are one server at one load, and what else runs on the machine meanwhile."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from servers import (
    BIN,
    JETSTREAM,
    LOG,
    MCP_SERVERS,
    MEMORY,
    OURS,
    SQLITE,
    THEIRS,
    BenchError,
    Starter,
    agent_through_gateway,
    many_upstreams,
)

CONNECTIONS = (1, 64)
GATEWAY_CONNECTIONS = (1, 16, 64)
LENGTHS = (100, 1_000, 10_000)
# Readers of one task, and how many more stop reading in the second cell; then taps where nothing happens.
READERS, STALLED, IDLE = 900, 100, 10_000
# Of all cores, by others: more than this is noise.
QUIET = 0.05


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Cell:
    """One server at one load; `reports` has one entry for each round, unless it failed."""

    table: str
    server: str
    label: str
    start: Starter
    load: list[str]
    # Measured for so many seconds, in every round. None: the load knows its end, and one round is enough.
    seconds: float | None = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None

    def measure(self) -> None:
        """A failure is told and remembered; nothing else is measured in the cell then."""
        if self.failure is not None:
            return
        others = Others()
        LOG.write_text("")
        try:
            report = self.report()
        except BenchError as error:
            self.failure = str(error)
            progress(f"{self.table:<13} {self.server:<38} FAILED: {error}")
            return
        report["others"] = others.share()
        self.reports.append(report)
        progress(f"{self.table:<13} {self.server:<38} others {report['others']:>4.0%}  {report.pop('text')}")

    def report(self) -> dict[str, Any]:
        with self.start() as server:
            command = [BIN / "load", *self.load, "--url", server.url, "-o", "json"]
            for pid in server.pids:
                command += ["--pid", pid]
            try:
                done = subprocess.run(
                    [str(part) for part in command], capture_output=True, text=True, timeout=180
                )
            except subprocess.TimeoutExpired as error:
                raise BenchError(f"load did not end within {error.timeout:.0f} s") from error
        if done.returncode != 0:
            told = [line.strip() for line in done.stderr.splitlines() if "error:" in line]
            raise BenchError((told or done.stderr.splitlines() or ["load failed"])[0])
        report: dict[str, Any] = json.loads(done.stdout)
        return report | {"text": done.stderr.splitlines()[0]}

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

    def measure(self, cell: Cell) -> None:
        while True:
            self.wait()
            begin = time.monotonic()
            cell.measure()
            if self.left <= 0 or cell.failure is not None or cell.reports[-1]["others"] <= QUIET:
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


def timed(options: argparse.Namespace, *load: str) -> list[str]:
    return [*load, "--seconds", f"{options.seconds:g}", "--warmup", f"{options.warmup:g}"]


def a2a_cells(options: argparse.Namespace) -> list[list[Cell]]:
    groups = []
    for mode in ("blocking", "stream"):
        for count in CONNECTIONS:
            load = timed(options, "a2a", "--mode", mode, "--connections", str(count))
            groups.append(
                [
                    Cell(f"a2a-{mode}", name, str(count), start, load, options.seconds)
                    for name, start in (OURS | THEIRS).items()
                ]
            )
    return groups


def long_cells(options: argparse.Namespace) -> list[list[Cell]]:
    """Tasks of different lengths: the cost of an event must not depend on it."""
    groups = []
    for name in (SQLITE, MEMORY, JETSTREAM):
        group = []
        for length in LENGTHS:
            load = ["a2a", "--mode", "stream", "--text", f"chunks {length} 24", "--chunks", str(length)]
            load += ["--seconds", f"{min(options.seconds, 2):g}", "--warmup", "0"]
            group.append(Cell("long", name, str(length), OURS[name], load))
        groups.append(group)
    return groups


def tap_cells(_: argparse.Namespace) -> list[list[Cell]]:
    start = OURS[SQLITE]
    readers = ["taps", "--taps", str(READERS), "--events", "200", "--pause", "40"]
    idle = ["taps", "--taps", str(IDLE), "--events", "0"]
    return [
        [
            Cell("taps", SQLITE, "all read", start, readers),
            Cell("taps", SQLITE, "some stalled", start, [*readers, "--stalled", str(STALLED)]),
            Cell("taps", SQLITE, "idle", start, idle),
        ]
    ]


def mcp_cells(options: argparse.Namespace) -> list[list[Cell]]:
    """Tool calls: a fast upstream with both generations of clients, a slow one with the newest."""
    call = ["mcp", "--tool", "echo", "--args", '{"text":"hello"}', "--expect", "hello"]
    groups = []
    for kind, revision in (("echo", "2026-07-28"), ("echo", "2025-11-25"), ("sdk", "2026-07-28")):
        for count in GATEWAY_CONNECTIONS:
            load = timed(options, *call, "--revision", revision, "--connections", str(count))
            groups.append(
                [
                    Cell(f"mcp-{kind}", name, f"{count}, {revision}", start, load, options.seconds)
                    for name, (k, start) in MCP_SERVERS.items()
                    if k == kind
                ]
            )
    return groups


def list_cells(options: argparse.Namespace) -> list[list[Cell]]:
    """Lists that are kept: of two upstreams, and of twenty."""
    groups = []
    for count, tools in ((2, 50), (20, 50)):
        load = timed(options, "mcp", "--list", "--expect", f"tool_{tools - 2}", "--revision", "2026-07-28")
        start = partial(many_upstreams, count, tools)
        groups.append(
            [
                Cell(
                    "mcp-list",
                    "Agent Mesh",
                    f"{count * tools} tools of {count} upstreams",
                    start,
                    load,
                    options.seconds,
                )
            ]
        )
    return groups


def route_cells(options: argparse.Namespace) -> list[list[Cell]]:
    """A call of an agent, directly and through the gateway of its mesh."""
    groups = []
    for count in GATEWAY_CONNECTIONS:
        load = timed(options, "a2a", "--mode", "blocking", "--connections", str(count))
        starts = {"direct": OURS[MEMORY], "through the gateway": agent_through_gateway}
        groups.append(
            [Cell("route", name, str(count), start, load, options.seconds) for name, start in starts.items()]
        )
    return groups


PARTS = {
    "a2a": a2a_cells,
    "long": long_cells,
    "taps": tap_cells,
    "mcp": mcp_cells,
    "lists": list_cells,
    "routes": route_cells,
}


def all_cells(options: argparse.Namespace) -> list[list[Cell]]:
    """The cells in groups that are compared with each other."""
    return [group for part, make in PARTS.items() if options.only in (None, part) for group in make(options)]
