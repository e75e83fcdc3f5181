"""Agents that are plain functions: async or not, returning or generating."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from agentmesh.adapter import first_paragraph, run_in_thread, skill
from agentmesh.task import RESPONSE, Question, Task


class FunctionAdapter:
    """Calls `function(task)` for every task. Blocking functions get a thread each."""

    framework = "function"

    def __init__(self, function: Callable[[Task], Any], name: str) -> None:
        self._function = function
        self._name = getattr(function, "__name__", name)
        # An object with __call__ is what its __call__ is.
        self._code = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004

    def card(self) -> dict[str, Any]:
        description = first_paragraph(inspect.getdoc(self._function)) or f"Agent {self._name}"
        return {"description": description, "skills": [skill(self._name, description, "function")]}

    async def run(self, task: Task) -> None:
        if inspect.isasyncgenfunction(self._code):
            await _drive_async(self._function(task), task)
        elif inspect.iscoroutinefunction(self._code):
            _hand_over(await self._function(task), task)
        else:
            result = await run_in_thread(lambda: self._call_blocking(task))
            # A function that is not `async` itself may still return something to await, a partial say.
            if inspect.isasyncgen(result):
                await _drive_async(result, task)
            else:
                _hand_over(await result if inspect.isawaitable(result) else result, task)

    def _call_blocking(self, task: Task) -> Any:
        result = self._function(task)
        return _drive_blocking(result, task) if inspect.isgenerator(result) else result


async def _drive_async(generator: AsyncGenerator[Any, Any], task: Task) -> None:
    answer: str | None = None
    try:
        while True:
            item = await generator.asend(answer)
            answer = await item if isinstance(item, Question) else None
            if answer is None:
                _stream(item, task)
    except StopAsyncIteration:
        return
    finally:
        await generator.aclose()


def _drive_blocking(generator: Generator[Any, Any, Any], task: Task) -> Any:
    answer: str | None = None
    try:
        while True:
            item = generator.send(answer)
            answer = item.wait() if isinstance(item, Question) else None
            if answer is None:
                _stream(item, task)
    except StopIteration as stop:
        return stop.value
    finally:
        generator.close()


def _stream(item: Any, task: Task) -> None:
    if not isinstance(item, str):
        raise TypeError(f"an agent yields text or task.ask(...), not {type(item).__name__}")
    if item:
        task.token(item)


def _hand_over(result: Any, task: Task) -> None:
    if result is not None:
        task.artifact(result, artifact_id=RESPONSE, name=RESPONSE)
