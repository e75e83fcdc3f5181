"""Mesh tools and agents as LangChain tools."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from agentmesh.errors import CallError
from agentmesh.toolbox import Function, functions


def langchain_tools(*names: str) -> list[BaseTool]:
    """LangChain tools for these tools and agents, or for all that the agent may use."""
    return [_tool(function) for function in functions(*names)]


def _tool(function: Function) -> BaseTool:
    # A failed call becomes a message to the model, which may try something else.
    def call_blocking(**arguments: Any) -> str:
        try:
            return function.call_blocking(arguments)
        except CallError as error:
            raise ToolException(str(error)) from error

    async def call(**arguments: Any) -> str:
        try:
            return await function.call(arguments)
        except CallError as error:
            raise ToolException(str(error)) from error

    return StructuredTool(
        name=function.name,
        description=function.description,
        args_schema={"properties": {}, **function.schema},
        func=call_blocking,
        coroutine=call,
        handle_tool_error=True,
    )
