"""What the tools of every framework do when a model calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentmesh.binding import bound_config
from agentmesh.config import Peer, Tool
from agentmesh.task import current_task

_REQUEST_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "request": {
            "type": "string",
            "description": "What the agent is asked to do, with all it needs to know",
        }
    },
    "required": ["request"],
}


@dataclass(frozen=True)
class Function:
    """A tool or an agent as a function that a model can call."""

    name: str
    description: str
    schema: Mapping[str, Any]
    target: Tool | Peer

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Calls it on behalf of the current task; the text for the model. Raises CallError."""
        task = current_task()
        if isinstance(self.target, Peer):
            return await task.call_agent(self.target.name, _request(arguments))
        return _text(await task.call_tool(self.target.name, **self._given(arguments)))

    def call_blocking(self, arguments: Mapping[str, Any]) -> str:
        """`call` for frameworks that call tools in a thread."""
        task = current_task()
        if isinstance(self.target, Peer):
            return task.call_agent_blocking(self.target.name, _request(arguments))
        return _text(task.call_tool_blocking(self.target.name, **self._given(arguments)))

    def _given(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        # Frameworks fill in null for what the model left out; a strict server refuses that.
        required = self.schema.get("required") or ()
        return {key: value for key, value in arguments.items() if value is not None or key in required}


def functions(*names: str) -> list[Function]:
    """The functions for these tools and agents, or for all that the agent may use. Raises ConfigError."""
    return [_function(name, target) for name, target in bound_config().select(names)]


def _function(name: str, target: Tool | Peer) -> Function:
    if isinstance(target, Peer):
        about = f": {target.description}" if target.description else ""
        return Function(name, f"Asks the agent {target.name}{about}", _REQUEST_SCHEMA, target)
    return Function(name, target.description or f"The tool {target.name}", target.input_schema, target)


def _request(arguments: Mapping[str, Any]) -> str:
    return str(arguments.get("request", ""))


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
