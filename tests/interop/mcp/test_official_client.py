"""The official Python client (mcp, unmodified) against our gateway, with real servers of every kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from mcp import Client, MCPError

Connect = Callable[..., Client]
BIG = 10**30
NAMES = ["add", "echo", "fail", "meta", "process", "progress", "refuse", "wait"]


async def test_it_agrees_on_the_revision_that_it_wants(connect: Connect, mode: str) -> None:
    async with connect() as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
        assert client.server_capabilities is not None


async def test_the_gateway_lists_the_tools_of_all_upstreams_under_their_names(connect: Connect) -> None:
    async with connect() as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
    expected = [f"{upstream}_{name}" for upstream in ("legacy", "modern", "stdio") for name in NAMES]
    assert names == expected


async def test_one_upstream_lists_its_tools_under_their_own_names(connect: Connect, upstream: str) -> None:
    async with connect(upstream) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == NAMES
    assert tools[0].description == "The tool add"
    assert tools[0].input_schema["required"] == ["a", "b"]
    assert tools[0].output_schema is not None


async def test_a_call_has_its_structured_content(connect: Connect, upstream: str) -> None:
    async with connect() as client:
        result = await client.call_tool(f"{upstream}_add", {"a": 1, "b": BIG})
    assert not result.is_error
    assert result.structured_content == {"sum": BIG + 1}
    assert result.content[0].text == str(BIG + 1)


async def test_a_call_of_one_upstream_uses_its_own_names(connect: Connect, upstream: str) -> None:
    async with connect(upstream) as client:
        result = await client.call_tool("add", {"a": 2, "b": 3})
    assert result.structured_content == {"sum": 5}


async def test_arguments_arrive_as_they_were_sent(connect: Connect, upstream: str) -> None:
    arguments = {
        "text": "Grüße 🌍\u2028\u0000",
        "big": BIG,
        "precise": 0.1000000000000000055,
        "one": 1.0,
        "nested": [{"": None}, [], {}, [[False]]],
        "long": "x" * 300_000,
    }
    async with connect() as client:
        result = await client.call_tool(f"{upstream}_echo", arguments)
    assert result.structured_content == {"arguments": arguments}
    # The text shows what a comparison of numbers hides: 1.0 is not 1.
    assert result.content[0].text == json.dumps(arguments)


async def test_a_tool_that_fails_is_a_result_that_says_so(connect: Connect, upstream: str) -> None:
    async with connect() as client:
        result = await client.call_tool(f"{upstream}_fail", {})
    assert result.is_error
    assert result.content[0].text == "it did not work"


async def test_an_error_of_an_upstream_arrives_as_it_was(connect: Connect, upstream: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool(f"{upstream}_refuse", {})
    error = caught.value.error
    assert (error.code, error.message) == (-31234, "not today")
    assert error.data == {"until": "tomorrow", "big": BIG}


@pytest.mark.parametrize("name", ["stdio_nothing", "nobody_add", "add", "stdio_", "_", "absent"])
async def test_an_unknown_tool_is_an_error(connect: Connect, name: str) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool(name, {})
    assert caught.value.error.code == -32602
    assert name in caught.value.error.message


async def test_an_unknown_tool_of_one_upstream_is_its_own_error(connect: Connect, upstream: str) -> None:
    async with connect(upstream) as client:
        with pytest.raises(MCPError, match="unknown tool: nothing") as caught:
            await client.call_tool("nothing", {})
    assert caught.value.error.code == -32602


async def test_progress_reaches_the_client_before_the_result(connect: Connect, upstream: str) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async with connect() as client:
        result = await client.call_tool(f"{upstream}_progress", {}, progress_callback=on_progress)
    assert result.content[0].text == "done"
    assert seen == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


async def test_calls_at_once_get_each_their_own_answer(connect: Connect) -> None:
    async with connect() as client:
        names = [f"{upstream}_add" for upstream in ("stdio", "legacy", "modern")]
        calls = [client.call_tool(names[n % 3], {"a": n, "b": 1000}) for n in range(60)]
        results = await asyncio.gather(*calls)
    assert [result.structured_content for result in results] == [{"sum": n + 1000} for n in range(60)]


async def test_many_clients_at_once_get_each_their_own_answer(connect: Connect, upstream: str) -> None:
    async def one(number: int) -> None:
        async with connect(upstream) as client:
            result = await client.call_tool("add", {"a": number, "b": number})
            assert result.structured_content == {"sum": 2 * number}

    await asyncio.gather(*(one(number) for number in range(10)))
