"""The official Python SDK's A2A server, by all bindings and in both versions; prints the address of its card.

A message is one word: `chunks` answers with ten chunks, `ask` asks and ends with the answer, `wait` waits to
be canceled.
JSON-RPC is at /rpc, HTTP+JSON at /rest, gRPC on another port: what is in front of it has to read its card.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import grpc
import uvicorn
from a2a.helpers import new_task_from_user_message, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part
from a2a.types.a2a_pb2_grpc import add_A2AServiceServicer_to_server
from starlette.applications import Starlette

CHUNKS = 10


class Words(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.message is not None
        task = context.current_task
        if task is None:
            task = new_task_from_user_message(context.message)
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        word = context.get_user_input()
        await updater.start_work()
        if word == "ask":
            await updater.requires_input(new_text_message("Who?"))
            return
        if word == "wait":
            await asyncio.Event().wait()
        for number in range(1, CHUNKS + 1):
            last = number == CHUNKS
            part = Part(text=f"chunk {number} of {CHUNKS}")
            await updater.add_artifact([part], artifact_id="out", append=number > 1, last_chunk=last)
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card(base: str, grpc_address: str) -> AgentCard:
    def interface(url: str, binding: str, version: str) -> AgentInterface:
        return AgentInterface(url=url, protocol_binding=binding, protocol_version=version)

    return AgentCard(
        name="words",
        description="Does what a word says",
        version="1.0.0",
        supported_interfaces=[
            interface(f"{base}/rpc", "JSONRPC", "1.0"),
            interface(f"{base}/rest", "HTTP+JSON", "1.0"),
            interface(grpc_address, "GRPC", "1.0"),
            interface(f"{base}/rpc", "JSONRPC", "0.3"),
            interface(f"{base}/rest", "HTTP+JSON", "0.3"),
        ],
        capabilities=AgentCapabilities(streaming=True, extended_agent_card=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="words", name="words", description="words", tags=["words"])],
    )


async def main() -> None:
    # Named TCP, or asyncio would not switch Nagle's delay off on what it accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    grpc_server = grpc.aio.server()
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    agent_card = card(base, f"127.0.0.1:{port}")
    handler = DefaultRequestHandler(Words(), InMemoryTaskStore(), agent_card, extended_agent_card=agent_card)
    add_A2AServiceServicer_to_server(GrpcHandler(handler), grpc_server)
    await grpc_server.start()
    routes = [
        *create_agent_card_routes(agent_card, card_url="/cards/words.json"),
        *create_jsonrpc_routes(handler, "/rpc", enable_v0_3_compat=True),
        *create_rest_routes(handler, path_prefix="/rest", enable_v0_3_compat=True),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
    sys.stdout.write(base + "\n")
    sys.stdout.flush()
    await server.serve([listener])
    await grpc_server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
