"""Crew tasks with `human_input=True`: the person behind the task reviews the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentmesh.task import Task

_ACCEPTED = frozenset({"", "ok", "okay", "yes", "y", "accept", "accepted", "approve", "approved", "fine"})


class Feedback:
    """CrewAI's provider of human input, asking over the mesh instead of on a terminal."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def setup_messages(self, _context: Any) -> bool:
        """Leaves the messages to CrewAI."""
        return False

    def post_setup_messages(self, _context: Any) -> None:
        """Leaves the messages to CrewAI."""

    async def handle_feedback_async(self, formatted_answer: Any, context: Any) -> Any:
        answer = formatted_answer
        while not _accepts(feedback := await self._task.ask(_question(answer))):
            context.messages.append(context._format_feedback_message(feedback))
            answer = await context._ainvoke_loop()
        context.ask_for_human_input = False
        return answer

    def handle_feedback(self, formatted_answer: Any, context: Any) -> Any:
        answer = formatted_answer
        while not _accepts(feedback := self._task.ask(_question(answer)).wait()):
            context.messages.append(context._format_feedback_message(feedback))
            answer = context._invoke_loop()
        context.ask_for_human_input = False
        return answer


@contextmanager
def ask_over_the_mesh(task: Task) -> Iterator[None]:
    """Sends the questions of the enclosed run to the clients of `task`.

    CrewAI keeps the provider in a context variable: other tasks are not touched.
    """
    try:
        from crewai.core.providers.human_input import reset_provider, set_provider
    except ImportError:
        yield  # Such a CrewAI asks on standard input, which is empty: a crew that asks fails.
        return
    token = set_provider(Feedback(task))
    try:
        yield
    finally:
        reset_provider(token)


def _question(answer: Any) -> str:
    output = answer.output if isinstance(answer.output, str) else answer.output.model_dump_json()
    return f"{output.strip()}\n\nIs this right? Say what to change, or ok."


def _accepts(feedback: str) -> bool:
    return feedback.strip().strip(".!").lower() in _ACCEPTED
