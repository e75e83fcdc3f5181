"""The official Python SDK as a client that follows a plan; see `real_peers.py` for its form."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import Client, MCPError


def content(parts: Any) -> list[str]:
    return [getattr(part, "text", part.type) for part in parts]


async def step(client: Client, wanted: dict[str, Any]) -> Any:
    match wanted["do"]:
        case "tools":
            return sorted(tool.name for tool in (await client.list_tools()).tools)
        case "prompts":
            return sorted(prompt.name for prompt in (await client.list_prompts()).prompts)
        case "resources":
            return sorted(str(resource.uri) for resource in (await client.list_resources()).resources)
        case "prompt":
            got = await client.get_prompt(wanted["name"], wanted.get("arguments"))
            return [message.content.text for message in got.messages]
        case "read":
            return [part.text for part in (await client.read_resource(wanted["uri"])).contents]
    seen: list[float] = []

    async def progress(done: float, _total: float | None, _message: str | None) -> None:
        seen.append(done)

    called = await client.call_tool(wanted["name"], wanted["arguments"], progress_callback=progress)
    result = {"text": content(called.content), "error": bool(called.is_error)}
    result["structured"] = called.structured_content
    return result | ({"progress": seen} if wanted.get("progress") else {})


async def main() -> None:
    plan = json.load(sys.stdin)
    observed = []
    async with Client(plan["url"], mode=plan["mode"], read_timeout_seconds=30) as client:
        for wanted in plan["steps"]:
            try:
                observed.append(await step(client, wanted))
            except MCPError as error:
                observed.append({"code": error.error.code})
    json.dump(observed, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
