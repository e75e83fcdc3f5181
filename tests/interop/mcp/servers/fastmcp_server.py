"""A FastMCP server over standard input and output: tools, a prompt, a resource."""

from __future__ import annotations

from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError

server: FastMCP[Any] = FastMCP("fast")


@server.tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool
def fail() -> str:
    """Fails."""
    raise ToolError("it did not work")


@server.tool
async def count(ctx: Context) -> str:
    """Reports progress three times."""
    for step in range(1, 4):
        await ctx.report_progress(step, 3)
    return "done"


@server.prompt
def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}."


@server.resource("text://hello", mime_type="text/plain")
def hello() -> str:
    """A text."""
    return "hello"


if __name__ == "__main__":
    server.run(transport="stdio", show_banner=False)
