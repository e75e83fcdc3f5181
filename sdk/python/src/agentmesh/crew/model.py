"""The model of the mesh as a CrewAI `LLM`."""

from __future__ import annotations

import importlib
import logging
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


def _worth_logging(record: logging.LogRecord) -> bool:
    # Said at every request for every model that CrewAI does not know by name.
    return "approximate input token count" not in str(record.msg)


def crewai_llm(**options: Any) -> LLM:
    """A streaming `LLM` for the model of the mesh."""
    endpoint = model()
    logging.getLogger("crewai.llms.base_llm").addFilter(_worth_logging)
    # The client loads this at its first request, for the better part of a second: rather now than in a task.
    importlib.import_module("openai.resources.chat")
    settings: dict[str, Any] = {
        # With a base URL, CrewAI takes `openai/` for any model behind an OpenAI-compatible endpoint.
        "model": f"openai/{endpoint.name}",
        "base_url": endpoint.base_url,
        "api_key": endpoint.api_key,
        "stream": True,
        "interceptor": _TraceHeaders(),
    }
    return LLM(**{**settings, **options})
