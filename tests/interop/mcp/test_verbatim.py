"""What the gateway forwards, it forwards unchanged, byte for byte; and it passes on nobody's credentials."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_wire import LEGACY, MODERN, Exchange, call_tool
from mesh import Mesh, eventually

SERVERS = Path(__file__).parent / "servers"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def plain() -> Iterator[str]:
    """The address of a server that answers with exact bytes."""
    command = [sys.executable, str(SERVERS / "plain.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture(scope="module")
def mesh(plain: str, start_shared_mesh: Callable[..., Mesh]) -> Mesh:
    stdio = {"command": [sys.executable, str(SERVERS / "server.py"), "stdio"]}
    return start_shared_mesh({"tools": {"plain": {"url": plain}, "stdio": stdio}})


@pytest.fixture(params=["/mcp", "/mcp/plain"])
def door(mesh: Mesh, request: pytest.FixtureRequest) -> tuple[str, str]:
    """The address of all tools, or of one upstream, and what names begin with there."""
    return mesh.gateway + request.param, "plain_" if request.param == "/mcp" else ""


def raw(text: str, member: str) -> str:
    """The text of a member of an object, exactly as it is written."""
    decoder = json.JSONDecoder()
    position = text.index("{") + 1
    while True:
        while text[position] in " ,":
            position += 1
        name, position = decoder.raw_decode(text, position)
        position = text.index(":", position) + 1
        while text[position] == " ":
            position += 1
        _, end = decoder.raw_decode(text, position)
        if name == member:
            return text[position:end]
        position = end


def seen(url: str, name: str, **more: Any) -> dict[str, Any]:
    """What the upstream was sent."""
    return call_tool(url, name, **more)["result"]["structuredContent"]


@pytest.mark.parametrize("revision", [LEGACY, MODERN])
def test_a_result_keeps_its_numbers_and_members(door: tuple[str, str], plain: str, revision: str) -> None:
    url, prefix = door
    _, direct = Exchange(plain, "tools/call", {"name": "odd"}, MODERN).answer()
    status, through = Exchange(url, "tools/call", {"name": f"{prefix}odd"}, revision).answer()
    assert status == 200
    expected, got = raw(direct, "result"), raw(through, "result")
    if revision == MODERN:
        assert got == expected
    else:
        # The one member that a legacy client must not find.
        assert "resultType" not in json.loads(got)
        for member in ("content", "structuredContent", "x-result", "_meta"):
            assert raw(got, member) == raw(expected, member)


@pytest.mark.parametrize("revision", [LEGACY, MODERN])
def test_a_definition_keeps_everything_but_its_name(door: tuple[str, str], plain: str, revision: str) -> None:
    url, prefix = door
    _, direct = Exchange(plain, "tools/list", {}, MODERN).answer()
    _, through = Exchange(url, "tools/list", {}, revision).answer()
    members = ("x-vendor", "description", "inputSchema", "execution")
    direct = direct[direct.index('{"x-vendor"') :]
    through = through[through.index('{"x-vendor"') :]
    assert [raw(through, member) for member in members] == [raw(direct, member) for member in members]
    assert json.loads(raw(through, "name")) == f"{prefix}odd"


def test_arguments_arrive_byte_for_byte(door: tuple[str, str]) -> None:
    url, prefix = door
    arguments = (
        r'{ "big":123456789012345678901234567890,"one":1.0, "e":1E400,"\u0061":"\/\ud83c\udf0d" ,"b":[ ]}'
    )
    placeholder = {"name": f"{prefix}seen", "arguments": "HERE", "x-unknown": 7}
    exchange = Exchange(
        url, "tools/call", placeholder, change=lambda body: body.replace(b'"HERE"', arguments.encode())
    )
    answer = json.loads(exchange.answer()[1])
    params = raw(answer["result"]["structuredContent"]["body"], "params")
    assert raw(params, "arguments") == arguments
    assert raw(params, "x-unknown") == "7"
    assert json.loads(raw(params, "name")) == "seen"


@pytest.mark.parametrize("revision", [LEGACY, MODERN])
def test_unknown_meta_is_passed_on(door: tuple[str, str], revision: str) -> None:
    url, prefix = door
    meta = {"example.org/key": {"a": [1, 2.50]}}
    sent = seen(url, f"{prefix}seen", revision=revision, _meta=meta)
    assert json.loads(sent["body"])["params"]["_meta"]["example.org/key"] == {"a": [1, 2.50]}


def test_credentials_and_cookies_of_the_client_stay_with_the_gateway(door: tuple[str, str]) -> None:
    url, prefix = door
    headers = {
        "Authorization": "Bearer secret-of-the-client",
        "Cookie": "session=secret-of-the-client",
        "X-Api-Key": "secret-of-the-client",
        "Proxy-Authorization": "Basic secret-of-the-client",
    }
    sent = seen(url, f"{prefix}seen", headers=headers)
    assert "secret-of-the-client" not in json.dumps(sent)
    assert not [name for name in sent["headers"] if name.startswith("agentmesh-")]


def test_the_headers_say_what_the_body_says_under_the_upstreams_own_name(door: tuple[str, str]) -> None:
    url, prefix = door
    headers = seen(url, f"{prefix}seen", revision=MODERN)["headers"]
    assert headers["mcp-protocol-version"] == MODERN
    assert headers["mcp-method"] == "tools/call"
    assert headers["mcp-name"] == "seen"


def expect_audited(mesh: Mesh, trace: str) -> None:
    eventually(lambda: [r for r in mesh.audit() if r["traceId"] == trace], what="a record of the trace")


@pytest.mark.parametrize("place", ["header", "_meta"])
@pytest.mark.parametrize("name", ["plain_seen", "stdio_meta"])
def test_the_trace_goes_on_through_the_gateway(mesh: Mesh, place: str, name: str) -> None:
    given: dict[str, Any] = (
        {"headers": {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}}
        if place == "header"
        else {"_meta": {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}}
    )
    result = seen(f"{mesh.gateway}/mcp", name, **given)
    meta = result["meta"] if name == "stdio_meta" else json.loads(result["body"])["params"]["_meta"]
    version, trace, span, flags = meta["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE_ID, "01")
    # A span of the gateway's own.
    assert span != TRACEPARENT.split("-")[2]
    assert meta["tracestate"] == "vendor=1"
    if name == "plain_seen":
        assert result["headers"]["traceparent"] == meta["traceparent"]
    expect_audited(mesh, TRACE_ID)


def test_without_a_trace_the_gateway_begins_one(mesh: Mesh) -> None:
    sent = seen(f"{mesh.gateway}/mcp", "plain_seen")
    trace = sent["headers"]["traceparent"].split("-")[1]
    expect_audited(mesh, trace)
