"""What the host tells a worker about its agent: the model, the tools and the agents it may use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentmesh.channel import DEFAULT_LINE_BYTES
from agentmesh.errors import ConfigError, ProtocolError

PROTOCOL_VERSION = 1
AGENT_PREFIX = "agent:"
_FUNCTION_NAME_LIMIT = 64


@dataclass(frozen=True)
class Model:
    """The OpenAI-compatible endpoint of the mesh."""

    base_url: str
    name: str
    key: str | None = field(default=None, repr=False)

    @property
    def api_key(self) -> str:
        """A key for client libraries, which insist on one also where the endpoint needs none."""
        return self.key or "none"


@dataclass(frozen=True)
class Tool:
    """A tool this agent may call. `name` is `upstream/tool`."""

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]


@dataclass(frozen=True)
class Peer:
    """Another agent this agent may send tasks to."""

    name: str
    description: str = ""


@dataclass(frozen=True)
class Config:
    """The host's `config` message."""

    agent: str
    model: Model | None
    tools: tuple[Tool, ...]
    peers: tuple[Peer, ...]
    line_bytes: int = DEFAULT_LINE_BYTES
    # A host that refuses events well below the line limit says so here.
    event_bytes: int = DEFAULT_LINE_BYTES
    # An older host knows no memory of contexts.
    has_memory: bool = False

    @staticmethod
    def parse(message: Mapping[str, Any]) -> Config:
        """Reads the message. Raises ProtocolError when it lacks something this version needs."""
        protocol = message.get("protocol")
        if protocol != PROTOCOL_VERSION:
            raise ProtocolError(f"the host speaks protocol {protocol}, this SDK speaks {PROTOCOL_VERSION}")
        try:
            model = message.get("model")
            limits = message.get("limits") or {}
            line_bytes = limits.get("line_bytes") or DEFAULT_LINE_BYTES
            return Config(
                agent=str(message.get("agent", "")),
                model=Model(model["base_url"], model["name"], model.get("key")) if model else None,
                tools=tuple(_tool(tool) for tool in message.get("tools") or ()),
                peers=tuple(
                    Peer(peer["name"], peer.get("description") or "") for peer in message.get("agents") or ()
                ),
                line_bytes=line_bytes,
                event_bytes=min(line_bytes, limits.get("event_bytes") or line_bytes),
                has_memory=isinstance(message.get("memory"), Mapping),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ProtocolError(f"the host's config message is not valid: {error!r}") from error

    def require_model(self) -> Model:
        """The model, or a ConfigError that says how to get one."""
        if self.model is None:
            raise ConfigError(f"agent {self.agent} has no model: add a `model:` section to the mesh file")
        return self.model

    def find_tool(self, name: str) -> Tool:
        """The tool of this full name, or of this short name where only one has it."""
        exact = [tool for tool in self.tools if tool.name == name]
        found = exact or [tool for tool in self.tools if tool.short_name == name]
        if len(found) == 1:
            return found[0]
        if found:
            choices = ", ".join(tool.name for tool in found)
            raise ConfigError(f"tool {name!r} is ambiguous: write one of {choices}")
        raise ConfigError(
            f"agent {self.agent} has no tool {name!r}: available are {_listing(t.name for t in self.tools)}; "
            "add it to the agent's `tools:` in the mesh file"
        )

    def find_peer(self, name: str) -> Peer:
        """The agent of this name."""
        for peer in self.peers:
            if peer.name == name:
                return peer
        raise ConfigError(
            f"agent {self.agent} has no peer {name!r}: available are {_listing(p.name for p in self.peers)}; "
            "add it to the agent's `peers:` in the mesh file"
        )

    def find(self, name: str) -> Tool | Peer:
        """A tool by its name, or an agent by `agent:` and its name."""
        if name.startswith(AGENT_PREFIX):
            return self.find_peer(name.removeprefix(AGENT_PREFIX))
        return self.find_tool(name)

    def select(self, names: Iterable[str]) -> list[tuple[str, Tool | Peer]]:
        """These tools and agents with the names under which a model sees them; all of them for no names.

        A tool goes by its short name, or by `upstream_tool` where two have the same; an agent by `ask_name`.
        """
        wanted = list(names)
        found: list[Tool | Peer] = (
            [self.find(name) for name in wanted] if wanted else [*self.tools, *self.peers]
        )
        by_name: dict[tuple[type, str], Tool | Peer] = {(type(item), item.name): item for item in found}
        unique = list(by_name.values())
        return list(zip(_function_names(unique), unique, strict=True))


def _tool(tool: Mapping[str, Any]) -> Tool:
    schema = tool.get("inputSchema")
    if not schema:
        return Tool(tool["name"], tool.get("description") or "")
    return Tool(tool["name"], tool.get("description") or "", schema)


def _listing(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _function_names(items: list[Tool | Peer]) -> list[str]:
    short = [_identifier(f"ask_{i.name}" if isinstance(i, Peer) else i.short_name) for i in items]
    return [
        name if short.count(name) == 1 else _identifier(item.name)
        for name, item in zip(short, items, strict=True)
    ]


def _identifier(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:_FUNCTION_NAME_LIMIT]
