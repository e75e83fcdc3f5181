"""Which conformance runs there are, and the table of what does not pass through the gateway yet.

Every run has a client of one revision and a server; the direct one is the measure of its suite and revision.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance import LEGACY, MODERN, REVISIONS, Outcome, Outcomes, run_suite
from mcp_servers import REFERENCE, HttpServer, stdio_upstream
from mesh import Mesh

TABLE = Path(__file__).parent / "conformance.toml"
PARALLEL = 2


@dataclass(frozen=True)
class Run:
    """One suite with one revision; `server` is the upstream, or empty for the reference server itself."""

    suite: str
    revision: str
    server: str = ""

    @property
    def name(self) -> str:
        way = f"through to {self.server}" if self.server else "direct"
        return f"{self.suite} {self.revision} {way}"

    @property
    def direct(self) -> Run:
        return Run(self.suite, self.revision)


def all_runs() -> list[Run]:
    pairs = [(suite, revision) for suite, revisions in REVISIONS.items() for revision in revisions]
    direct = [Run(*pair) for pair in pairs]
    through = [Run(*pair, "both") for pair in pairs]
    # One generation in front and the other behind, or the same one alone; then standard input and output.
    others = [
        Run("newest", revision, server)
        for revision in (LEGACY, MODERN)
        for server in ("modern", "legacy", "stdio")
    ]
    return direct + through + others


@dataclass(frozen=True)
class Site:
    """The address of the reference server for both generations, and a gateway's in front of all its kinds."""

    reference: str
    gateway: str

    def url(self, server: str) -> str:
        return f"{self.gateway}/mcp/{server}" if server else self.reference


@contextmanager
def start_site(directory: Path) -> Iterator[Site]:
    """The reference server of each kind, and a gateway; they end with the block."""
    servers = {era: HttpServer(era, REFERENCE) for era in ("both", "legacy", "modern")}
    try:
        tools = {era: {"url": server.url} for era, server in servers.items()}
        mesh = Mesh(directory, {"tools": tools | {"stdio": stdio_upstream(REFERENCE)}})
        try:
            mesh.start()
            yield Site(servers["both"].url, mesh.gateway)
        finally:
            mesh.abandon()
    finally:
        for server in servers.values():
            server.stop()


def run_all(site: Site) -> dict[Run, Outcomes]:
    """All runs: against the reference server, and against the gateway's transparent routes."""

    def one(run: Run) -> Outcomes:
        return run_suite(run.suite, run.revision, site.url(run.server))

    runs = all_runs()
    with ThreadPoolExecutor(PARALLEL) as pool:
        return dict(zip(runs, pool.map(one, runs), strict=True))


def differs(direct: Outcome, through: Outcome | None) -> bool:
    """Whether a scenario does not do through the gateway what it does directly."""
    if through is None or direct.missed != through.missed:
        return True
    return direct.passed != through.passed


def differences(results: dict[Run, Outcomes]) -> dict[str, dict[str, tuple[str, ...]]]:
    """By run and scenario: the checks that were missed."""
    found = {}
    for run, outcomes in results.items():
        if not run.server:
            continue
        different = {
            name: outcomes[name].missed if name in outcomes else ("did not run",)
            for name, outcome in results[run.direct].items()
            if differs(outcome, outcomes.get(name))
        }
        if different:
            found[run.name] = different
    return found


def known_differences() -> dict[str, dict[str, str]]:
    """The table: by run and scenario, why it cannot be as it is directly, or that it is not yet."""
    return tomllib.loads(TABLE.read_text())
