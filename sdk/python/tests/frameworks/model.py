"""A model endpoint whose answers a test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]
# What the model does: {"say": text} or {"calls": [(tool, arguments), …]}.
Answer = dict[str, Any]


def results(request: Request) -> list[str]:
    """The texts of the tool results in a request."""
    return [message["content"] for message in request["messages"] if message["role"] == "tool"]


def prompt(request: Request) -> str:
    """The text of the system and user messages in a request."""
    return "\n".join(m["content"] for m in request["messages"] if m["role"] in ("system", "user"))


class ScriptedModel:
    """Serves `/v1/chat/completions`, streaming. `answer` makes an answer of each request."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.requests: list[Request] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = threading.Semaphore(0)
        # A test closes the gate to keep requests waiting.
        self.gate = threading.Event()
        self.reset()
        model = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                model.requests.append(body)
                model.headers.append({k.lower(): v for k, v in self.headers.items()})
                model.arrived.release()
                model.gate.wait()
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.end_headers()
                for chunk in _chunks(answer(body)):
                    data = {"id": "r", "object": "chat.completion.chunk", "created": 1, "model": "demo"}
                    self.wfile.write(f"data: {json.dumps({**data, 'choices': [chunk]})}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reset(self) -> None:
        """Forgets what earlier tests did."""
        self.requests.clear()
        self.headers.clear()
        self.arrived = threading.Semaphore(0)
        self.gate.set()

    @property
    def config(self) -> dict[str, str]:
        """The `model` of a config message."""
        return {"base_url": f"http://127.0.0.1:{self._server.server_port}/v1", "name": "demo"}

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


def _chunks(answer: Answer) -> list[dict[str, Any]]:
    if "say" in answer:
        words = [{"content": word + " "} for word in answer["say"].split()]
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *words]
        reason = "stop"
    else:
        calls = [
            {
                "index": index,
                "id": f"call_{index}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for index, (name, arguments) in enumerate(answer["calls"])
        ]
        deltas = [{"role": "assistant", "content": None, "tool_calls": calls}]
        reason = "tool_calls"
    chunks: list[dict[str, Any]] = [{"index": 0, "delta": d, "finish_reason": None} for d in deltas]
    return [*chunks, {"index": 0, "delta": {}, "finish_reason": reason}]
