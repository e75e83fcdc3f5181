"""A thousand malformed requests against one listener."""

from __future__ import annotations

import json
import subprocess

from mesh import Mesh, binary, resident_bytes

COUNT = 1000
# Generous: it is meant to find what grows with every request.
GROWTH = 64 << 20


def throw_rubbish(mesh: Mesh, url: str, kind: str, *more: str) -> None:
    """Sends malformed requests; every answer has to be an error of the protocol and memory has to stay."""
    before = resident_bytes(mesh.pid)
    command = [binary("rubbish"), "--json", "--url", url, "--kind", kind, "--count", str(COUNT), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)["report"]
    violations = [f"{v['case']} (number {v['number']}): {v['why']}" for v in report["violations"]]
    assert not violations, "\n".join(violations[:20])
    assert done.returncode == 0
    assert report["count"] >= COUNT
    assert not [status for status in report["by_status"] if status.startswith("5")]
    assert mesh.process is not None
    assert mesh.process.poll() is None
    grown = resident_bytes(mesh.pid) - before
    print(f"{url}: {report['by_status']}, resident memory grew by {grown >> 10} KiB")  # noqa: T201
    assert grown < GROWTH, f"resident memory grew by {grown >> 20} MiB"
    assert "panicked" not in mesh.log()
