"""What the tools of every framework do when a model calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentmesh.binding import bound_config
from agentmesh.config import Peer, Tool
from agentmesh.task import current_task

MEMORY = "context:memory"

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
    target: Tool | Peer | None = None

    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Calls it on behalf of the current task; the text for the model. Raises CallError."""
        task = current_task()
        if isinstance(self.target, Peer):
            return await task.call_agent(self.target.name, _request(arguments))
        return _text(await task.call_tool(self._tool, **self._given(arguments)))

    def call_blocking(self, arguments: Mapping[str, Any]) -> str:
        """`call` for frameworks that call tools in a thread."""
        task = current_task()
        if isinstance(self.target, Peer):
            return task.call_agent_blocking(self.target.name, _request(arguments))
        return _text(task.call_tool_blocking(self._tool, **self._given(arguments)))

    @property
    def _tool(self) -> str:
        return self.target.name if self.target else self.name

    def _given(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        # Frameworks fill in null for what the model left out; a strict server refuses that.
        required = self.schema.get("required") or ()
        return {key: value for key, value in arguments.items() if value is not None or key in required}


class Recall(Function):
    """Reads the memory of the context."""

    async def call(self, arguments: Mapping[str, Any]) -> str:
        memory = current_task().memory
        if key := arguments.get("key"):
            return _text(await memory.get(str(key)))
        return _text({entry.key: entry.value for entry in await memory.items()})

    def call_blocking(self, arguments: Mapping[str, Any]) -> str:
        memory = current_task().memory
        if key := arguments.get("key"):
            return _text(memory.get_blocking(str(key)))
        return _text({entry.key: entry.value for entry in memory.items_blocking()})


class Remember(Function):
    """Writes to the memory of the context."""

    async def call(self, arguments: Mapping[str, Any]) -> str:
        await current_task().memory.set(str(arguments["key"]), arguments["value"])
        return "remembered"

    def call_blocking(self, arguments: Mapping[str, Any]) -> str:
        current_task().memory.set_blocking(str(arguments["key"]), arguments["value"])
        return "remembered"


def functions(*names: str) -> list[Function]:
    """The functions for these tools and agents, or for all that the agent may use. Raises ConfigError.

    `context:memory` stands for two that read and write what the context's agents remember.
    """
    named = [name for name in names if name != MEMORY]
    # Without any name it is all tools and agents; the memory alone is not that.
    selected = bound_config().select(named) if named or not names else []
    found = [_function(name, target) for name, target in selected]
    return found if len(named) == len(names) else [*found, *_memory_functions()]


def _memory_functions() -> list[Function]:
    key = {"type": "string", "description": "What it is about"}
    value = {"type": "string", "description": "What is to be remembered"}
    recall = {"type": "object", "properties": {"key": key}}
    remember = {"type": "object", "properties": {"key": key, "value": value}, "required": ["key", "value"]}
    return [
        Recall("recall", "Reads what was remembered in this conversation: all of it without a key", recall),
        Remember("remember", "Remembers something for the rest of this conversation", remember),
    ]


def _function(name: str, target: Tool | Peer) -> Function:
    if isinstance(target, Peer):
        about = f": {target.description}" if target.description else ""
        return Function(name, f"Asks the agent {target.name}{about}", _REQUEST_SCHEMA, target)
    return Function(name, target.description or f"The tool {target.name}", target.input_schema, target)


def _request(arguments: Mapping[str, Any]) -> str:
    return str(arguments.get("request", ""))


def _text(result: Any) -> str:
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
