"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from host import Host


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Host]]:
    """Starts workers that are killed at the end of the test."""
    hosts: list[Host] = []

    def start(target: str, *options: str, **settings: Any) -> Host:
        hosts.append(Host(target, *options, **settings))
        return hosts[-1]

    yield start
    for host in hosts:
        host.close()
