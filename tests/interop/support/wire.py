"""A2A over JSON-RPC without the SDK: for what the SDK does not show, such as event numbers and headers."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

# Streams show that they are alive every 15 s, so a test that waits for nothing ends here.
PATIENCE = httpx.Timeout(30)
ENDED = {"TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_CANCELED", "TASK_STATE_REJECTED"}


def user_message(text: str, **fields: Any) -> dict[str, Any]:
    """Parameters of SendMessage and SendStreamingMessage."""
    message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"text": text}]}
    return {"message": message | fields}


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    number: int
    result: dict[str, Any]
    text_of_result: str

    @property
    def kind(self) -> str:
        (kind,) = self.result
        return kind

    @property
    def state(self) -> str | None:
        """The state that it tells, if it tells one."""
        return self.result[self.kind].get("status", {}).get("state")

    @property
    def metadata(self) -> dict[str, Any]:
        return self.result[self.kind].get("metadata", {})

    @property
    def chunk(self) -> str | None:
        """The text of an artifact's chunk."""
        if self.kind != "artifactUpdate":
            return None
        return "".join(part["text"] for part in self.result[self.kind]["artifact"]["parts"])

    @property
    def task_id(self) -> str:
        body = self.result[self.kind]
        return body["id"] if self.kind == "task" else body["taskId"]


class Tap:
    """An open stream of a task's events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.seen: list[Event] = []
        self._lines = response.aiter_lines()

    async def next(self) -> Event | None:
        """The next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                if "data" in fields:
                    event = self._event(fields)
                    self.seen.append(event)
                    return event
                fields = {}
                continue
            name, _, value = line.partition(":")
            assert name not in fields, f"`{name}` twice in one event"
            fields[name] = value.removeprefix(" ")
        return None

    @staticmethod
    def _event(fields: dict[str, str]) -> Event:
        envelope = json.loads(fields["data"])
        assert "error" not in envelope, envelope
        assert envelope["jsonrpc"] == "2.0", envelope
        return Event(int(fields["id"]), envelope["result"], json.dumps(envelope["result"]))

    async def until(self, condition: Callable[[Event], Any]) -> Event:
        """Reads up to the first event for which the condition holds."""
        while event := await self.next():
            if condition(event):
                return event
        raise AssertionError(f"the stream ended after {[event.result for event in self.seen]}")

    async def until_waiting(self) -> Event:
        """Reads up to the chunk with which the worker's `wait-file` says that it waits."""
        return await self.until(lambda event: event.chunk == "waiting; ")

    async def rest(self) -> list[Event]:
        """Reads up to the end; returns what came now."""
        events = []
        while event := await self.next():
            events.append(event)
        return events


class Rpc:
    """A client of one JSON-RPC endpoint."""

    def __init__(self, url: str, version: str | None = "1.0") -> None:
        self._ids = itertools.count(1)
        headers = {} if version is None else {"A2A-Version": version}
        limits = httpx.Limits(max_connections=None)
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    def _body(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}

    async def answer(
        self, method: str, params: dict[str, Any], path: str = "/", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """The whole JSON-RPC answer."""
        body = self._body(method, params)
        response = await self.http.post(path, json=body, headers=headers)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == body["id"]
        return answer

    async def result(self, method: str, params: dict[str, Any]) -> Any:
        """The result; an error fails the test."""
        answer = await self.answer(method, params)
        assert "error" not in answer, answer
        return answer["result"]

    async def error(
        self, method: str, params: dict[str, Any], path: str = "/", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """The error; a result fails the test."""
        answer = await self.answer(method, params, path, headers)
        assert "result" not in answer, answer
        return answer["error"]

    async def send(self, text: str, **fields: Any) -> dict[str, Any]:
        """Sends a message and waits until its task has ended or asks something."""
        return (await self.result("SendMessage", user_message(text, **fields)))["task"]

    async def get(self, task: str) -> dict[str, Any]:
        return await self.result("GetTask", {"id": task})

    @asynccontextmanager
    async def stream(
        self, method: str, params: dict[str, Any], headers: dict[str, str] | None = None
    ) -> AsyncIterator[Tap]:
        body = self._body(method, params)
        async with self.http.stream("POST", "/", json=body, headers=headers) as response:
            assert response.status_code == 200
            if not response.headers["content-type"].startswith("text/event-stream"):
                raise AssertionError(await response.aread())
            yield Tap(response)

    def send_streaming(self, text: str, **fields: Any) -> Any:
        """Sends a message and streams what its task says."""
        return self.stream("SendStreamingMessage", user_message(text, **fields))

    def tap(self, task: str, after: int | None = None) -> Any:
        """Subscribes; with a number, to exactly what comes after it."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        return self.stream("SubscribeToTask", {"id": task}, headers)

    async def events(self, task: str, after: int = 0) -> list[Event]:
        """All events after a number, up to the end of the task."""
        async with self.tap(task, after) as tap:
            return await tap.rest()


def numbers(events: list[Event]) -> list[int]:
    return [event.number for event in events]


def chunks(events: list[Event]) -> list[str]:
    return [event.chunk for event in events if event.chunk is not None]


def parts(task: dict[str, Any], artifact: str = "out") -> list[str]:
    """The texts of an artifact of a task."""
    for candidate in task.get("artifacts", []):
        if candidate["artifactId"] == artifact:
            return [part["text"] for part in candidate["parts"] if "text" in part]
    return []
