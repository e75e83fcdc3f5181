"""Suites in other languages: programs that find the agents to talk to in their environment."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

# Marks a module whose tests are run with the agents' own addresses, and again with the gateway's.
DOORS = pytest.mark.parametrize("door", ["host", "gateway"], indirect=True, scope="module")

# Each takes seconds; one that is compiled first takes minutes.
PATIENCE = 900


@dataclass(frozen=True)
class Agents:
    """The agents that such a suite needs."""

    ordinary: str
    without_push: str

    def environment(self, binding: str) -> dict[str, str]:
        return {
            "A2A_AGENT": self.ordinary,
            "A2A_AGENT_WITHOUT_PUSH": self.without_push,
            "A2A_BINDING": binding,
        }


def run(command: list[str], directory: Path, environment: dict[str, str]) -> str:
    """Runs a suite; what it says is the report of its failure, or the result."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except BaseException:
        # Also what it started itself.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    assert process.returncode == 0, output
    return output
