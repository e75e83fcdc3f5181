"""Clients and servers that others wrote: what each client does with each, and has to see.

A client is a program that reads a plan (`url`, `mode`, `steps`) as JSON and prints what it saw at each step.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from conformance import NODE, PACKAGES
from mcp_servers import stdio_upstream
from mesh import ROOT

MCP = ROOT / "tests" / "interop" / "mcp"
PYTHON = ROOT / ".envs" / "tools" / "bin" / "python"
FASTMCP = ROOT / ".envs" / "fastmcp" / "bin" / "python"
TYPESCRIPT = MCP / "node" / "client.mjs"
PATIENCE = 120

Steps = list[tuple[dict[str, Any], Any]]

# By name: the command, and how it negotiates.
CLIENTS: dict[str, tuple[list[str], str]] = {
    "python, 2026-07-28": ([str(PYTHON), str(MCP / "clients" / "python_sdk.py")], "2026-07-28"),
    "python, handshake": ([str(PYTHON), str(MCP / "clients" / "python_sdk.py")], "legacy"),
    "fastmcp": ([str(FASTMCP), str(MCP / "clients" / "fastmcp_client.py")], "auto"),
    "typescript 1": ([str(NODE), str(TYPESCRIPT), "sdk"], "auto"),
    "typescript 2": ([str(NODE), str(TYPESCRIPT), "client"], "auto"),
}


def official(name: str, *arguments: str) -> dict[str, Any]:
    program = PACKAGES / "@modelcontextprotocol" / f"server-{name}" / "dist" / "index.js"
    return {"command": [str(NODE), str(program), *arguments]}


def upstreams(directory: Path) -> dict[str, dict[str, Any]]:
    """The mesh file's upstreams; `directory` is what the filesystem server may see, with one file in it."""
    (directory / "seen.txt").write_text("seen\n")
    return {
        "everything": official("everything", "stdio"),
        "filesystem": official("filesystem", str(directory)),
        "memory": official("memory") | {"env": {"MEMORY_FILE_PATH": str(directory / "memory.jsonl")}},
        "fast": {"command": [str(FASTMCP), str(MCP / "servers" / "fastmcp_server.py")]},
        "sdk": stdio_upstream(),
    }


def call(name: str, arguments: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"do": "call", "name": name, "arguments": arguments or {}} | more


def text(*parts: str, structured: Any = None, error: bool = False, **more: Any) -> dict[str, Any]:
    return {"text": list(parts), "structured": structured, "error": error} | more


def tool_steps(directory: Path) -> dict[str, Steps]:
    """What is called, and what has to be seen, under the upstream's own names."""
    weather = {"temperature": 33, "conditions": "Cloudy", "humidity": 82}
    written = json.dumps(weather, separators=(",", ":"))
    outside = f"Access denied - path outside allowed directories: /nothing not in {directory}"
    return {
        "everything": [
            (call("echo", {"message": "hi"}), text("Echo: hi")),
            (call("get-sum", {"a": 1, "b": 2}), text("The sum of 1 and 2 is 3.")),
            (
                call("get-structured-content", {"location": "New York"}),
                text(written, structured=weather),
            ),
            (
                call("trigger-long-running-operation", {"duration": 0.2, "steps": 2}, progress=True),
                text("Long running operation completed. Duration: 0.2 seconds, Steps: 2.", progress=[1, 2]),
            ),
        ],
        "filesystem": [
            (
                call("read_text_file", {"path": str(directory / "seen.txt")}),
                text("seen\n", structured={"content": "seen\n"}),
            ),
            (call("read_text_file", {"path": "/nothing"}), text(outside, error=True)),
        ],
        "memory": [
            (
                call("read_graph"),
                text(
                    '{\n  "entities": [],\n  "relations": []\n}',
                    structured={"entities": [], "relations": []},
                ),
            )
        ],
        "fast": [
            (call("add", {"a": 1, "b": 2}), text("3", structured={"result": 3})),
            (call("fail"), text("it did not work", error=True)),
            (call("count", progress=True), text("done", structured={"result": "done"}, progress=[1, 2, 3])),
        ],
        "sdk": [
            (call("add", {"a": 1, "b": 2}), text("3", structured={"sum": 3})),
            (call("refuse"), {"code": -31234}),
        ],
    }


# Through /mcp/{upstream}: what the gateway passes on beside tools.
MORE_STEPS: dict[str, Steps] = {
    "everything": [
        (
            {"do": "prompts"},
            ["args-prompt", "completable-prompt", "resource-prompt", "simple-prompt"],
        ),
        ({"do": "prompt", "name": "simple-prompt"}, ["This is a simple prompt without arguments."]),
    ],
    "fast": [
        ({"do": "prompts"}, ["greet"]),
        ({"do": "prompt", "name": "greet", "arguments": {"name": "Ann"}}, ["Greet Ann."]),
        ({"do": "resources"}, ["text://hello"]),
        ({"do": "read", "uri": "text://hello"}, ["hello"]),
    ],
}


def follow(client: str, url: str, steps: list[dict[str, Any]]) -> list[Any]:
    """What a client observed."""
    command, mode = CLIENTS[client]
    plan = json.dumps({"url": url, "mode": mode, "steps": steps})
    done = subprocess.run(command, input=plan, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
