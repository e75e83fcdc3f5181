"""The memory of a context, which all agents share that work in it, and what was said there before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from agentmesh.calls import Decoder, read_result
from agentmesh.channel import Message
from agentmesh.errors import ContextError, MemoryConflict, MeshError
from agentmesh.parts import artifact_text, parts_text

if TYPE_CHECKING:
    from agentmesh.attempt import Attempt

T = TypeVar("T")

# How often `update` computes a value anew because others were faster.
UPDATE_TRIES = 16
# Entries and tasks asked for at a time; the host may send fewer.
_PAGE = 100


@dataclass(frozen=True)
class Entry:
    """An entry. `version` grows with every change and is never used twice."""

    key: str
    value: Any
    version: int
    agent: str = ""


@dataclass(frozen=True)
class PastTask:
    """An earlier task of the context, of whichever agent."""

    id: str
    agent: str
    state: str
    messages: Sequence[Mapping[str, Any]]
    artifacts: Sequence[Mapping[str, Any]] = ()
    truncated: bool = False

    @property
    def text(self) -> str:
        """The text of the message that started it."""
        return parts_text(self.messages[0].get("parts")) if self.messages else ""

    @property
    def answer(self) -> str:
        """The text of its artifacts, or else of what its agent said last."""
        made = [artifact_text(artifact.get("parts")) for artifact in self.artifacts]
        said = [m for m in self.messages if m.get("role") == "ROLE_AGENT"]
        last = parts_text(said[-1].get("parts")) if said else ""
        return "\n\n".join(text for text in made if text) or last


class Memory:
    """The memory of a task's context. Every method has a twin that blocks, for code that runs in a thread.

    Values are anything that is JSON. Keys are texts. What was written is on disk.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    async def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` if there is none."""
        entry = await self.entry(key)
        return default if entry is None else entry.value

    async def entry(self, key: str) -> Entry | None:
        """The value with its version."""
        return await _wait(self._entry(key))

    async def set(self, key: str, value: Any, *, expect: int | None = None) -> int:
        """Writes a value; returns its version. `expect`: the version it must have now, 0 for none.

        Raises MemoryConflict when it has another one.
        """
        return await _wait(self._set(key, value, expect))

    async def delete(self, key: str, *, expect: int | None = None) -> None:
        """Deletes an entry; none is no error."""
        await _wait(self._delete(key, expect))

    async def items(self) -> list[Entry]:
        """All entries, by key."""
        entries: list[Entry] = []
        after: str | None = None
        while True:
            page, after = await _wait(self._page(after))
            entries += page
            if after is None:
                return entries

    async def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Replaces a value by what `function` makes of it, whatever others do; returns the new value.

        `function` is called again when somebody was faster. Raises MemoryConflict after many times.
        """
        conflict: MemoryConflict | None = None
        for _ in range(UPDATE_TRIES):
            known = await self.entry(key)
            value = function(default if known is None else known.value)
            try:
                await self.set(key, value, expect=0 if known is None else known.version)
            except MemoryConflict as error:
                conflict = error
            else:
                return value
        raise conflict or AssertionError("UPDATE_TRIES is at least 1")

    def get_blocking(self, key: str, default: Any = None) -> Any:
        """`get` for code that runs in a thread."""
        entry = self.entry_blocking(key)
        return default if entry is None else entry.value

    def entry_blocking(self, key: str) -> Entry | None:
        """`entry` for code that runs in a thread."""
        return self._entry(key).result()

    def set_blocking(self, key: str, value: Any, *, expect: int | None = None) -> int:
        """`set` for code that runs in a thread."""
        return self._set(key, value, expect).result()

    def delete_blocking(self, key: str, *, expect: int | None = None) -> None:
        """`delete` for code that runs in a thread."""
        self._delete(key, expect).result()

    def items_blocking(self) -> list[Entry]:
        """`items` for code that runs in a thread."""
        return _run(self.items())

    def update_blocking(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """`update` for code that runs in a thread."""
        return _run(self.update(key, function, default))

    def _entry(self, key: str) -> Future[Entry | None]:
        return self._attempt.call_context("memory", {"op": "get", "key": key}, _entry_decoder(key))

    def _set(self, key: str, value: Any, expect: int | None) -> Future[int]:
        request = {"op": "put", "key": key, "value": value, "expect": expect}
        return self._attempt.call_context("memory", request, _decoder(key, lambda r: int(r["version"])))

    def _delete(self, key: str, expect: int | None) -> Future[None]:
        request = {"op": "delete", "key": key, "expect": expect}
        return self._attempt.call_context("memory", request, _decoder(key, lambda _: None))

    def _page(self, after: str | None) -> Future[tuple[list[Entry], str | None]]:
        def read(result: Message) -> tuple[list[Entry], str | None]:
            return [_entry(entry) for entry in result.get("entries") or ()], result.get("next")

        request = {"op": "list", "after": after, "limit": _PAGE}
        return self._attempt.call_context("memory", request, _decoder("", read))


async def history(attempt: Attempt, limit: int, artifacts: bool) -> list[PastTask]:
    """The last tasks of the context, oldest first."""
    tasks: list[PastTask] = []
    before: str | None = None
    while len(tasks) < limit:
        request = {"limit": min(limit - len(tasks), _PAGE), "before": before, "artifacts": artifacts}
        page, before = await _wait(attempt.call_context("history", request, _decoder("", _read_history)))
        tasks = page + tasks
        if before is None:
            break
    return tasks


def history_blocking(attempt: Attempt, limit: int, artifacts: bool) -> list[PastTask]:
    """`history` for code that runs in a thread."""
    return _run(history(attempt, limit, artifacts))


async def _wait(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)


def _run(work: Coroutine[Any, Any, T]) -> T:
    # Each step of it is a call: there is no loop in this thread, and one is made to wait in.
    return asyncio.run(work)


def _entry(entry: Mapping[str, Any]) -> Entry:
    return Entry(entry["key"], entry["value"], entry["version"], entry.get("agent") or "")


def _read_history(result: Message) -> tuple[list[PastTask], str | None]:
    tasks = [
        PastTask(
            id=task["task"],
            agent=task.get("agent") or "",
            state=task.get("state") or "",
            messages=task.get("messages") or (),
            artifacts=task.get("artifacts") or (),
            truncated=bool(task.get("truncated")),
        )
        for task in result.get("tasks") or ()
    ]
    return tasks, result.get("before")


def _decoder(key: str, read: Callable[[Message], Any]) -> Decoder:
    def decode(reply: Message) -> Any:
        error = reply.get("error") or {}
        if error.get("code") == "conflict":
            raise MemoryConflict(key, str(error.get("message", "")), int(error.get("actual") or 0))
        result = read_result(reply, key or "context", ContextError)
        try:
            return read(result)
        except (KeyError, TypeError, ValueError) as bad:
            raise ContextError(key, "invalid", f"the host's answer is not as expected: {bad!r}") from bad

    return decode


def _entry_decoder(key: str) -> Decoder:
    decode = _decoder(key, _entry)

    def decode_or_none(reply: Message) -> Entry | None:
        if (reply.get("error") or {}).get("code") == "not_found":
            return None
        entry: Entry = decode(reply)
        return entry

    return decode_or_none


def no_memory() -> MeshError:
    """The host does not have what this module needs."""
    return ContextError("context", "unavailable", "this host keeps no memory of contexts: it is too old")
