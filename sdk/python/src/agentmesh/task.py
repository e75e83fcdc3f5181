"""The task, as an agent sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from agentmesh.discovery import DiscoveredTool, wanted
from agentmesh.errors import NotInTask
from agentmesh.memory import Memory, PastTask, history, history_blocking
from agentmesh.parts import Part, make_parts, parts_text

if TYPE_CHECKING:
    from agentmesh.attempt import Attempt

RESPONSE = "response"

_current: ContextVar[Task | None] = ContextVar("agentmesh_task", default=None)


class Question:
    """A question to the person behind the task: `await` it, `yield` it, or `wait()` for it in a thread."""

    def __init__(self, future: Future[str]) -> None:
        self._future = future

    def __await__(self) -> Generator[Any, None, str]:
        return asyncio.wrap_future(self._future).__await__()

    def wait(self) -> str:
        """Blocks the calling thread until the answer is there."""
        return self._future.result()


class Task:
    """One attempt at a task. Every method may be called from any thread."""

    def __init__(self, attempt: Attempt, request: Mapping[str, Any]) -> None:
        self._attempt = attempt
        self._artifacts = 0
        self.id: str = request["task"]
        self.attempt: int = request["attempt"]
        self.context_id: str = request.get("context") or self.id
        self.tenant: str = request.get("tenant") or "default"
        self.principal: Mapping[str, Any] = request.get("principal") or {}
        self.message: Mapping[str, Any] = request["message"]
        self.answers: Sequence[Mapping[str, Any]] = request.get("answers") or ()
        self.traceparent: str | None = request.get("traceparent")
        #: What the agents remember that work in this context.
        self.memory = Memory(attempt)

    @property
    def text(self) -> str:
        """The text of the message that started the task."""
        return parts_text(self.message.get("parts"))

    @property
    def canceled(self) -> bool:
        """Whether the task was canceled: code that runs in a thread looks here and ends."""
        return self._attempt.canceled

    def status(self, content: Any) -> None:
        """Tells the clients what the agent is doing: a text, or anything that is JSON."""
        if isinstance(content, str):
            self._attempt.emit("status", text=content)
        else:
            self._attempt.emit("status", parts=make_parts(content))

    def token(self, text: str, *, artifact_id: str = RESPONSE, name: str | None = None) -> None:
        """Appends text to an artifact as it is made."""
        named = {} if name is None else {"name": name}
        self._attempt.emit("token", text=text, artifactId=artifact_id, **named)

    def artifact(
        self,
        content: Any = None,
        *,
        parts: list[Part] | None = None,
        name: str | None = None,
        artifact_id: str | None = None,
        append: bool = False,
        last: bool = True,
    ) -> str:
        """Hands over a result: a string, bytes, or anything that is JSON (or ready-made A2A `parts`).

        Without an `artifact_id` it goes by its name or its number, the same in every attempt. Returns the id.
        """
        if artifact_id is None:
            self._artifacts += 1
            artifact_id = name or f"artifact-{self._artifacts}"
        artifact: dict[str, Any] = {"artifactId": artifact_id}
        if name is not None:
            artifact["name"] = name
        artifact["parts"] = make_parts(content) if parts is None else parts
        self._attempt.emit("artifact", artifact=artifact, append=append, lastChunk=last)
        return artifact_id

    def ask(self, text: str) -> Question:
        """Asks the person behind the task. In a new attempt the answers already given are used again."""
        return Question(self._attempt.ask(text))

    def skip_answers(self, count: int) -> None:
        """For agents that keep their own state: the first `count` answers were used by an earlier attempt."""
        self._attempt.skip_answers(count)

    async def call_tool(self, name: str | None = None, /, **arguments: Any) -> Any:
        """Calls a tool: its structured content, or else its text. Raises ToolError.

        `call_tool("crm/get_customer", customer_id="C-1")`, or the same as
        `call_tool(tool_name="crm/get_customer", parameters={"customer_id": "C-1"})`.
        """
        return await asyncio.wrap_future(self._attempt.call_tool(*_tool_call(name, arguments)))

    async def discover_tools(
        self, category: str | None = None, query: str | None = None, *, limit: int | None = None
    ) -> list[DiscoveredTool]:
        """Tools that this agent may call: of a category, or for a need, best first. Raises ToolError."""
        asked = wanted(category, query, limit)
        return await asyncio.wrap_future(self._attempt.discover_tools(asked))

    def discover_tools_blocking(
        self, category: str | None = None, query: str | None = None, *, limit: int | None = None
    ) -> list[DiscoveredTool]:
        """`discover_tools` for code that runs in a thread."""
        return self._attempt.discover_tools(wanted(category, query, limit)).result()

    async def call_agent(self, name: str, text: str) -> str:
        """Sends another agent a task and waits for the text of its answer. Raises AgentError."""
        return await asyncio.wrap_future(self._attempt.call_agent(name, text))

    async def history(self, limit: int = 20, *, artifacts: bool = True) -> list[PastTask]:
        """The last tasks of this context before this one, of all agents, oldest first."""
        return await history(self._attempt, limit, artifacts)

    def history_blocking(self, limit: int = 20, *, artifacts: bool = True) -> list[PastTask]:
        """`history` for code that runs in a thread."""
        return history_blocking(self._attempt, limit, artifacts)

    def call_tool_blocking(self, name: str | None = None, /, **arguments: Any) -> Any:
        """`call_tool` for code that runs in a thread."""
        return self._attempt.call_tool(*_tool_call(name, arguments)).result()

    def call_agent_blocking(self, name: str, text: str) -> str:
        """`call_agent` for code that runs in a thread."""
        return self._attempt.call_agent(name, text).result()


def _tool_call(name: str | None, arguments: dict[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """A tool and its arguments, in either way of writing a call."""
    if name is not None:
        return name, arguments
    named = {"tool_name": None, "parameters": None, **arguments}
    tool, parameters = named.pop("tool_name"), named.pop("parameters")
    if not isinstance(tool, str) or named:
        raise TypeError(
            "a call names its tool: call_tool(name, **arguments), or with tool_name and parameters"
        )
    return tool, parameters or {}


def current_task() -> Task:
    """The task on whose behalf this code runs, also in the threads that the frameworks start for it."""
    task = _current.get()
    if task is None:
        raise NotInTask(
            "there is no current task here: mesh tools work while a task runs, in its own context "
            "(a thread started by hand needs contextvars.copy_context())"
        )
    return task


def find_current_task() -> Task | None:
    """The current task, or None outside one."""
    return _current.get()


def enter_task(task: Task) -> None:
    """Makes `task` the current one for the calling context and all that is started from it."""
    _current.set(task)
