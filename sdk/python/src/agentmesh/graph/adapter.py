"""Runs compiled LangGraph graphs, LangChain's agents among them."""

from __future__ import annotations

from typing import Any

from langgraph.types import Command

from agentmesh.adapter import ResponseStream, skill
from agentmesh.graph.checkpoint import TASK_KEY, USED_ANSWERS_KEY, restore
from agentmesh.graph.values import (
    final_text,
    input_builder,
    question_text,
    resume_value,
    token_text,
    tool_names,
)
from agentmesh.task import Task

_STREAM_MODES = ["updates", "messages", "custom", "values"]
# Nodes of the ready-made agents, whose names tell a client nothing.
_QUIET_NODES = frozenset({"model", "agent", "tools"})


class GraphAdapter:
    """Streams the graph for every task. The context of the task is the thread of the graph.

    With a checkpointer a new attempt goes on where the last one was; without one it starts again.
    """

    framework = "langgraph"

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._make_input = input_builder(graph)
        self._has_checkpointer = graph.checkpointer is not None and graph.checkpointer is not False

    def card(self) -> dict[str, Any]:
        name = self._graph.get_name()
        return {"description": f"LangGraph agent {name}", "skills": [skill(name, "", "langgraph")]}

    async def run(self, task: Task) -> None:
        run = _Run(self._graph, task, self._has_checkpointer)
        await run.to_the_end(self._make_input(task.text))


class _Run:
    """One task on its way through a graph."""

    def __init__(self, graph: Any, task: Task, has_checkpointer: bool) -> None:
        self._graph = graph
        self._task = task
        self._has_checkpointer = has_checkpointer
        self._response = ResponseStream(task)
        self._values: Any = None

    async def to_the_end(self, first: Any) -> None:
        used = 0
        step, questions = first, []
        if self._has_checkpointer and self._task.attempt > 1:
            restored = await restore(self._graph, self._config(0), self._task.id)
            if restored is not None:
                step, questions, used = None, restored.questions, restored.used_answers
                self._values = restored.values
                self._task.skip_answers(used)
                if restored.finished:
                    self._response.finish(final_text(self._values))
                    return
        while True:
            if not questions:
                questions = await self._advance(step, used)
            if not questions:
                break
            answers = {
                q.id: resume_value(q.value, await self._task.ask(question_text(q.value))) for q in questions
            }
            used += len(questions)
            step = Command(resume=answers if len(answers) > 1 else next(iter(answers.values())))
            questions = []
        self._response.finish(final_text(self._values))

    async def _advance(self, step: Any, used: int) -> list[Any]:
        """Runs the graph until it ends (no questions) or is interrupted (its questions)."""
        options = {"durability": "sync"} if self._has_checkpointer else {}
        questions: list[Any] = []
        stream = self._graph.astream(step, config=self._config(used), stream_mode=_STREAM_MODES, **options)
        async for mode, item in stream:
            match mode:
                case "values":
                    self._values = item
                case "custom":
                    self._task.status(item)
                case "messages":
                    self._response.token(token_text(item[0]))
                case "updates":
                    questions.extend(item.get("__interrupt__", ()))
                    self._report(item)
        return questions

    def _report(self, updates: dict[str, Any]) -> None:
        for node, update in updates.items():
            names = tool_names(update)
            if names:
                self._task.status(f"using {', '.join(names)}")
            elif node not in _QUIET_NODES and not node.startswith("__"):
                self._task.status(f"{node} done")

    def _config(self, used: int) -> dict[str, Any]:
        return {
            "configurable": {"thread_id": self._task.context_id},
            # Kept with every checkpoint, so that a new attempt knows what the checkpoint is about.
            "metadata": {TASK_KEY: self._task.id, USED_ANSWERS_KEY: used},
        }
