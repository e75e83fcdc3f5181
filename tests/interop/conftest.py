"""What both suites share: meshes that live as long as a test, and their logs in its report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh import Mesh

StartMesh = Callable[..., Mesh]


def _start_meshes(new_directory: Callable[[], Path]) -> Iterator[StartMesh]:
    meshes: list[Mesh] = []

    def start(config: dict[str, Any], *arguments: str, ready: bool = True) -> Mesh:
        mesh = Mesh(new_directory(), config, *arguments)
        meshes.append(mesh)
        mesh.begin()
        if ready:
            mesh.next_line("ready")
        return mesh

    yield start
    try:
        for mesh in meshes:
            mesh.stop()
    finally:
        for mesh in meshes:
            mesh.abandon()


@pytest.fixture
def start_mesh(tmp_path: Path) -> Iterator[StartMesh]:
    """Starts a mesh for one test: `start_mesh(config, *arguments)`."""
    numbers = itertools.count(1)

    def new_directory() -> Path:
        directory = tmp_path / f"mesh-{next(numbers)}"
        directory.mkdir()
        return directory

    yield from _start_meshes(new_directory)


@pytest.fixture(scope="module")
def start_shared_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartMesh]:
    """The same for all tests of a module."""
    yield from _start_meshes(lambda: tmp_path_factory.mktemp("mesh"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    for number, mesh in enumerate(Mesh.all, start=1):
        text = mesh.new_log()
        if text and report.failed:
            report.sections.append((f"log of mesh {number} in {report.when}", text))
    return report
