"""The model of the mesh as a LangChain chat model."""

from __future__ import annotations

from typing import Any

import httpx
from langchain_openai import ChatOpenAI

from agentmesh.binding import model
from agentmesh.tracing import trace_headers


def _add_trace(request: httpx.Request) -> None:
    request.headers.update(trace_headers())


async def _add_trace_async(request: httpx.Request) -> None:
    _add_trace(request)


def langchain_model(**options: Any) -> ChatOpenAI:
    """A streaming `ChatOpenAI` for the model of the mesh."""
    endpoint = model()
    settings: dict[str, Any] = {
        "model": endpoint.name,
        "base_url": endpoint.base_url,
        "api_key": endpoint.api_key,
        "streaming": True,
        # Models may think for minutes; the deadline of the task is the host's.
        "http_client": httpx.Client(event_hooks={"request": [_add_trace]}, timeout=None),
        "http_async_client": httpx.AsyncClient(event_hooks={"request": [_add_trace_async]}, timeout=None),
    }
    return ChatOpenAI(**{**settings, **options})
