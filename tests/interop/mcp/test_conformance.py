"""MCP's official conformance suites through the gateway: what passes directly passes through it too.

What does not is in `conformance.toml`, exactly: a scenario that begins to pass has to leave that table. The
document docs/conformance-mcp.md is made from the same runs by `scripts/mcp-conformance.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance_runs import Run, Site, all_runs, differences, known_differences, run_all, start_site

from conformance import Outcomes, run_mcpcheck, run_suite

# It asks for these streams in a way in which the SDK does not offer to resume them: a warning.
NOT_DIRECTLY = {Run("stable", "2025-11-25"): ["server-sse-polling"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with start_site(tmp_path_factory.mktemp("mesh")) as site:
        yield site


@pytest.fixture(scope="module")
def results(site: Site) -> dict[Run, Outcomes]:
    return run_all(site)


@pytest.mark.parametrize("run", [run for run in all_runs() if not run.server], ids=lambda run: run.name)
def test_the_reference_server_passes_everything_directly(results: dict[Run, Outcomes], run: Run) -> None:
    missed = [name for name, outcome in results[run].items() if not outcome.passed]
    assert missed == NOT_DIRECTLY.get(run, [])


@pytest.mark.parametrize("run", [run for run in all_runs() if run.server], ids=lambda run: run.name)
def test_through_the_gateway_it_is_as_directly_but_for_the_table(
    results: dict[Run, Outcomes], run: Run
) -> None:
    found = differences(results).get(run.name, {})
    known = known_differences().get(run.name, {})
    new = {name: missed for name, missed in found.items() if name not in known}
    assert not new, "these do not pass any more, or are new"
    assert not known.keys() - found.keys(), "these pass now: take them out of conformance.toml"


def test_a_server_that_is_not_there_passes_nothing() -> None:
    outcomes = run_suite("stable", "2025-11-25", "http://127.0.0.1:1/mcp")
    assert not [name for name, outcome in outcomes.items() if outcome.passed]


def test_the_table_names_runs_that_there_are() -> None:
    assert known_differences().keys() <= {run.name for run in all_runs()}


@pytest.mark.parametrize("server", ["", "both", "legacy", "modern", "stdio"])
def test_a_second_judge_finds_nothing_directly_or_through_the_gateway(site: Site, server: str) -> None:
    found = run_mcpcheck(site.url(server))
    assert found
    assert [topic for topic, status in found.items() if status not in ("pass", "warn", "inconclusive")] == []
