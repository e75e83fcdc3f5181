"""The model of the mesh as a CrewAI `LLM`."""

from __future__ import annotations

from typing import Any

import httpx
from crewai import LLM
from crewai.llms.hooks.base import BaseInterceptor

from agentmesh.binding import model
from agentmesh.tracing import trace_headers


class _TraceHeaders(BaseInterceptor[httpx.Request, httpx.Response]):
    """Puts the task's trace on each request, so that a slow model shows up in the trace."""

    def on_outbound(self, message: httpx.Request) -> httpx.Request:
        message.headers.update(trace_headers())
        return message

    def on_inbound(self, message: httpx.Response) -> httpx.Response:
        return message

    async def aon_outbound(self, message: httpx.Request) -> httpx.Request:
        return self.on_outbound(message)

    async def aon_inbound(self, message: httpx.Response) -> httpx.Response:
        return message


def crewai_llm(**options: Any) -> LLM:
    """A streaming `LLM` for the model of the mesh."""
    endpoint = model()
    settings: dict[str, Any] = {
        # The provider is named apart: `openai/NAME` is taken only for names that CrewAI knows.
        "model": endpoint.name,
        "provider": "openai",
        "base_url": endpoint.base_url,
        "api_key": endpoint.api_key,
        "stream": True,
        "interceptor": _TraceHeaders(),
    }
    return LLM(**{**settings, **options})
