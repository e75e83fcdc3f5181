#!/usr/bin/env python3
"""Measures Agent Mesh beside its peers and prints the tables of docs/benchmarks.md. Run it with `make bench`.

Every server is started anew for each cell. A round goes through all cells; where servers are compared, they
take turns within a row, and each round begins with another one. A figure is the median of its rounds.

A peer that does not start, or answers wrongly, is told in the tables, and the rest goes on. If that happens
to Agent Mesh, the run ends with exit code 1.

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
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cells import PARTS, Patience, all_cells, progress
from servers import (
    A2A_PYTHON,
    BIN,
    BUILT,
    BUILT_PEERS,
    MCP_PYTHON,
    PEER_PROGRAMS,
    PROGRAMS,
    ROOT,
    THEIRS,
    WORK,
    BenchError,
    mesh,
)
from tables import figures

DOCUMENT = ROOT / "docs" / "benchmarks.md"
MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")
START_UPS = 10


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


def update_document(text: str) -> None:
    document = DOCUMENT.read_text()
    before, rest = document.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    DOCUMENT.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure Agent Mesh beside its peers (release build).")
    parser.add_argument("--seconds", type=float, default=3, help="time measured in each cell and round")
    parser.add_argument("--warmup", type=float, default=0.5, help="time before that")
    parser.add_argument("--rounds", type=int, default=2, help="how often each cell is measured")
    parser.add_argument(
        "--patience", type=float, default=0, help="seconds to wait for a quiet machine, in all"
    )
    parser.add_argument("--only", choices=[*PARTS, "start"], help="a part of it")
    parser.add_argument("--update-docs", action="store_true", help="write the tables to docs/benchmarks.md")
    options = parser.parse_args()
    if options.update_docs and options.only:
        parser.error("--update-docs needs the whole run")
    return options


def prepare() -> None:
    """Copies what was built, and makes room for many connections."""
    needed = (*(BUILT / program for program in PROGRAMS), A2A_PYTHON, MCP_PYTHON)
    missing = [path for path in needed if not path.exists()]
    if missing:
        sys.exit(f"bench: {missing[0].relative_to(ROOT)} is not there; run `make bench`")
    for program in PROGRAMS:
        shutil.copy2(BUILT / program, BIN / program)
    for program in PEER_PROGRAMS:
        # One that was not built is told where it is missed.
        (BIN / program).unlink(missing_ok=True)
        if (BUILT_PEERS / program).exists():
            shutil.copy2(BUILT_PEERS / program, BIN / program)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    options = parse_options()
    BIN.mkdir(parents=True, exist_ok=True)
    lock = (WORK / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("bench: another run is under way; two would measure each other")
    prepare()
    begin = time.monotonic()
    groups, patience = all_cells(options), Patience(options.patience)
    patience.wait()
    results: dict[str, Any] = {"environment": environment(options), "start": None, "cells": []}
    if options.only in (None, "start"):
        try:
            results["start"] = measure_start()
        except BenchError as error:
            sys.exit(f"bench: {error}")
    for turn in range(options.rounds):
        progress(f"round {turn + 1} of {options.rounds}, after {time.monotonic() - begin:.0f} s")
        for group in groups:
            shift = turn % len(group)
            for cell in group[shift:] + group[:shift]:
                if turn == 0 or cell.seconds is not None:
                    patience.measure(cell)
    progress(f"measured in {time.monotonic() - begin:.0f} s")
    cells = [cell for group in groups for cell in group]
    results["cells"] = [
        {
            "table": cell.table,
            "server": cell.server,
            "label": cell.label,
            "failure": cell.failure,
            "rounds": cell.reports,
        }
        for cell in cells
    ]
    for left in ("mesh", "peer", "nats"):
        shutil.rmtree(WORK / left, ignore_errors=True)
    (WORK / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = figures(results, groups)
    print(text)
    if options.update_docs:
        update_document(text)
    failed = [cell for cell in cells if cell.failure is not None]
    for cell in failed:
        progress(f"failed: {cell.table}, {cell.server}, {cell.label}: {cell.failure}")
    if any(cell.server not in THEIRS for cell in failed):
        sys.exit(1)


if __name__ == "__main__":
    main()
