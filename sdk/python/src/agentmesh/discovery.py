"""Tools as they are found: by category, or by what they are needed for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentmesh.calls import read_result
from agentmesh.channel import Message
from agentmesh.errors import ToolError

TARGET = "tools"


@dataclass(frozen=True)
class DiscoveredTool:
    """A tool as the gateway describes it. What it does not say is empty."""

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    category: str | None = None
    tags: Sequence[str] = ()
    #: How well it fits the query; higher is better.
    score: float | None = None
    #: Everything that the gateway says about it.
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> DiscoveredTool:
        """From an entry of the gateway's list."""
        score = entry.get("score")
        return cls(
            name=str(entry.get("name") or ""),
            description=str(entry.get("description") or ""),
            input_schema=entry.get("inputSchema") or {},
            category=entry.get("category"),
            tags=tuple(entry.get("tags") or ()),
            score=float(score) if isinstance(score, int | float) else None,
            raw=entry,
        )


def read_tools(answer: Mapping[str, Any]) -> list[DiscoveredTool]:
    """The tools of a list. Raises ToolError."""
    tools = answer.get("tools")
    if not isinstance(tools, list):
        raise ToolError(TARGET, "invalid", "the gateway does not answer with a list of tools")
    return [DiscoveredTool.read(tool) for tool in tools if isinstance(tool, dict)]


def wanted(category: str | None, query: str | None, limit: int | None) -> dict[str, Any]:
    """What is asked for: what is given."""
    given = {"category": category, "query": query, "limit": limit}
    return {name: value for name, value in given.items() if value is not None}


def tools_decoder(reply: Message) -> list[DiscoveredTool]:
    """The tools in a reply of the host. Raises ToolError."""
    return read_tools(read_result(reply, TARGET, ToolError))
