"""A scripted host: what the real one does over a worker's standard streams, driven by a test."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Message = dict[str, Any]

TIMEOUT = float(os.environ.get("AGENTMESH_TEST_TIMEOUT", "30"))
AGENTS = Path(__file__).parent / "agents"
TRACE = "00-11111111111111111111111111111111-2222222222222222-01"


class Host:
    """One worker process and what it has said."""

    def __init__(
        self,
        target: str,
        *options: str,
        folder: Path = AGENTS,
        python: str = sys.executable,
        env: dict[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "agentmesh", target, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **(env or {})},
        )
        self._lines: queue.Queue[Message | None] = queue.Queue()
        self._set_aside: list[Message] = []
        self._tests = 0
        self._prefix = ""
        self.stderr = ""
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr += line.decode(errors="replace")

    def reset(self) -> None:
        """Makes the worker look new to the next test: ids of earlier tests are never seen again."""
        self._tests += 1
        self._prefix = f"test{self._tests}-"
        self._set_aside.clear()

    def send(self, **message: Any) -> None:
        for name in ("task", "context"):
            if name in message:
                message[name] = self._prefix + message[name]
        self.send_raw(json.dumps(message).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next(self, wanted: Callable[[Message], bool] = lambda _: True) -> Message:
        """The next message that is wanted; the others are kept for later calls, in their order."""
        for position, message in enumerate(self._set_aside):
            if wanted(message):
                return self._set_aside.pop(position)
        while True:
            message = self._take()
            if wanted(message):
                return message
            self._set_aside.append(message)

    def _take(self) -> Message:
        while True:
            try:
                message = self._lines.get(timeout=TIMEOUT)
            except queue.Empty:
                pytest.fail(
                    f"the worker said nothing for {TIMEOUT:g} s; kept {self._set_aside}\n{self.stderr}"
                )
            if message is None:
                self._lines.put(None)
                pytest.fail(f"the worker ended its output; kept {self._set_aside}\n{self.stderr}")
            task = message.get("task", self._prefix)
            if task.startswith(self._prefix):
                return {**message, "task": task.removeprefix(self._prefix)} if "task" in message else message

    def start(self, **config: Any) -> Message:
        """Says hello and config; the worker's ready or fatal."""
        assert self.next()["type"] == "hello"
        self.send(**{"type": "config", "protocol": 1, "agent": "test", "tools": [], "agents": [], **config})
        return self.next(lambda m: m["type"] in ("ready", "fatal"))

    def task(self, text: str = "hello", task: str = "t1", attempt: int = 1, **fields: Any) -> None:
        self.send(
            **{
                "type": "task",
                "task": task,
                "attempt": attempt,
                "context": f"c-{task}",
                "message": {"messageId": "m1", "role": "ROLE_USER", "parts": [{"text": text}]},
                "answers": [],
                "traceparent": TRACE,
                **fields,
            }
        )

    def event(self, kind: str | None = None, task: str = "t1") -> Message:
        """The next event of a task, of this kind if one is given."""
        return self.next(lambda m: m["type"] == "event" and m["task"] == task and kind in (None, m["kind"]))

    def end(self, task: str = "t1") -> tuple[Message, list[Message]]:
        """The final state of a task, and all its events before that."""
        events: list[Message] = []
        while True:
            event = self.event(task=task)
            if event["kind"] == "state" and event["state"] in ("completed", "failed", "rejected", "canceled"):
                return event, events
            events.append(event)

    def call(self) -> Message:
        return self.next(lambda m: m["type"] == "call")

    def reply(self, call: Message, **answer: Any) -> None:
        self.send(type="reply", id=call["id"], **answer)

    def exit_code(self) -> int:
        """Waits for the worker to end on its own."""
        code = self.process.wait(timeout=TIMEOUT)
        for thread in self._threads:
            thread.join(timeout=TIMEOUT)
        return code

    def close(self) -> None:
        self.process.kill()
        self.exit_code()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def text_of(artifact: Message) -> str:
    return "".join(part["text"] for part in artifact["artifact"]["parts"])
