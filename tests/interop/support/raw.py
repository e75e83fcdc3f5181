"""Both JSON bindings as they are on the wire, behind one face; and what to look for in their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.message import Message

from wire import Rpc, user_message


class Raw:
    """JSON-RPC and HTTP+JSON alike: an operation in, JSON and what the error says out."""

    PATHS: dict[str, tuple[str, str]] = {  # noqa: RUF012 - never changed
        "SendMessage": ("POST", "/message:send"),
        "SendStreamingMessage": ("POST", "/message:stream"),
        "GetTask": ("GET", "/tasks/{id}"),
        "ListTasks": ("GET", "/tasks"),
        "CancelTask": ("POST", "/tasks/{id}:cancel"),
        "SubscribeToTask": ("POST", "/tasks/{id}:subscribe"),
        "GetTaskPushNotificationConfig": ("GET", "/tasks/{taskId}/pushNotificationConfigs/{id}"),
        "GetExtendedAgentCard": ("GET", "/extendedAgentCard"),
    }

    def __init__(self, rpc: Rpc, binding: str) -> None:
        self.rpc, self.binding = rpc, binding

    async def text(self, operation: str, params: dict[str, Any], **headers: str) -> str:
        """The answer as it came."""
        if self.binding == "JSONRPC":
            body = {"jsonrpc": "2.0", "id": 1, "method": operation, "params": params}
            return (await self.rpc.http.post("/", json=body, headers=headers)).text
        verb, path = self.PATHS[operation]
        left = {name: value for name, value in params.items() if f"{{{name}}}" not in path}
        content = {"json": left} if verb == "POST" else {"params": left}
        return (await self.rpc.http.request(verb, path.format(**params), headers=headers, **content)).text

    async def answer(self, operation: str, params: dict[str, Any], **headers: str) -> dict[str, Any]:
        return json.loads(await self.text(operation, params, **headers))

    async def result(self, operation: str, params: dict[str, Any], **headers: str) -> Any:
        answer = await self.answer(operation, params, **headers)
        assert "error" not in answer, answer
        return answer["result"] if self.binding == "JSONRPC" else answer

    async def error(self, operation: str, params: dict[str, Any], **headers: str) -> dict[str, Any]:
        return (await self.answer(operation, params, **headers))["error"]

    async def events(self, operation: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        """The whole of a stream."""
        lines = (await self.text(operation, params)).splitlines()
        data = [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]
        return [event["result"] for event in data] if self.binding == "JSONRPC" else data

    async def send(self, text: str, **fields: Any) -> dict[str, Any]:
        return (await self.result("SendMessage", user_message(text, **fields)))["task"]

    async def begin(self, text: str) -> dict[str, Any]:
        params = user_message(text) | {"configuration": {"returnImmediately": True}}
        return (await self.result("SendMessage", params))["task"]


def reason(error: dict[str, Any]) -> str:
    """The reason of an error of A2A; all its details say what they are."""
    details = error["data"] if "data" in error else error["details"]
    assert all(detail["@type"].startswith("type.googleapis.com/google.rpc.") for detail in details)
    (info,) = [d for d in details if d["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"]
    assert info["domain"] == "a2a-protocol.org"
    return info["reason"]


def without_metadata(value: Any) -> Iterator[tuple[str, Any]]:
    """All names and values at every depth, except in what belongs to somebody else."""
    if isinstance(value, list):
        for item in value:
            yield from without_metadata(item)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            if name not in ("metadata", "data", "params"):
                yield from without_metadata(inner)


def missing(message: Message, where: str) -> Iterator[str]:
    """The fields that `a2a.proto` marks as required and that are not set, at every depth."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        required = FieldBehavior.Value("REQUIRED") in field.GetOptions().Extensions[field_behavior]
        # A number that is zero is set all the same.
        number = field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_BOOL)
        if required and not number and not value:
            yield f"{where}.{field.name}"
        if field.message_type is None or not field.message_type.full_name.startswith("lf.a2a"):
            continue
        if field.is_repeated and field.message_type.GetOptions().map_entry:
            continue
        inner = value if field.is_repeated else [value] if message.HasField(field.name) else []
        for item in inner:
            yield from missing(item, f"{where}.{field.name}")
