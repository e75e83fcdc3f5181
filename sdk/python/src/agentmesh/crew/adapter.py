"""Runs CrewAI crews."""

from __future__ import annotations

from typing import Any

from agentmesh.adapter import ResponseStream, skill
from agentmesh.crew.feedback import ask_over_the_mesh
from agentmesh.crew.progress import Progress, follow
from agentmesh.errors import LoadError
from agentmesh.task import Task


class CrewAdapter:
    """Runs a copy of the crew for every task: a crew that runs refuses a second task.

    A callable that makes a crew is also taken; it is called for every task.
    """

    framework = "crewai"

    def __init__(self, crew: Any) -> None:
        self._crew = crew
        self._first = crew if hasattr(crew, "akickoff") else crew()
        if not hasattr(self._first, "akickoff"):
            raise LoadError(
                f"expected a CrewAI Crew, or a function that makes one, not {type(crew).__name__}"
            )

    def card(self) -> dict[str, Any]:
        skills = [skill(agent.role.strip(), agent.goal.strip(), "crewai") for agent in self._first.agents]
        return {"description": " ".join(s["description"] for s in skills), "skills": skills}

    async def run(self, task: Task) -> None:
        crew = self._crew.copy() if self._crew is self._first else self._crew()
        # A streaming crew returns its chunks instead of its result; the progress sink sees them anyway.
        crew.stream = False
        response = ResponseStream(task)
        with follow(Progress(task, response, crew)), ask_over_the_mesh(task):
            output = await crew.akickoff(inputs={"request": task.text, "message": task.text})
        response.finish(str(output))
