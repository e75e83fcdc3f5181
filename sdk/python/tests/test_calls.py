"""Calls to tools and to other agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host import Host, text_of

Start = Callable[..., Host]

TOOLS = [{"name": "math/add"}, {"name": "math/echo"}, {"name": "other/add"}]


def ask_tool(host: Host, **answer: Any) -> str:
    """What the agent that calls the tool makes of this reply."""
    host.start(tools=TOOLS)
    host.task("echo")
    call = host.call()
    assert call["tool"] == "math/echo"
    host.reply(call, **answer)
    artifact = host.event("artifact")["artifact"]
    part = artifact["parts"][0]
    return str(part.get("text", part.get("data")))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"result": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}}, "a\nb"),
        ({"result": {"content": [{"type": "text", "text": "a"}], "structuredContent": {"x": 1}}}, "{'x': 1}"),
        ({"result": {"content": [{"type": "image", "data": "AAAA"}]}}, ""),
        ({"result": {"content": [{"type": "resource", "resource": {"text": "from a file"}}]}}, "from a file"),
        ({"result": {"content": [{"type": "text", "text": "no"}], "isError": True}}, "math/echo: failed: no"),
        ({"result": {"content": [], "isError": True}}, "math/echo: failed: tool math/echo reported an error"),
        ({"error": {"code": "not_allowed", "message": "you may not"}}, "math/echo: not_allowed: you may not"),
        ({}, "math/echo: invalid: the answer of math/echo holds neither"),
    ],
)
def test_a_tool_call_gives_structured_content_or_text_or_an_error(
    start_worker: Start, answer: Any, expected: str
) -> None:
    assert ask_tool(start_worker("plain:caller"), **answer).startswith(expected)


def test_a_short_tool_name_that_two_tools_have_is_refused_with_the_choices(start_worker: Start) -> None:
    host = start_worker("plain:caller")
    host.start(tools=TOOLS)
    host.task("add")
    end, _ = host.end()
    assert end["state"] == "failed"
    assert "tool 'add' is ambiguous: write one of math/add, other/add" in end["detail"]


def test_an_unknown_tool_name_is_refused_with_the_list_of_tools(start_worker: Start) -> None:
    host = start_worker("plain:caller")
    host.start(tools=TOOLS)
    host.task("divide")
    assert "available are math/add, math/echo, other/add" in host.end()[0]["detail"]


def test_a_full_tool_name_is_left_to_the_host_to_decide(start_worker: Start) -> None:
    host = start_worker("plain:caller")
    host.start(tools=TOOLS)
    host.task("new/tool")
    assert host.call()["tool"] == "new/tool"


def test_fifty_calls_at_once_are_answered_in_reverse(start_worker: Start) -> None:
    host = start_worker("plain:many_calls")
    host.start(tools=TOOLS)
    host.task()
    calls = [host.call() for _ in range(50)]
    assert len({call["id"] for call in calls}) == 50
    for call in reversed(calls):
        host.reply(call, result={"content": [], "structuredContent": call["arguments"]})
    assert text_of(host.event("artifact")) == " ".join(str(n) for n in range(50))


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"message": {"role": "ROLE_AGENT", "parts": [{"text": "hi"}]}}, "hi"),
        (
            {
                "task": {
                    "status": {"state": "TASK_STATE_COMPLETED"},
                    "artifacts": [{"parts": [{"text": "a"}]}, {"parts": [{"data": {"b": 1}}]}],
                }
            },
            'a\n\n{"b": 1}',
        ),
        (
            {
                "task": {
                    "status": {
                        "state": "TASK_STATE_INPUT_REQUIRED",
                        "message": {"parts": [{"text": "which?"}]},
                    }
                }
            },
            "which?",
        ),
    ],
)
def test_the_answer_of_an_agent_is_the_text_of_its_artifacts_or_of_its_message(
    start_worker: Start, result: Any, text: str
) -> None:
    host = start_worker("plain:delegator")
    host.start(agents=[{"name": "marketing"}])
    host.task("numbers, please")
    call = host.call()
    assert (call["agent"], call["parts"]) == ("marketing", [{"text": "numbers, please"}])
    host.reply(call, result=result)
    assert text_of(host.event("artifact")) == text


def test_a_failed_task_of_another_agent_fails_the_call(start_worker: Start) -> None:
    host = start_worker("plain:delegator")
    host.start(agents=[{"name": "marketing"}])
    host.task()
    status = {"state": "TASK_STATE_FAILED", "message": {"parts": [{"text": "out of figures"}]}}
    host.reply(host.call(), result={"task": {"status": status}})
    end, _ = host.end()
    assert end["text"] == "agent marketing failed (failed)"
    assert "out of figures" in end["detail"]


def test_tools_are_found_and_called_as_in_the_founding_document(start_worker: Start) -> None:
    host = start_worker("plain:discoverer")
    host.start(tools=TOOLS)
    host.task()
    asked = host.call()
    assert asked["discover"] == {"category": "crm", "query": "a customer"}
    host.reply(asked, result={"tools": [{"name": "crm/get_customer", "category": "crm"}]})
    call = host.call()
    assert (call["tool"], call["arguments"]) == ("crm/get_customer", {"customer_id": "C-1"})
    host.reply(call, result={"content": [{"type": "text", "text": "Ada"}]})
    asked = host.call()
    assert asked["discover"] == {}
    host.reply(asked, result={"tools": []})
    assert text_of(host.event("artifact")) == "Ada 0"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"error": {"code": "not_found", "message": "no list"}}, "tool tools failed (not_found)"),
        ({"result": {}}, "tool tools failed (invalid)"),
    ],
)
def test_a_search_that_fails_ends_the_task_with_its_code(
    start_worker: Start, answer: Any, expected: str
) -> None:
    host = start_worker("plain:discoverer")
    host.start(tools=TOOLS)
    host.task()
    host.reply(host.call(), **answer)
    end, _ = host.end()
    assert (end["state"], end["text"]) == ("failed", expected)


def test_a_call_without_a_tools_name_says_how_it_is_written(start_worker: Start) -> None:
    host = start_worker("plain:mistaken")
    host.start(tools=TOOLS)
    host.task()
    assert "with tool_name and parameters" in text_of(host.event("artifact"))
