"""The tables of docs/benchmarks.md, and what was promised beside what was found."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from cells import IDLE, READERS, STALLED, Cell
from servers import (
    JETSTREAM,
    MEMORY,
    OURS,
    PROTOCOL_SQLITE,
    PYTHON_SDK,
    RUST_SDK,
    SQLITE,
    THEIRS,
)

MEBIBYTE = 1 << 20
RATE = {"a2a-blocking": "calls_per_s", "a2a-stream": "events_per_s"}
Groups = list[list[Cell]]


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "| --- " + "| ---: " * (len(heads) - 1) + "|"]
    lines += ["| " + " | ".join(row + [""] * (len(heads) - len(row))) + " |" for row in rows]
    return "\n".join(lines)


def mebibytes(value: float) -> str:
    return f"{value / MEBIBYTE:.1f}"


def find(groups: Groups, kind: str, server: str, label: str) -> Cell | None:
    """A cell that was measured."""
    for cell in (cell for cells in groups for cell in cells):
        if (cell.table, cell.server, cell.label) == (kind, server, label) and cell.reports:
            return cell
    return None


def of_table(groups: Groups, kind: str) -> list[Cell]:
    return [cell for cells in groups for cell in cells if cell.table == kind]


def failed(cell: Cell) -> str:
    return f"failed: {(cell.failure or 'not measured')[:100]}"


def a2a_table(groups: Groups, kind: str) -> str:
    streams, rate = kind == "a2a-stream", RATE[kind]
    heads = ["connections and server", "tasks/s"]
    heads += ["events/s", "first event p50 ms"] if streams else []
    heads += ["p50 ms", "p99 ms", "CPU ms/task", "peak MiB", "rounds differ by"]
    rows = []
    for cell in of_table(groups, kind):
        row = [f"{cell.label}: {cell.server}"]
        if not cell.reports:
            rows.append([*row, failed(cell)])
            continue
        row.append(number(cell.median("calls_per_s")))
        if streams:
            row += [number(cell.median("events_per_s")), number(cell.median("first_event_ms", "p50"))]
        row += [number(cell.median("latency_ms", "p50")), number(cell.median("latency_ms", "p99"))]
        row += [f"{cell.median('process', 'cpu_ms_per_call'):.3f}"]
        row += [mebibytes(cell.median("process", "rss_peak_bytes")), f"{cell.spread(rate):.0%}"]
        rows.append(row)
    return table(heads, rows)


def ratio(groups: Groups, kind: str, ours: str, theirs: str, label: str) -> float | None:
    mine, other = find(groups, kind, ours, label), find(groups, kind, theirs, label)
    if mine is None or other is None:
        return None
    return mine.median(RATE[kind]) / max(other.median(RATE[kind]), 1e-9)


def ratio_table(groups: Groups) -> str:
    rows = []
    labels = list(dict.fromkeys(cell.label for cell in of_table(groups, "a2a-blocking")))
    for kind, shown in (("a2a-blocking", "blocking"), ("a2a-stream", "streamed")):
        for label in labels:
            for theirs in THEIRS:
                ratios = (ratio(groups, kind, ours, theirs, label) for ours in OURS)
                cells = ["" if r is None else number(r) for r in ratios]
                rows.append([f"{shown}, {label}: {theirs}", *cells])
    return table(["times the rate of", *OURS], rows)


def long_table(groups: Groups) -> str:
    heads = ["server and chunks in the task", "whole task p50 ms", "µs for each event", "CPU µs/event"]
    rows = []
    for cell in of_table(groups, "long"):
        row = [f"{cell.server}: {int(cell.label):,}"]
        if cell.reports:
            whole = cell.median("latency_ms", "p50")
            events = cell.median("events") / max(cell.median("calls"), 1)
            cpu = cell.median("process", "cpu_ms_per_call")
            row += [number(whole), number(whole * 1000 / events), number(cpu * 1000 / events)]
        else:
            row.append(failed(cell))
        rows.append(row)
    return table(heads, rows)


def tap_table(groups: Groups) -> str:
    names = {
        "all read": f"{READERS} taps, all read",
        "some stalled": f"{READERS} taps read, {STALLED} more do not",
        "idle": f"{IDLE:,} taps, nothing happens",
    }
    heads = ["taps of one task", "delay p50 ms", "delay p99 ms", "delay max ms", "KiB/tap, idle"]
    heads += ["KiB/tap, peak", "resident MiB, idle", "opened in s", "CPU µs/arrival"]
    rows = []
    for cell in of_table(groups, "taps"):
        row = [names[cell.label]]
        if not cell.reports:
            rows.append([*row, failed(cell)])
            continue
        arrivals = cell.median("arrivals")
        delays = [number(cell.median("delay_ms", which)) for which in ("p50", "p99", "max")]
        row += delays if arrivals else ["", "", ""]
        row += [number(cell.median(name) / 1024) for name in ("bytes_per_tap", "peak_bytes_per_tap")]
        row += [mebibytes(cell.median("rss_idle_bytes")), number(cell.median("open_seconds"))]
        row += [number(cell.median("cpu_seconds") * 1e6 / arrivals) if arrivals else ""]
        rows.append(row)
    return table(heads, rows)


def beside_direct_table(groups: Groups, *kinds: str) -> str:
    """The first server of each group is the one without a gateway."""
    heads = ["connections and server", "calls/s", "p50 ms", "p99 ms", "added p50 ms", "CPU µs/call"]
    heads += ["peak MiB", "of direct", "rounds differ by"]
    rows = []
    for cells in groups:
        if cells[0].table not in kinds:
            continue
        direct = cells[0]
        for cell in cells:
            row = [f"{cell.label}: {cell.server}"]
            if not cell.reports:
                rows.append([*row, failed(cell)])
                continue
            p50, rate, added, share = cell.median("latency_ms", "p50"), cell.median("calls_per_s"), "", ""
            if cell is not direct and direct.reports:
                added = number(p50 - direct.median("latency_ms", "p50"))
                share = f"{rate / direct.median('calls_per_s'):.0%}"
            row += [number(rate), number(p50), number(cell.median("latency_ms", "p99")), added]
            row += [f"{cell.median('process', 'cpu_ms_per_call') * 1000:.1f}"]
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


def goal_table(groups: Groups) -> str:
    """What was promised. A row without a measurement is left out."""
    rows: list[list[str]] = []

    def goal(what: str, value: float | None, bound: float, unit: str, *, at_least: bool) -> None:
        if value is not None:
            met = value >= bound if at_least else value <= bound
            word = "at least" if at_least else "at most"
            rows.append(
                [what, f"{number(value)}{unit}", f"{word} {bound:g}{unit}", "met" if met else "**missed**"]
            )

    def figure(kind: str, server: str, label: str, of: Callable[[Cell], float]) -> float | None:
        cell = find(groups, kind, server, label)
        return None if cell is None else of(cell)

    for theirs, times in ((RUST_SDK, 1), (PROTOCOL_SQLITE, 15), (PYTHON_SDK, 30)):
        value = ratio(groups, "a2a-blocking", SQLITE, theirs, "64")
        goal(f"SQLite, 64 connections, blocking, beside {theirs}", value, times, " times", at_least=True)
    for ours, bound in ((SQLITE, 3), (MEMORY, 0.4)):
        value = figure("a2a-stream", ours, "1", lambda cell: cell.median("first_event_ms", "p50"))
        goal(f"first event p50, 1 connection, {ours}", value, bound, " ms", at_least=False)
    for ours in (SQLITE, MEMORY, JETSTREAM):
        value = figure("long", ours, "10000", lambda cell: cell.median("latency_ms", "p50") / 1000)
        goal(f"10,000 chunks on one task, {ours}", value, 0.5, " s", at_least=False)

    def p99(cell: Cell) -> float:
        return cell.median("delay_ms", "p99")

    without, others = figure("taps", SQLITE, "all read", p99), figure("taps", SQLITE, "some stalled", p99)
    if without is not None and others is not None:
        what = f"p99 delay of {READERS} taps when {STALLED} more stop reading, to that without these"
        goal(what, others / max(without, 1e-9), 1.25, " times", at_least=False)
    for label in ("some stalled", "idle"):
        value = figure("taps", SQLITE, label, lambda cell: cell.median("bytes_per_tap") / 1024)
        taps = f"{IDLE:,}" if label == "idle" else f"{READERS + STALLED:,}"
        goal(f"memory per tap with {taps} taps", value, 16, " KiB", at_least=False)
    value = figure("taps", SQLITE, "idle", lambda cell: cell.median("rss_idle_bytes") / MEBIBYTE)
    goal(f"a host with {IDLE:,} idle taps", value, 400, " MiB", at_least=False)
    gateway_goals(groups, goal)
    return table(["goal", "measured", "bound", ""], rows) if rows else ""


def gateway_goals(groups: Groups, goal: Callable[..., None]) -> None:
    """What was promised of the gateway, bare."""

    def cpu(cell: Cell) -> float:
        return cell.median("process", "cpu_ms_per_call") * 1000

    for cells in groups:
        direct, through = cells[0], cells[-1]
        if direct.table == "mcp-echo" and direct.reports and through.reports:
            count = direct.label.split(",")[0]
            goal(f"tools/call, {direct.label}: CPU", cpu(through), 40, " µs", at_least=False)
            if count == "1":
                added = through.median("latency_ms", "p50") - direct.median("latency_ms", "p50")
                goal(f"tools/call, {direct.label}: added to p50", added * 1000, 80, " µs", at_least=False)
            else:
                share = through.median("calls_per_s") / max(direct.median("calls_per_s"), 1e-9) * 100
                goal(f"tools/call, {direct.label}: of direct", share, 30, " %", at_least=True)
            after = through.median("process", "rss_peak_bytes") / MEBIBYTE
            goal(f"tools/call, {direct.label}: memory", after, 40, " MiB", at_least=False)
        if direct.table == "mcp-list" and direct.reports:
            bound = 150 if direct.label.startswith("100 ") else 5000
            goal(f"tools/list, {direct.label}: CPU", cpu(direct), bound, " µs", at_least=False)
        if direct.table == "route" and direct.reports and through.reports:
            # Host and gateway are one process here: what the gateway adds.
            goal(
                f"A2A route, {direct.label}: added CPU", cpu(through) - cpu(direct), 40, " µs", at_least=False
            )


def figures(results: dict[str, Any], groups: Groups) -> str:
    where, start = results["environment"], results["start"]
    others = [report["others"] for cells in groups for cell in cells for report in cell.reports] or [0.0]
    disk = where["fdatasync_ms"]
    parts = [
        f"{where['cpu']}, {where['cores']} cores, {where['kernel']}; {where['rust']}, "
        f"Python {where['python']}; commit {where['commit']}, {where['date']}. "
        f"`fdatasync` of 4 KiB on this disk: p50 {disk['p50']:.2f} ms, p90 {disk['p90']:.2f} ms. "
        f"{where['rounds']} rounds of {where['seconds']:g} s for each cell of A2A and MCP; "
        f"other processes took {statistics.median(others):.1%} of the machine, "
        f"{max(others):.0%} in the worst of them.",
    ]
    measured = {cells[0].table for cells in groups}
    if goals := goal_table(groups):
        parts.append("### Goals\n\n" + goals)
    if "a2a-blocking" in measured:
        parts.append("### A2A, blocking tasks\n\n" + a2a_table(groups, "a2a-blocking"))
        parts.append("### A2A, streamed events\n\n" + a2a_table(groups, "a2a-stream"))
        parts.append("### A2A beside each peer\n\n" + ratio_table(groups))
    if "long" in measured:
        parts.append("### Long tasks\n\n" + long_table(groups))
    if "taps" in measured:
        parts.append("### Taps\n\n" + tap_table(groups))
    if "mcp-sdk" in measured:
        parts.append("### MCP, `tools/call`\n\n" + beside_direct_table(groups, "mcp-echo", "mcp-sdk"))
    if "mcp-list" in measured:
        parts.append("### MCP, `tools/list`\n\n" + beside_direct_table(groups, "mcp-list"))
    if "route" in measured:
        parts.append("### A2A through the gateway\n\n" + beside_direct_table(groups, "route"))
    if start:
        parts.append("### Start and size\n\n" + start_table(start))
    return "\n\n".join(parts)
