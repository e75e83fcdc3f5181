"""Runs compiled LangGraph graphs, LangChain's agents among them."""

from __future__ import annotations

from typing import Any

from langgraph.types import Command

from agentmesh.adapter import ResponseStream, skill
from agentmesh.graph.messages import final_text, interrupt_text, text_of
from agentmesh.task import Task

_TASK = "agentmesh_task"
_ANSWERS = "agentmesh_answers"


class GraphAdapter:
    """Streams the graph for every task. The context of the task is the thread of the graph."""

    framework = "langgraph"

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._durable = graph.checkpointer is not None and graph.checkpointer is not False

    def card(self) -> dict[str, Any]:
        name = self._graph.get_name()
        return {"description": f"LangGraph agent {name}", "skills": [skill(name, "", "langgraph")]}

    async def run(self, task: Task) -> None:
        response = ResponseStream(task)
        answered, step = await self._starting_point(task)
        while (question := await self._advance(task, step, answered, response)) is not None:
            step = Command(resume=await self._answer(task, question, answered))
            answered += 1
        response.finish(await self._outcome(task))

    async def _starting_point(self, task: Task) -> tuple[int, Any]:
        """How many questions were answered already, and what to give the graph first."""
        fresh = {"messages": [{"role": "user", "content": task.text}]}
        return 0, fresh
