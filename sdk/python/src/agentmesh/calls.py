"""Calls to tools and agents: many at once, from any thread, answered in any order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from agentmesh.channel import Channel, Message
from agentmesh.errors import AgentError, CallError, TaskCanceled, ToolError
from agentmesh.parts import artifact_text, parts_text

Decoder = Callable[[Message], Any]

_UNSUCCESSFUL_STATES = frozenset({"TASK_STATE_FAILED", "TASK_STATE_REJECTED", "TASK_STATE_CANCELED"})


class Calls:
    """The open calls of a worker."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[int, tuple[object, Decoder, Future[Any]]] = {}

    def open(self, owner: object, request: Mapping[str, Any], decoder: Decoder) -> Future[Any]:
        """Sends a call on behalf of `owner`; the future holds what `decoder` makes of the reply."""
        future: Future[Any] = Future()
        call_id = next(self._ids)
        with self._lock:
            self._open[call_id] = (owner, decoder, future)
        try:
            self._channel.send({"type": "call", "id": call_id, **request})
        except BaseException:
            with self._lock:
                self._open.pop(call_id, None)
            raise
        return future

    def reply(self, message: Message) -> None:
        """Resolves the call a reply belongs to. A reply to no open call is ignored: its task is gone."""
        with self._lock:
            entry = self._open.pop(message.get("id"), None)  # type: ignore[arg-type]
        if entry is None:
            return
        _, decoder, future = entry
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(decoder(message))
        except Exception as error:
            future.set_exception(error)

    def abandon(self, owner: object) -> None:
        """Fails the open calls of `owner`, so that the threads that wait for them can end."""
        with self._lock:
            gone = [call_id for call_id, entry in self._open.items() if entry[0] is owner]
            entries = [self._open.pop(call_id) for call_id in gone]
        for _, _, future in entries:
            if future.set_running_or_notify_cancel():
                future.set_exception(TaskCanceled("the task was canceled while a call was open"))


def tool_decoder(tool: str) -> Decoder:
    """Structured content if the result has it, its text otherwise. Raises ToolError."""

    def decode(reply: Message) -> Any:
        result = read_result(reply, tool, ToolError)
        text = parts_text(result.get("content"))
        if result.get("isError"):
            raise ToolError(tool, "failed", text or f"tool {tool} reported an error without a text")
        structured = result.get("structuredContent")
        return text if structured is None else structured

    return decode


def agent_decoder(agent: str) -> Decoder:
    """The text of an agent's answer. Raises AgentError."""

    def decode(reply: Message) -> str:
        result = read_result(reply, agent, AgentError)
        if "task" not in result:
            return parts_text((result.get("message") or {}).get("parts"))
        task = result["task"] or {}
        status = task.get("status") or {}
        said = parts_text((status.get("message") or {}).get("parts"))
        state = status.get("state")
        if state in _UNSUCCESSFUL_STATES:
            outcome = str(state).removeprefix("TASK_STATE_").lower()
            raise AgentError(agent, "failed", said or f"agent {agent} ended the task as {outcome}")
        made = [artifact_text(artifact.get("parts")) for artifact in task.get("artifacts") or ()]
        return "\n\n".join(text for text in made if text) or said

    return decode


def read_result(reply: Message, target: str, error_type: type[CallError]) -> dict[str, Any]:
    """The result in a reply. Raises the error that is there instead."""
    error = reply.get("error")
    if error is not None:
        raise error_type(target, str(error.get("code", "failed")), str(error.get("message", "no message")))
    result = reply.get("result")
    if not isinstance(result, dict):
        raise error_type(target, "invalid", f"the answer of {target} holds neither a result nor an error")
    return result
