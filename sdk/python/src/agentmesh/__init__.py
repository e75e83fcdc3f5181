"""Workers for Agent Mesh. `python -m agentmesh module:attribute` runs an agent; see the README.

Only the standard library is imported here. The frameworks' adapters are imported when they are used.
"""

from __future__ import annotations

from typing import Any

from agentmesh.binding import model
from agentmesh.config import Model
from agentmesh.discovery import DiscoveredTool
from agentmesh.errors import (
    AgentError,
    CallError,
    ConfigError,
    ContextError,
    MemoryConflict,
    MeshError,
    NotInTask,
    TaskCanceled,
    TaskFailed,
    TaskRejected,
    ToolError,
)
from agentmesh.gateway import AgentGateway
from agentmesh.memory import Entry, Memory, PastTask
from agentmesh.task import Question, Task, current_task
from agentmesh.version import VERSION

__all__ = [
    "AgentError",
    "AgentGateway",
    "CallError",
    "ConfigError",
    "ContextError",
    "DiscoveredTool",
    "Entry",
    "Memory",
    "MemoryConflict",
    "MeshError",
    "Model",
    "NotInTask",
    "PastTask",
    "Question",
    "Task",
    "TaskCanceled",
    "TaskFailed",
    "TaskRejected",
    "ToolError",
    "__version__",
    "crewai_llm",
    "crewai_tools",
    "current_task",
    "langchain_model",
    "langchain_tools",
    "model",
]

__version__ = VERSION


def crewai_tools(*names: str) -> list[Any]:
    """CrewAI tools for these tools and agents (`"get_customer"`, `"agent:marketing"`); all for no names.

    `"context:memory"` gives the model two more: `recall` and `remember`.
    """
    from agentmesh.crew.tools import crewai_tools as build

    return build(*names)


def langchain_tools(*names: str) -> list[Any]:
    """LangChain tools for these tools and agents, and `"context:memory"`; all but that for no names."""
    from agentmesh.graph.tools import langchain_tools as build

    return build(*names)


def crewai_llm(**options: Any) -> Any:
    """A CrewAI `LLM` for the model of the mesh. Options go to `LLM` as they are."""
    from agentmesh.crew.model import crewai_llm as build

    return build(**options)


def langchain_model(**options: Any) -> Any:
    """A `ChatOpenAI` for the model of the mesh. Options go to `ChatOpenAI` as they are."""
    from agentmesh.graph.model import langchain_model as build

    return build(**options)
