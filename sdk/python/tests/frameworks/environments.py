"""Where the frameworks are: in this environment, or in the repository's own (scripts/python-env.sh)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

AGENTS = Path(__file__).parent / "agents"
_REPOSITORY = Path(__file__).parents[4]


def python_with(module: str, environment: str) -> str:
    """A Python that has `module`. Skips the test where there is none."""
    if importlib.util.find_spec(module) is not None:
        return sys.executable
    python = _REPOSITORY / ".envs" / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(
            f"{module} is not installed: run scripts/python-env.sh {environment}", allow_module_level=True
        )
    return str(python)
