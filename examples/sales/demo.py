#!/usr/bin/env python3
"""The story of the sales example, told by running it. `make demo` prepares what it needs and starts it.

1. A person asks the sales agent for a proposal; the answer is streamed to the terminal.
2. Meanwhile a second client taps the same task and sees the same numbered events.
3. A second task loses its worker to SIGKILL in mid-sentence, and is finished by a new attempt.

Standard library only. Exits 0 if all of it happened.
"""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = Path(os.environ.get("AGENTMESH_BIN", ROOT / "target/debug/agentmesh"))
MODEL_BIN = BIN.with_name("scripted-model")
ADMIN = "http://127.0.0.1:3004"
REQUEST = "Prepare a proposal for customer C-1042"
START_TIMEOUT = 180
LOGS = HERE / ".agentmesh"

started: list[subprocess.Popen[str]] = []


def say(text: str) -> None:
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def fail(text: str) -> None:
    """Says why, with the end of every log, and gives up."""
    print(f"\ndemo failed: {text}", file=sys.stderr)
    for log in sorted(LOGS.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-25:]
        print(f"--- end of {log.relative_to(ROOT)}", *lines, sep="\n", file=sys.stderr)
    sys.exit(1)


def start(name: str, command: list[str], **options: object) -> subprocess.Popen[str]:
    """Starts a server of the demo; its output goes to a log file."""
    with (LOGS / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, cwd=HERE, stderr=log, text=True, **options)  # type: ignore[call-overload]
    started.append(process)
    return process


def wait_for(what: str, check: object, process: subprocess.Popen[str]) -> None:
    """Waits until `check()` is true; fails when the process ends first."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            fail(f"{what} ended with status {process.returncode} before it was ready")
        if check():  # type: ignore[operator]
            return
        time.sleep(0.1)
    fail(f"{what} was not ready within {START_TIMEOUT} s")


def answers(url: str, any_status: bool = False) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except urllib.error.HTTPError:
        return any_status
    except OSError:
        return False


def model() -> dict[str, str]:
    """Where the model is: what the environment names, or the scripted one."""
    environment = dict(os.environ)
    if environment.get("MODEL_BASE_URL"):
        print(f"model: {environment.get('MODEL_NAME', 'demo')} at {environment['MODEL_BASE_URL']}")
        return environment
    print(
        "model: scripted (set MODEL_BASE_URL, MODEL_NAME and MODEL_KEY for a real one); everything else is real"
    )
    script = str(HERE / "model-script.yaml")
    process = start(
        "model", [str(MODEL_BIN), "--listen", "127.0.0.1:0", "--script", script], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    address = re.search(r"http://\S+", line)
    if address is None:
        fail(f"the scripted model did not start: {line!r}")
    environment.update(MODEL_BASE_URL=f"{address.group()}/v1", MODEL_NAME="demo", MODEL_KEY="scripted")  # type: ignore[union-attr]
    return environment


def start_mesh(environment: dict[str, str]) -> subprocess.Popen[str]:
    tools = str(ROOT / ".envs/tools/bin/python")
    analytics = start("analytics", [tools, "analytics.py", "--http", "127.0.0.1:9001"])
    wait_for(
        "the analytics tool server", lambda: answers("http://127.0.0.1:9001/mcp", any_status=True), analytics
    )
    print("starting the mesh (CrewAI takes some seconds to load) …", flush=True)
    mesh = start("mesh", [str(BIN), "up", "-f", str(HERE / "mesh.yaml")], env=environment)
    wait_for("the mesh", lambda: answers(f"{ADMIN}/readyz"), mesh)
    return mesh


def agentmesh(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([str(BIN), *arguments], cwd=HERE, text=True, **options)  # type: ignore[call-overload]


def new_task() -> str:
    """Hands the sales agent a task without waiting for it."""
    command = [str(BIN), "send", "sales", REQUEST, "--no-wait", "-o", "json"]
    sent = subprocess.run(command, cwd=HERE, text=True, stdout=subprocess.PIPE, check=True)
    return str(json.loads(sent.stdout)["task"]["id"])


class Tap:
    """`agentmesh tap` in the background: every event with its number."""

    def __init__(self, task: str) -> None:
        self.events: list[dict[str, object]] = []
        self.arrived: queue.Queue[dict[str, object] | None] = queue.Queue(maxsize=10_000)
        self.process = agentmesh("tap", task, "--agent", "sales", "-o", "json", stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append(event)
            self.arrived.put(event)
        self.arrived.put(None)

    def wait_for(self, wanted: str) -> None:
        """Waits for the first event of a kind."""
        while event := self.arrived.get(timeout=120):
            if wanted in event["event"]:  # type: ignore[operator]
                return
        fail(f"the task ended before its first {wanted}")

    def end(self) -> list[dict[str, object]]:
        if self.process.wait(timeout=180) != 0:
            fail(f"the tap ended with status {self.process.returncode}")
        while self.arrived.get(timeout=10) is not None:
            pass
        return self.events


def check_numbers(events: list[dict[str, object]]) -> None:
    numbers = [event["seq"] for event in events]
    if numbers != list(range(1, len(events) + 1)):
        fail(f"the tap missed or repeated a number: {numbers}")


def worker_of(mesh: subprocess.Popen[str], entry: str) -> int:
    """The process id of the mesh's child that runs `entry`."""
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], text=True, stdout=subprocess.PIPE, check=True
    ).stdout
    for line in listing.splitlines():
        pid, parent, command = line.split(None, 2)
        if int(parent) == mesh.pid and entry in command:
            return int(pid)
    fail(f"no worker process runs {entry}")
    raise AssertionError


def first_story() -> None:
    say(f'1. A person asks: agentmesh send sales "{REQUEST}"')
    sending = agentmesh("send", "sales", REQUEST, "--stream", stderr=subprocess.PIPE, bufsize=1)
    assert sending.stderr is not None
    tap: Tap | None = None
    for line in sending.stderr:
        print(line, end="", flush=True)
        named = re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", line)
        if tap is None and named:
            tap = Tap(named.group())
    if sending.wait() != 0 or tap is None:
        fail(f"the task was not completed (status {sending.returncode})")
        return
    events = tap.end()
    check_numbers(events)
    say(f"2. Meanwhile a second client tapped the task: events 1 to {len(events)}, none missing")


def second_story(mesh: subprocess.Popen[str]) -> None:
    say("3. A second task; its worker is killed in mid-sentence")
    task = new_task()
    tap = Tap(task)
    tap.wait_for("artifactUpdate")
    worker = worker_of(mesh, "sales:crew")
    os.kill(worker, signal.SIGKILL)
    print(f"kill -9 {worker} (the sales worker), {len(tap.events)} events into task {task}", flush=True)
    events = tap.end()
    check_numbers(events)
    final = events[-1]["event"]["statusUpdate"]["status"]["state"]  # type: ignore[index]
    attempts = [
        metadata["agentmesh/attempt"]
        for event in events
        if (metadata := event["event"].get("statusUpdate", {}).get("metadata"))  # type: ignore[attr-defined]
        and "agentmesh/attemptLost" not in metadata
    ]
    if final != "TASK_STATE_COMPLETED" or attempts != [1, 2]:
        fail(f"the task ended {final} after attempts {attempts}")
    print(
        f"attempts {attempts}, final state {final}, the same tap saw events 1 to {len(events)} without a gap"
    )
    subprocess.run([str(BIN), "task", task, "--agent", "sales"], cwd=HERE, check=True)


def stop() -> None:
    for process in reversed(started):
        if process.poll() is None:
            process.send_signal(signal.SIGINT if process.args[0] == str(BIN) else signal.SIGTERM)  # type: ignore[index]
    for process in reversed(started):
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> None:
    LOGS.mkdir(exist_ok=True)
    begun = time.monotonic()
    try:
        mesh = start_mesh(model())
        print(f"ready after {time.monotonic() - begun:.0f} s", flush=True)
        first_story()
        second_story(mesh)
    finally:
        stop()
    if mesh.returncode != 0:
        fail(f"the mesh ended with status {mesh.returncode}")
    say("done: the mesh has stopped, and left nothing running")


if __name__ == "__main__":
    main()
