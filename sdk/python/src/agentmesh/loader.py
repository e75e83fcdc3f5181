"""From `module:attribute` to an agent that can be run."""

from __future__ import annotations

import importlib
from typing import Any

from agentmesh.adapter import Adapter
from agentmesh.errors import LoadError

KINDS = ("auto", "crewai", "langgraph", "function")


def load(target: str, kind: str) -> Adapter:
    """Imports the agent. What its module raises while loading is passed on as it is."""
    return adapt(_resolve(target), kind, target)


def adapt(agent: Any, kind: str, target: str) -> Adapter:
    """Wraps an agent by its kind."""
    # The adapters are imported late: each imports its framework.
    match detect(agent) if kind == "auto" else kind:
        case "crewai":
            from agentmesh.crew.adapter import CrewAdapter

            return CrewAdapter(agent)
        case "langgraph":
            from agentmesh.graph.adapter import GraphAdapter

            return GraphAdapter(agent)
        case "function" if callable(agent):
            from agentmesh.function import FunctionAdapter

            return FunctionAdapter(agent, target)
    if _has_base(agent, "langgraph", "StateGraph"):
        raise LoadError(f"{target} is a graph that is not compiled: use the result of its compile()")
    raise LoadError(
        f"{target} is a {type(agent).__name__}, which is no agent: "
        "expected a CrewAI Crew, a compiled LangGraph graph or a function"
    )


def detect(agent: Any) -> str:
    """The kind of an agent, from its class: no framework is imported for it."""
    if _has_base(agent, "crewai", "Crew"):
        return "crewai"
    if _has_base(agent, "langgraph", "Pregel"):
        return "langgraph"
    return "function"


def _resolve(target: str) -> Any:
    module_name, separator, path = target.partition(":")
    if not (module_name and separator and path):
        raise LoadError(f"{target!r} does not name an agent: write module:attribute, as in sales:crew")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only the agent's own module, not one that it fails to import.
        if error.name is not None and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise LoadError(
                f"there is no module {error.name}: looked for in the worker's folder and environment"
            ) from error
        raise
    agent: Any = module
    for name in path.split("."):
        try:
            agent = getattr(agent, name)
        except AttributeError as error:
            raise LoadError(f"module {module_name} has no attribute {path}") from error
    return agent


def _has_base(agent: Any, package: str, name: str) -> bool:
    return any(
        base.__name__ == name and base.__module__.partition(".")[0] == package for base in type(agent).__mro__
    )
