"""What a crew is doing, as status texts and tokens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentmesh.adapter import ResponseStream
from agentmesh.errors import TaskCanceled
from agentmesh.task import Task

_STATUS_CHARS = 200


class Progress:
    """Turns the events of one crew's run into what the clients of its task see."""

    def __init__(self, task: Task, response: ResponseStream, crew: Any) -> None:
        self._task = task
        self._response = response
        # What earlier tasks of the crew say is material for the last one, not the answer.
        self._answering = str(crew.tasks[-1].id) if crew.tasks else None

    def observe(self, _source: Any, event: Any) -> None:
        """Takes one event. Never raises: progress must not change what a crew does."""
        try:
            self._report(event)
        except TaskCanceled:
            pass  # A thread of the framework that does not know yet.
        except Exception as error:
            # CrewAI's events are not a stable interface: losing progress is better than losing the task.
            sys.stderr.write(f"agentmesh: a crew event was not understood: {error!r}\n")

    def _report(self, event: Any) -> None:
        match event.type:
            case "task_started":
                crew_task = event.task
                role = crew_task.agent.role.strip() if crew_task and crew_task.agent else "crew"
                title = (crew_task.name or crew_task.description) if crew_task else ""
                self._task.status(f"{role}: {' '.join(title.split())}"[:_STATUS_CHARS])
            case "tool_usage_started":
                self._task.status(f"{(event.agent_role or 'agent').strip()}: using {event.tool_name}")
            case "llm_stream_chunk":
                if event.tool_call is None and event.task_id == self._answering:
                    self._response.token(event.chunk)


@contextmanager
def follow(progress: Progress) -> Iterator[None]:
    """Reports what happens in the enclosed run, and only there.

    The sink is local to the context, unlike the global event bus, whose handlers see every task. It is not
    public API: where it is missing, the crew runs without progress.
    """
    try:
        from crewai.events.stream_context import add_stream_sink, reset_stream_sinks
    except ImportError:
        yield
        return
    token = add_stream_sink(progress.observe)
    try:
        yield
    finally:
        reset_stream_sinks(token)
