"""The sales example with its real frameworks and tool servers; only the model is scripted."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import ROOT, Mesh, binary, eventually

EXAMPLE = ROOT / "examples" / "sales"
REQUEST = "Prepare a proposal for customer C-1042"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def start_model(folder: Path) -> tuple[subprocess.Popen[str], str]:
    command = [binary("scripted-model"), "--script", str(folder / "model-script.yaml")]
    model = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert model.stdout is not None
    address = re.search(r"http://\S+", model.stdout.readline())
    assert address, "the scripted model did not start"
    return model, f"{address.group()}/v1"


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The example in a folder of its own, running."""
    folder = tmp_path_factory.mktemp("sales") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".agentmesh", "__pycache__", "*.db"))
    analytics_port = free_port()
    settings = (folder / "mesh.yaml").read_text().replace("../../.envs", str(ROOT / ".envs"))
    settings = re.sub(r"listen: 127\.0\.0\.1:\d+", "listen: 127.0.0.1:0", settings)
    settings = settings.replace("127.0.0.1:9001", f"127.0.0.1:{analytics_port}")
    tools = str(ROOT / ".envs/tools/bin/python")
    model, model_url = start_model(folder)
    analytics = subprocess.Popen([tools, "analytics.py", "--http", f"127.0.0.1:{analytics_port}"], cwd=folder)
    mesh = Mesh(folder, {})
    mesh.file.write_text(settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_BASE_URL", model_url)
        patch.setenv("MODEL_KEY", "scripted")
        try:
            url = f"http://127.0.0.1:{analytics_port}/mcp"
            eventually(lambda: answers(url), what="the analytics server", within=30)
            yield mesh.start()
            mesh.stop()
        finally:
            mesh.abandon()
            for process in (model, analytics):
                process.kill()
                process.wait()


def proposal(mesh: Mesh) -> str:
    command = [binary("agentmesh"), "send", "sales", REQUEST, "--gateway", mesh.gateway]
    sent = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert sent.returncode == 0, sent.stderr + mesh.log()
    return sent.stdout


def edit(mesh: Mesh, old: str, new: str) -> None:
    data = mesh.directory / "data.sql"
    text = data.read_text()
    assert old in text
    data.write_text(text.replace(old, new))


def test_the_proposal_has_figures_of_both_tool_servers_and_follows_their_data(sales: Mesh) -> None:
    before = proposal(sales)
    assert "Halden Robotics" in before
    assert "Factory Webinar" in before
    edit(sales, "Halden Robotics", "Changed Machines")
    edit(sales, "Factory Webinar", "Changed Webinar")
    after = proposal(sales)
    assert "Changed Machines" in after
    assert "Changed Webinar" in after
    assert "Halden" not in after


def test_the_story_is_one_trace_and_one_context_and_each_tool_call_is_audited(sales: Mesh) -> None:
    proposal(sales)
    listed = subprocess.run(
        [binary("agentmesh"), "tasks", "-o", "json", "--gateway", sales.gateway],
        capture_output=True,
        text=True,
        check=True,
    )
    tasks = [entry["task"] for entry in json.loads(listed.stdout)["tasks"]][:2]
    assert len({task["contextId"] for task in tasks}) == 1, "marketing works in the context of sales"
    records = [
        json.loads(line) for line in (sales.directory / ".agentmesh/audit.jsonl").read_text().splitlines()
    ]
    called = [record for record in records if record["action"] == "tools/call"][-2:]
    calls = [(record["agent"], record["upstream"], record["tool"]) for record in called]
    assert calls == [("sales", "crm", "get_customer"), ("marketing", "analytics", "analytics_dashboard")]
    asked = next(record for record in records if record["traceId"] == called[0]["traceId"])
    assert (asked["action"], asked["targetAgent"]) == ("message/send", "sales"), "it begins at the gateway"
    assert len({record["traceId"] for record in called}) == 1
