"""The official Python SDK's A2A server with its in-memory store; it does what `scripted-worker` does.

Prints its address. One status `working`, ten chunks of one artifact, `completed`.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from a2a.helpers import new_task_from_user_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part
from starlette.applications import Starlette

CHUNKS = 10
CHUNK_BYTES = 24


class Bench(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message is not None
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        for number in range(1, CHUNKS + 1):
            text = f"chunk {number} of {CHUNKS} ".ljust(CHUNK_BYTES, ".")
            await updater.add_artifact(
                [Part(text=text)], artifact_id="out", append=number > 1, last_chunk=number == CHUNKS
            )
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def card(url: str) -> AgentCard:
    return AgentCard(
        name="bench",
        description="Does what the benchmark asks for",
        version="1.0.0",
        supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="bench", name="bench", description="bench", tags=["bench"])],
    )


async def main() -> None:
    # Named TCP, or asyncio would not switch Nagle's delay off on what it accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    agent_card = card(url)
    handler = DefaultRequestHandler(Bench(), InMemoryTaskStore(), agent_card)
    routes = [*create_agent_card_routes(agent_card), *create_jsonrpc_routes(handler, "/")]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
    sys.stdout.write(url + "\n")
    sys.stdout.flush()
    await server.serve([listener])


if __name__ == "__main__":
    asyncio.run(main())
