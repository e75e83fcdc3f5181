"""What a worker needs of an agent, whatever it is written with."""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from agentmesh.task import RESPONSE, Task

T = TypeVar("T")


class Adapter(Protocol):
    """An agent that can be run."""

    framework: str

    def card(self) -> dict[str, Any]:
        """What can be said about the agent from its own definition, in the words of an A2A card."""

    async def run(self, task: Task) -> None:
        """Works on the task. Returns when it is completed; an exception fails it."""


def skill(name: str, description: str, *tags: str) -> dict[str, Any]:
    """A skill of a card."""
    identifier = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "agent"
    return {"id": identifier, "name": name, "description": description or name, "tags": list(tags)}


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())


class ResponseStream:
    """Streams the response as tokens, and settles it when what was streamed is not what came out."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._streamed: list[str] = []

    def token(self, text: str) -> None:
        if text:
            self._streamed.append(text)
            self._task.token(text, artifact_id=RESPONSE, name=RESPONSE)

    def finish(self, final: str) -> None:
        """Ends the response. Only when the tokens do not add up to `final`, it is sent whole."""
        if final.strip() and "".join(self._streamed).strip() != final.strip():
            self._task.artifact(final, artifact_id=RESPONSE, name=RESPONSE)


async def run_in_thread(function: Callable[[], T]) -> T:
    """Runs blocking user code in a thread of its own, with the context of the caller.

    A cancelled caller waits until the thread has ended: only then has the work really stopped.
    """
    outcome: Future[T] = Future()
    context = contextvars.copy_context()

    def body() -> None:
        try:
            outcome.set_result(context.run(function))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=body, name="agentmesh-task", daemon=True).start()
    waiter = asyncio.wrap_future(outcome)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        with suppress(Exception):
            await waiter
        raise
