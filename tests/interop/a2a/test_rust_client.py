"""The official Rust client (a2a-client-lf, with a2a-grpc) against our host: see `../rust`."""

from __future__ import annotations

import os
import re

from mesh import ROOT
from suites import DOORS, Agents, run

pytestmark = DOORS

# Not the directory of the main workspace: other features would have it compiled again and again.
TARGET = ROOT / "target" / "interop-rust"


def test_the_client(agents: Agents, binding: str) -> None:
    manifest = ROOT / "tests" / "interop" / "rust" / "Cargo.toml"
    cargo = [os.environ.get("CARGO", "cargo"), "test", "--quiet", "--locked"]
    command = [*cargo, "--manifest-path", str(manifest), "--target-dir", str(TARGET)]
    output = run(command, ROOT, agents.environment(binding))
    passed = re.search(r"^test result: ok\. (\d+) passed", output, re.MULTILINE)
    assert passed is not None, output
    assert int(passed[1]) > 0, output
