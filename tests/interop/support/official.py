"""Short words for what the official A2A client needs in full."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
from a2a.client import Client, ClientConfig, create_client
from a2a.helpers import get_artifact_text, get_message_text
from a2a.types import AgentCard, Message, Part, Role, SendMessageRequest, StreamResponse, Task, TaskState

from wire import PATIENCE

ENDED = {
    TaskState.TASK_STATE_COMPLETED,
    TaskState.TASK_STATE_FAILED,
    TaskState.TASK_STATE_CANCELED,
    TaskState.TASK_STATE_REJECTED,
}


@asynccontextmanager
async def connect(agent: str | AgentCard, binding: str, **config: Any) -> AsyncIterator[Client]:
    """The official client of an agent, known by its URL or its card, by one of the bindings."""
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        config = ClientConfig(
            httpx_client=http,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=[binding],
            **config,
        )
        async with await create_client(agent, config) as client:
            yield client


def request(text: str, *, tenant: str = "", **fields: Any) -> SendMessageRequest:
    """A request with a user's message."""
    fields.setdefault("message_id", str(uuid.uuid4()))
    message = Message(role=Role.ROLE_USER, parts=[Part(text=text)], **fields)
    return SendMessageRequest(tenant=tenant, message=message)


async def stream(client: Client, text: str, **fields: Any) -> list[StreamResponse]:
    """Everything that is answered to a message."""
    return [event async for event in client.send_message(request(text, **fields))]


async def send(client: Client, text: str, **fields: Any) -> Task:
    """The task that a client which does not stream is answered with."""
    (response,) = await stream(client, text, **fields)
    return response.task


def parts(task: Task, artifact: str = "out") -> list[str]:
    """The texts of an artifact of a task."""
    for candidate in task.artifacts:
        if candidate.artifact_id == artifact:
            return [part.text for part in candidate.parts]
    return []


def chunk(event: StreamResponse) -> str | None:
    """The text of an artifact's chunk."""
    if not event.HasField("artifact_update"):
        return None
    return get_artifact_text(event.artifact_update.artifact, delimiter="")


def state(event: StreamResponse) -> TaskState | None:
    """The state that an event tells, if it tells one."""
    if event.HasField("task"):
        return event.task.status.state
    if event.HasField("status_update"):
        return event.status_update.status.state
    return None


def said(task: Task) -> str:
    """What the agent says with the task's state."""
    return get_message_text(task.status.message)
