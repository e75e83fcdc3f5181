"""Mesh tools and agents as CrewAI tools."""

from __future__ import annotations

from typing import Any

from crewai.tools import BaseTool
from crewai.utilities.pydantic_schema_utils import create_model_from_schema
from pydantic import PrivateAttr

from agentmesh.toolbox import Function, functions


def never_cache(_arguments: Any = None, _result: Any = None) -> bool:
    """CrewAI reuses the results of earlier calls unless told otherwise: a mesh tool may have effects."""
    return False


class MeshTool(BaseTool):
    """A tool that the host calls. CrewAI shows the model the message of an error that it raises."""

    _function: Function = PrivateAttr()

    def __init__(self, function: Function) -> None:
        super().__init__(
            name=function.name,
            description=function.description,
            args_schema=create_model_from_schema(
                {"properties": {}, **function.schema}, model_name=f"{function.name}_arguments"
            ),
            cache_function=never_cache,
        )
        self._function = function

    def _run(self, **arguments: Any) -> str:
        return self._function.call_blocking(arguments)

    async def _arun(self, **arguments: Any) -> str:
        return await self._function.call(arguments)


def crewai_tools(*names: str) -> list[BaseTool]:
    """CrewAI tools for these tools and agents, or for all that the agent may use."""
    return [MeshTool(function) for function in functions(*names)]
