"""The life of a worker: hello, config, ready, then tasks until the host goes."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from concurrent.futures import Future, ThreadPoolExecutor

from agentmesh import binding
from agentmesh.adapter import Adapter
from agentmesh.attempt import Attempt, AttemptKey
from agentmesh.calls import Calls
from agentmesh.channel import Channel, Message
from agentmesh.config import PROTOCOL_VERSION, Config
from agentmesh.errors import LoadError, MeshError, ProtocolError, TaskRejected
from agentmesh.loader import load
from agentmesh.task import enter_task
from agentmesh.version import VERSION

# For the blocking parts of frameworks: with asyncio's default of a few, tasks would wait for each other.
_FRAMEWORK_THREADS = 64
_DETAIL_CHARS = 16_000


class Worker:
    """Runs one agent for one host. The reader thread answers pings and replies whatever the tasks do."""

    def __init__(self, channel: Channel, target: str, kind: str) -> None:
        self._channel = channel
        self._target = target
        self._kind = kind
        self._calls = Calls(channel)
        self._config: Future[Config] = Future()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(_FRAMEWORK_THREADS, "agentmesh-framework"))
        self._running: dict[AttemptKey, tuple[Attempt, asyncio.Task[None]]] = {}

    def run(self) -> int:
        """Runs until the host closes standard input, which ends the process. Returns when loading fails."""
        threading.Thread(target=self._read, name="agentmesh-reader", daemon=True).start()
        self._channel.send(
            {"type": "hello", "protocol": PROTOCOL_VERSION, "sdk": f"agentmesh-python/{VERSION}"}
        )
        config = self._config.result()
        binding.bind(config)
        asyncio.set_event_loop(self._loop)
        try:
            self._adapter: Adapter = load(self._target, self._kind)
            ready = {"type": "ready", "framework": self._adapter.framework, "card": self._adapter.card()}
        except (Exception, SystemExit) as error:
            self._channel.send({"type": "fatal", "message": _load_failure(error), "detail": _detail(error)})
            return 1
        self._channel.send(ready)
        self._loop.run_forever()
        return 0

    def _read(self) -> None:
        try:
            while (message := self._channel.receive()) is not None:
                self._dispatch(message)
        except BrokenPipeError:
            os._exit(0)  # The host is gone.
        except BaseException as error:
            # What was lost is not known: the only honest thing is to end.
            sys.stderr.write(f"agentmesh: {error}\n" if isinstance(error, ProtocolError) else _detail(error))
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)

    def _dispatch(self, message: Message) -> None:
        match message["type"]:
            case "ping":
                self._channel.send({"type": "pong", "id": message.get("id")})
            case "reply":
                self._calls.reply(message)
            case "config":
                config = Config.parse(message)
                self._channel.line_bytes = config.line_bytes
                if not self._config.done():
                    self._config.set_result(config)
            case "task" | "input" | "cancel":
                if not isinstance(message.get("task"), str) or not isinstance(message.get("attempt"), int):
                    raise ProtocolError(f"the host sent a {message['type']} line without `task` or `attempt`")
                self._loop.call_soon_threadsafe(self._on_task_message, message)

    def _on_task_message(self, message: Message) -> None:
        key: AttemptKey = (message["task"], message["attempt"])
        running = self._running.get(key)
        if message["type"] == "task":
            if running is None:
                self._start(message)
        elif running is None:
            pass  # It has ended on its own meanwhile: its final state is on the way.
        elif message["type"] == "input":
            running[0].deliver_input(message.get("message") or {})
        else:
            running[0].cancel()
            running[1].cancel()

    def _start(self, request: Message) -> None:
        attempt = Attempt(request, self._channel, self._calls, self._config.result())
        work = self._loop.create_task(self._work(attempt), name=f"task {attempt.key[0]}")
        self._running[attempt.key] = (attempt, work)
        work.add_done_callback(lambda _: self._running.pop(attempt.key, None))

    async def _work(self, attempt: Attempt) -> None:
        enter_task(attempt.task)
        try:
            await self._adapter.run(attempt.task)
        except BaseException as error:
            # Also SystemExit and the like: user code ends its task, never the worker.
            if attempt.canceled:
                attempt.end("canceled")
            elif isinstance(error, TaskRejected):
                attempt.end("rejected", error.public_text)
            else:
                attempt.end("failed", _public_text(error), _detail(error))
        else:
            attempt.end("canceled" if attempt.canceled else "completed")


def _load_failure(error: BaseException) -> str:
    return str(error) if isinstance(error, LoadError) else f"{type(error).__name__}: {error}"[:_DETAIL_CHARS]


def _public_text(error: BaseException) -> str:
    if isinstance(error, MeshError):
        return error.public_text
    return f"the agent failed ({type(error).__name__})"


def _detail(error: BaseException) -> str:
    # The end of a traceback says most.
    return "".join(traceback.format_exception(error))[-_DETAIL_CHARS:]
