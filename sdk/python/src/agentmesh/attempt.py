"""One attempt at a task: what it may still say, what it waits for, and how it ends."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from agentmesh.calls import Calls, Decoder, agent_decoder, tool_decoder
from agentmesh.channel import Channel, Message
from agentmesh.config import Config
from agentmesh.discovery import DiscoveredTool, tools_decoder
from agentmesh.errors import LineTooLong, TaskCanceled
from agentmesh.memory import no_memory
from agentmesh.parts import parts_text
from agentmesh.task import Task

AttemptKey = tuple[str, int]


class Attempt:
    """Speaks to the host about one attempt. Safe to use from any thread.

    Guarantees: events leave in the order of the calls; nothing leaves after the final state or after a
    cancel, except that final state itself; at most one question is open at the host.
    """

    def __init__(self, request: Message, channel: Channel, calls: Calls, config: Config) -> None:
        self._channel = channel
        self._calls = calls
        self._config = config
        # Re-entrant: an answer that is already known resolves a future under the lock.
        self._lock = threading.RLock()
        self._ended = False
        self._canceled = False
        self._asked = 0
        self._questions: deque[tuple[str, Future[str]]] = deque()
        self.key: AttemptKey = (request["task"], request["attempt"])
        self._address = {"task": request["task"], "attempt": request["attempt"]}
        self.task = Task(self, request)

    @property
    def canceled(self) -> bool:
        return self._canceled

    def emit(self, kind: str, **fields: Any) -> None:
        """Sends an event. Raises TaskCanceled when the attempt is canceled or over."""
        with self._lock:
            self._require_open()
            self._send_event(kind, fields)

    def end(self, state: str, text: str | None = None, detail: str | None = None) -> None:
        """Sends the final state, once."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
            fields: dict[str, Any] = {"state": state}
            if text is not None:
                fields["text"] = text
            try:
                self._send_event("state", fields if detail is None else {**fields, "detail": detail})
            except LineTooLong:
                self._send_event("state", {"state": state})
            self._drop_questions()
        self._calls.abandon(self)

    def cancel(self) -> None:
        """Silences the attempt and wakes every thread that waits on its behalf."""
        with self._lock:
            self._canceled = True
            self._drop_questions()
        self._calls.abandon(self)

    def ask(self, text: str) -> Future[str]:
        """Asks a question; an answer recorded by an earlier attempt is used instead of asking again."""
        future: Future[str] = Future()
        with self._lock:
            self._require_open()
            position = self._asked
            self._asked += 1
            if position < len(self.task.answers):
                future.set_result(_answer_text(self.task.answers[position]))
                return future
            self._questions.append((text, future))
            if len(self._questions) == 1:
                self._ask_next()
        return future

    def skip_answers(self, count: int) -> None:
        """Treats the first `count` questions as asked: the agent restored what it made of their answers."""
        with self._lock:
            self._asked = count

    def deliver_input(self, message: Mapping[str, Any]) -> None:
        """Answers the open question and asks the next one that waits."""
        with self._lock:
            if not self._questions:
                sys.stderr.write(f"agentmesh: input for task {self.key[0]}, which asked nothing: ignored\n")
                return
            _, future = self._questions.popleft()
            if self._questions:
                self._ask_next()
        if future.set_running_or_notify_cancel():
            future.set_result(_answer_text(message))

    def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Future[Any]:
        # The host decides about a full name: the tool may have come up after this worker was configured.
        tool = name if "/" in name else self._config.find_tool(name).name
        return self._call({"tool": tool, "arguments": dict(arguments)}, tool_decoder(tool))

    def discover_tools(self, asked: Mapping[str, Any]) -> Future[list[DiscoveredTool]]:
        return self._call({"discover": dict(asked)}, tools_decoder)

    def call_agent(self, name: str, text: str) -> Future[str]:
        return self._call({"agent": name, "parts": [{"text": text}]}, agent_decoder(name))

    def call_context(self, kind: str, request: Mapping[str, Any], decoder: Decoder) -> Future[Any]:
        if not self._config.has_memory:
            raise no_memory()
        given = {name: value for name, value in request.items() if value is not None or name == "value"}
        return self._call({kind: given}, decoder)

    def _call(self, request: Mapping[str, Any], decoder: Any) -> Future[Any]:
        trace = {"traceparent": self.task.traceparent} if self.task.traceparent else {}
        with self._lock:
            self._require_open()
            return self._calls.open(self, {**self._address, **request, **trace}, decoder)

    def _require_open(self) -> None:
        if self._canceled:
            raise TaskCanceled(f"task {self.key[0]} was canceled")
        if self._ended:
            raise TaskCanceled(f"task {self.key[0]} is over: nothing can be said or called for it any more")

    def _ask_next(self) -> None:
        text, _ = self._questions[0]
        self._send_event("state", {"state": "input-required", "text": text})

    def _drop_questions(self) -> None:
        while self._questions:
            _, future = self._questions.popleft()
            if future.set_running_or_notify_cancel():
                future.set_exception(TaskCanceled("the task ended while a question was open"))

    def _send_event(self, kind: str, fields: Mapping[str, Any]) -> None:
        event = {"type": "event", **self._address, "kind": kind, **fields}
        self._channel.send(event, limit=self._config.event_bytes)


def _answer_text(message: Mapping[str, Any]) -> str:
    return parts_text(message.get("parts"))
