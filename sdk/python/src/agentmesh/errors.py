"""Errors of the SDK. `str(error)` may go to a log; only `public_text` may go to the task's clients."""

from __future__ import annotations


class MeshError(Exception):
    """Base of every error of this package."""

    @property
    def public_text(self) -> str:
        """What the clients of a task may read when this error ends it."""
        return f"the agent failed ({type(self).__name__})"


class ConfigError(MeshError):
    """The agent asks for something that its configuration does not give it."""


class LoadError(MeshError):
    """The agent could not be loaded."""


class ProtocolError(MeshError):
    """The host and the worker do not understand each other; the worker cannot go on."""


class LineTooLong(MeshError):
    """A message does not fit the protocol's line limit."""


class NotInTask(MeshError):
    """Something that needs a current task was used outside one."""


class TaskCanceled(MeshError):
    """The task was canceled while a thread was waiting or speaking on its behalf."""


class TaskFailed(MeshError):
    """Raise it in an agent to fail the task with a text for its clients."""

    @property
    def public_text(self) -> str:
        return str(self)


class TaskRejected(MeshError):
    """Raise it in an agent to refuse the task with a text for its clients."""

    @property
    def public_text(self) -> str:
        return str(self)


class CallError(MeshError):
    """A call to a tool or to another agent did not succeed. `code` is one of the protocol's error codes."""

    kind = "call"

    def __init__(self, target: str, code: str, message: str) -> None:
        super().__init__(message)
        self.target = target
        self.code = code

    @property
    def public_text(self) -> str:
        return f"{self.kind} {self.target} failed ({self.code})"


class ToolError(CallError):
    """The tool reported an error, or the call did not reach it."""

    kind = "tool"


class ContextError(CallError):
    """What belongs to the context could not be read or changed; `too_large`, `invalid`, `unavailable` …"""

    kind = "context"


class MemoryConflict(ContextError):
    """The entry is not at the version that was expected. `actual` is its version, 0 if there is none."""

    def __init__(self, key: str, message: str, actual: int) -> None:
        super().__init__(key, "conflict", message or f"the entry is at version {actual}")
        self.actual = actual


class AgentError(CallError):
    """The other agent failed or refused the task, or the call did not reach it."""

    kind = "agent"
