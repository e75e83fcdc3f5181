"""MCP's official conformance suites, run against an address; what they find is read from their files.

The numbers that a suite prints cannot be trusted: it counts a check as passed that never saw a server. Here a
scenario is passed if one of its own checks succeeded, and none failed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mesh import ROOT

PACKAGES = ROOT / "tests" / "interop" / "mcp" / "node" / "node_modules"
NODE = ROOT / ".envs" / "node" / "bin" / "node"
MCPCHECK = ROOT / ".envs" / "fastmcp" / "bin" / "mcpcheck"
LEGACY, MODERN = "2025-11-25", "2026-07-28"
# Which revisions each suite has scenarios for.
REVISIONS = {
    "stable": ("2025-06-18", LEGACY),
    "newest": ("2025-03-26", "2025-06-18", LEGACY, MODERN),
}
PATIENCE = 240
SCENARIO_MILLISECONDS = 8000
# It looks at the messages of other checks, and is content when there are none.
BYSTANDER = "wire-schema-valid"


@dataclass(frozen=True)
class Outcome:
    """What one scenario came to: how many of its own checks succeeded, and which did not."""

    succeeded: int
    missed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.succeeded > 0 and not self.missed


Outcomes = dict[str, Outcome]


def version(suite: str) -> str:
    package = json.loads((PACKAGES / f"conformance-{suite}" / "package.json").read_text())
    return package["version"]


def run_suite(suite: str, revision: str, url: str) -> Outcomes:
    """Runs all scenarios of a revision; which ones there are is the suite's matter."""
    program = PACKAGES / f"conformance-{suite}" / "dist" / "index.js"
    assert program.is_file(), "the conformance suites are not there: run `make node-modules`"
    with tempfile.TemporaryDirectory(prefix="mcp-conformance-") as directory:
        command = [str(NODE), str(program), "server", "--url", url, "--suite", "all"]
        command += ["--spec-version", revision, "--output-dir", directory]
        if suite == "newest":
            command += ["--timeout", str(SCENARIO_MILLISECONDS)]
        done = subprocess.run(
            command,
            env=os.environ | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        begun = re.findall(r"^=== Running scenario: (\S+) ===$", done.stdout, re.MULTILINE)
        outcomes = {
            re.fullmatch(r"server-(.+?)-\d{4}-\d\d-\d\dT.*", file.parent.name)[1]: judge(
                json.loads(file.read_text())
            )
            for file in Path(directory).glob("*/checks.json")
        }
    # A scenario that broke off wrote nothing.
    outcomes = {name: outcomes.get(name, Outcome(0, ("broke off",))) for name in begun}
    assert outcomes, f"{suite}, {revision}: no scenario ran\n{done.stdout[-3000:]}"
    return outcomes


def judge(checks: list[dict]) -> Outcome:
    """Checks by the name that the suite gives them; skipped ones and remarks say nothing."""
    succeeded, missed = 0, []
    for check in checks:
        if check["status"] == "SUCCESS":
            succeeded += check["id"] != BYSTANDER
        elif check["status"] in ("FAILURE", "WARNING"):
            missed.append(f"{check['id']}: {check['status'].lower()}")
    return Outcome(succeeded, tuple(sorted(missed)))


def run_mcpcheck(url: str) -> dict[str, str]:
    """What the second judge, which knows only the newest revision, says of each of its topics."""
    assert MCPCHECK.is_file(), f"{MCPCHECK} is not there: run `scripts/python-env.sh fastmcp`"
    command = [str(MCPCHECK), url, "--json", "--probe", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    report = json.loads(done.stdout)
    return {check["name"]: check["status"] for check in report["checks"]}
