#!/usr/bin/env python3
"""Runs MCP's conformance suites directly and through the gateway, and writes down what they find.

    .envs/tools/bin/python scripts/mcp-conformance.py [--update]

It needs `make build node-modules` and the environments tools and fastmcp. `--update` writes docs/conformance-mcp.md and
tests/interop/mcp/conformance.toml: reasons that are there are kept, and new lines say that nobody has looked yet.
"""

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/interop/support"), str(ROOT / "tests/interop/mcp")]

from conformance_runs import TABLE, Run, differences, known_differences, run_all, start_site  # noqa: E402

from conformance import LEGACY, MODERN, Outcomes, run_mcpcheck, version  # noqa: E402

DOCUMENT = ROOT / "docs" / "conformance-mcp.md"
MARKS = ("<!-- results: begin -->", "<!-- results: end -->")
UNKNOWN = "not yet"
TABLE_HEAD = """\
# What does not do through the gateway what it does directly, by run and scenario, and why. Everything else has to.
# Written by `scripts/mcp-conformance.py --update`, which keeps the reasons; read by test_conformance.py.
"""
Results = dict[Run, Outcomes]


def mark(outcomes: Outcomes | None, scenario: str, direct: Outcomes) -> str:
    if outcomes is None or scenario not in outcomes:
        return ""
    outcome = outcomes[scenario]
    if outcome.passed:
        return "✓"
    return "as directly" if outcomes is not direct and outcome == direct[scenario] else "✗"


def totals(results: Results) -> list[str]:
    lines = ["| suite and client's revision | server | scenarios passed | of | checks passed | missed |"]
    lines += ["| --- | --- | ---: | ---: | ---: | ---: |"]
    for run, outcomes in results.items():
        passed = sum(outcome.passed for outcome in outcomes.values())
        checks = sum(outcome.succeeded for outcome in outcomes.values())
        missed = sum(len(outcome.missed) for outcome in outcomes.values())
        server = f"through the gateway: {run.server}" if run.server else "directly"
        label = f"{version(run.suite)}, {run.revision}"
        lines.append(f"| {label} | {server} | {passed} | {len(outcomes)} | {checks} | {missed} |")
    return lines


def per_scenario(results: Results, revision: str) -> list[str]:
    servers = ["", "both", "modern", "legacy", "stdio"]
    heads = ["direct", "through", "to a modern server", "to a legacy server", "to standard input and output"]
    columns = [results.get(Run("newest", revision, server)) for server in servers]
    direct = results[Run("newest", revision)]
    lines = ["| scenario | " + " | ".join(heads) + " |", "| --- |" + " :---: |" * len(heads)]
    for scenario in direct:
        marks = [mark(column, scenario, direct) for column in columns]
        lines.append(f"| `{scenario}` | " + " | ".join(marks) + " |")
    return lines


def exceptions(table: dict[str, dict[str, str]]) -> list[str]:
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for run, scenarios in table.items():
        for scenario, reason in scenarios.items():
            by_reason[scenario, reason].append(run)
    if not by_reason:
        return ["None."]
    lines = ["| scenario | in | why |", "| --- | --- | --- |"]
    return lines + [
        f"| `{scenario}` | {'; '.join(runs)} | {why} |" for (scenario, why), runs in sorted(by_reason.items())
    ]


def document(results: Results, table: dict[str, dict[str, str]], judged: dict[str, dict[str, str]]) -> str:
    parts = ["## Totals", "\n".join(totals(results))]
    for revision in (LEGACY, MODERN):
        parts += [f"## Scenarios, client of {revision}", "\n".join(per_scenario(results, revision))]
    parts += ["## What is different through the gateway, and why", "\n".join(exceptions(table))]
    topics = list(judged["directly"])
    rows = [
        f"| {name} | " + " | ".join(found.get(topic, "") for topic in topics) + " |"
        for name, found in judged.items()
    ]
    head = "| | " + " | ".join(topics) + " |\n| --- |" + " --- |" * len(topics)
    parts += ["## The second judge", head + "\n" + "\n".join(rows)]
    return "\n\n".join(parts)


def table_of(found: dict[str, dict[str, tuple[str, ...]]]) -> dict[str, dict[str, str]]:
    known = known_differences()
    return {
        run: {name: known.get(run, {}).get(name, UNKNOWN) for name in sorted(scenarios)}
        for run, scenarios in found.items()
    }


def toml(table: dict[str, dict[str, str]]) -> str:
    text = TABLE_HEAD
    for run, scenarios in table.items():
        lines = [f"{name} = {json.dumps(reason, ensure_ascii=False)}\n" for name, reason in scenarios.items()]
        text += f"\n[{json.dumps(run)}]\n" + "".join(lines)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--update", action="store_true", help="write the document and the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, start_site(Path(directory)) as site:
        results = run_all(site)
        names = {
            "directly": "",
            **{f"through the gateway: {s}": s for s in ("both", "legacy", "modern", "stdio")},
        }
        judged = {name: run_mcpcheck(site.url(server)) for name, server in names.items()}
    found = differences(results)
    for run, scenarios in found.items():
        for name, missed in scenarios.items():
            print(f"{run}: {name}: {'; '.join(missed) or 'passes here only'}")
    table = table_of(found)
    text = document(results, table, judged)
    if not options.update:
        print(text)
        return
    TABLE.write_text(toml(table))
    before, rest = DOCUMENT.read_text().split(MARKS[0])
    DOCUMENT.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


if __name__ == "__main__":
    main()
