"""The official JavaScript clients (@a2a-js/sdk 1.3 and 0.3) against our host: see `../javascript`."""

from __future__ import annotations

import re

from mesh import ROOT
from suites import DOORS, Agents, run

pytestmark = DOORS

SUITES = ROOT / "tests" / "interop" / "javascript"
NODE = ROOT / ".envs" / "node" / "bin" / "node"


def run_suite(file: str, agents: Agents, binding: str) -> None:
    assert NODE.is_file(), f"{NODE} is not there: run `scripts/python-env.sh node`"
    assert (SUITES / "node_modules").is_dir(), "node_modules is not there: run `make node-modules`"
    # The SDK resolves the card's address like a link: without a slash, the last part of a path is lost.
    agents = Agents(f"{agents.ordinary}/", f"{agents.without_push}/")
    output = run([str(NODE), "--test", "--test-reporter=tap", file], SUITES, agents.environment(binding))
    passed = re.search(r"^# pass (\d+)$", output, re.MULTILINE)
    assert passed is not None, output
    assert int(passed[1]) > 0, output


def test_the_client_of_one_point_zero(agents: Agents, binding: str) -> None:
    run_suite("current.test.mjs", agents, binding)


def test_the_client_of_zero_point_three(agents: Agents) -> None:
    run_suite("old.test.mjs", agents, "JSONRPC")
