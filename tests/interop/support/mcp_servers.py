"""Our MCP servers as upstreams: the small one of most tests, and the conformance suites' reference server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from mesh import ROOT

SERVERS = ROOT / "tests" / "interop" / "mcp" / "servers"
SERVER = SERVERS / "server.py"
REFERENCE = SERVERS / "reference.py"


class HttpServer:
    """One of our MCP servers over HTTP; it can be ended, and started again at its address."""

    def __init__(self, era: str, program: Path = SERVER) -> None:
        self.era = era
        self.program = program
        self.port = "0"
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(self.program), self.era]
        environment = {"PORT": self.port}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, f"the {self.era} server did not start"
        self.port = self.url.split(":")[2].split("/")[0]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def stdio_upstream(program: Path = SERVER, **settings: Any) -> dict[str, Any]:
    return {"command": [sys.executable, str(program), "stdio"]} | settings
