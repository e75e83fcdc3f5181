"""CrewAI crews as workers, against a scripted model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from environments import AGENTS, python_with
from model import Answer, Request, ScriptedModel, prompt, results

from host import TRACE, Host, text_of

PYTHON = python_with("crewai", "crewai")
TOOLS = [
    {
        "name": "crm/get_customer",
        "description": "One customer",
        "inputSchema": {
            "type": "object",
            "properties": {"customer_id": {"type": "string"}, "detail": {"type": "string"}},
            "required": ["customer_id"],
        },
    }
]
CONFIG: dict[str, Any] = {"tools": TOOLS, "agents": [{"name": "marketing", "description": "Knows figures"}]}


def sell(request: Request) -> Answer:
    """Looks up the customer that the request names, asks marketing, and answers with both."""
    if "shorter" in prompt(request):
        return {"say": "short"}
    if "You are Seller" not in prompt(request):
        return {"say": f"said by {'Writer' if 'You are Writer' in prompt(request) else 'Researcher'}"}
    got = results(request)
    customer = "C-" + prompt(request).split("C-")[1].split()[0]
    steps: list[Answer] = [
        {"calls": [("get_customer", {"customer_id": customer, "detail": None})]},
        {"calls": [("ask_marketing", {"request": f"figures for {customer}"})]},
        {"say": "Proposal: " + " and ".join(got)},
    ]
    return steps[len(got)]


@pytest.fixture(scope="module")
def shared_model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel(sell)
    yield scripted
    scripted.close()


@pytest.fixture
def model(shared_model: ScriptedModel) -> ScriptedModel:
    shared_model.reset()
    return shared_model


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, Host]]:
    hosts: dict[str, Host] = {}
    yield hosts
    for host in hosts.values():
        host.close()


@pytest.fixture
def crew(workers: dict[str, Host], model: ScriptedModel) -> Callable[[str], Host]:
    """A worker for a crew. Loading takes seconds: the tests share it, each with tasks of its own."""

    def start(name: str) -> Host:
        if name not in workers:
            host = workers[name] = Host(f"crews:{name}", folder=AGENTS, python=PYTHON)
            ready = host.start(model=model.config, **CONFIG)
            assert ready["type"] == "ready", ready
            assert ready["framework"] == "crewai"
        workers[name].reset()
        return workers[name]

    return start


def answer_customer(host: Host, task: str, name: str) -> None:
    call = host.next(lambda m: m["type"] == "call" and m["task"] == task)
    assert call["tool"] == "crm/get_customer"
    host.reply(call, result={"content": [{"type": "text", "text": name}]})


def answer_marketing(host: Host, task: str, text: str) -> None:
    call = host.next(lambda m: m["type"] == "call" and m["task"] == task)
    assert call["agent"] == "marketing"
    host.reply(call, result={"message": {"parts": [{"text": text}]}})


def text_of_tokens(events: list[dict[str, Any]]) -> str:
    return "".join(e["text"] for e in events if e["kind"] == "token").strip()


def test_a_crew_uses_mesh_tools_and_agents_and_streams_its_answer(
    crew: Callable[[str], Host], model: ScriptedModel
) -> None:
    host = crew("crew")
    host.task("Prepare a proposal for C-1")
    call = host.call()
    assert call["arguments"] == {"customer_id": "C-1"}
    assert call["traceparent"] == TRACE
    host.reply(call, result={"content": [], "structuredContent": {"name": "Ada"}})
    answer_marketing(host, "t1", "9 leads")
    end, events = host.end()
    assert end["state"] == "completed"
    statuses = [e["text"] for e in events if e["kind"] == "status"]
    assert statuses == ["Seller: proposal", "Seller: using get_customer", "Seller: using ask_marketing"]
    tokens = [e["text"] for e in events if e["kind"] == "token"]
    assert "".join(tokens).strip() == 'Proposal: {"name": "Ada"} and 9 leads'
    assert [e for e in events if e["kind"] == "artifact"] == []
    assert [t["function"]["name"] for t in model.requests[0]["tools"]] == ["get_customer", "ask_marketing"]
    assert {headers["traceparent"] for headers in model.headers} == {TRACE}


def test_tasks_at_once_use_copies_of_the_crew_and_keep_apart(crew: Callable[[str], Host]) -> None:
    host = crew("crew")
    names = [f"t{n}" for n in range(6)]
    for name in names:
        host.task(f"Prepare a proposal for C-{name} now", task=name)
    calls = {call["task"]: call for call in (host.call() for _ in names)}
    for name in reversed(names):
        # Every task waits in its tool call here: none of them blocks the others.
        assert calls[name]["arguments"] == {"customer_id": f"C-{name}"}
        host.reply(calls[name], result={"content": [{"type": "text", "text": f"customer of {name}"}]})
    for name in names:
        answer_marketing(host, name, f"figures of {name}")
    for name in names:
        end, events = host.end(name)
        assert end["state"] == "completed", end
        said = "".join(e["text"] for e in events if e["kind"] == "token")
        assert said.strip() == f"Proposal: customer of {name} and figures of {name}"


def test_a_failed_tool_call_is_shown_to_the_model(crew: Callable[[str], Host]) -> None:
    host = crew("crew")
    host.task("Prepare a proposal for C-1 now")
    host.reply(host.call(), error={"code": "not_allowed", "message": "sales may not see C-1"})
    answer_marketing(host, "t1", "9 leads")
    _, events = host.end()
    said = "".join(e["text"] for e in events if e["kind"] == "token")
    assert "sales may not see C-1" in said


def test_only_the_last_task_of_a_crew_streams_into_the_response(crew: Callable[[str], Host]) -> None:
    host = crew("pair")
    host.task("horses")
    end, events = host.end()
    assert end["state"] == "completed", end
    assert [e["text"] for e in events if e["kind"] == "token"] == ["said ", "by ", "Writer "]
    statuses = [e["text"] for e in events if e["kind"] == "status"]
    assert statuses == ["Researcher: research", "Writer: Write about horses"]


def test_cancelling_in_a_model_call_stops_the_crew_for_good(
    crew: Callable[[str], Host], model: ScriptedModel
) -> None:
    host = crew("pair")
    model.gate.clear()
    host.task("horses")
    model.arrived.acquire()
    host.send(type="cancel", task="t1", attempt=1)
    assert host.end()[0]["state"] == "canceled"
    model.gate.set()
    # A second task runs to its end; the cancelled one has made no request of its own meanwhile.
    host.task("ships", task="t2")
    assert host.end("t2")[0]["state"] == "completed"
    assert len([r for r in model.requests if "horses" in prompt(r)]) == 1


def test_cancelling_in_a_tool_call_stops_the_crew_for_good(
    crew: Callable[[str], Host], model: ScriptedModel
) -> None:
    host = crew("crew")
    host.task("Prepare a proposal for C-1 now")
    host.call()
    host.send(type="cancel", task="t1", attempt=1)
    assert host.end()[0]["state"] == "canceled"
    host.task("Prepare a proposal for C-2 now", task="t2")
    answer_customer(host, "t2", "Ada")
    answer_marketing(host, "t2", "9 leads")
    assert host.end("t2")[0]["state"] == "completed"
    assert len([r for r in model.requests if "C-1" in prompt(r)]) == 1


def test_a_model_that_is_down_fails_the_task_without_telling_where_it_is(
    start_worker: Callable[..., Host], model: ScriptedModel
) -> None:
    host = start_worker("crews:pair", folder=AGENTS, python=PYTHON)
    host.start(model={"base_url": "http://127.0.0.1:1/v1", "name": "demo"}, **CONFIG)
    host.task("horses")
    end, _ = host.end()
    assert end["state"] == "failed"
    assert "127.0.0.1" not in end["text"]
    assert "Traceback" in end["detail"]


def test_a_function_that_makes_crews_is_called_for_every_task(
    start_worker: Callable[..., Host], model: ScriptedModel
) -> None:
    host = start_worker("crews:factory", "--kind", "crewai", folder=AGENTS, python=PYTHON)
    ready = host.start(model=model.config, **CONFIG)
    assert ready["card"]["skills"][0]["name"] == "Seller"
    host.task("Prepare a proposal for C-1 now")
    answer_customer(host, "t1", "Ada")
    answer_marketing(host, "t1", "9 leads")
    assert text_of_tokens(host.end()[1]) == "Proposal: Ada and 9 leads"


def test_a_tool_that_the_agent_may_not_use_is_fatal_and_lists_those_it_may(
    start_worker: Callable[..., Host],
) -> None:
    host = start_worker("crew_with_unknown_tool:crew", folder=AGENTS, python=PYTHON)
    fatal = host.start(**CONFIG)
    assert fatal["type"] == "fatal"
    assert "no tool 'delete_customer': available are crm/get_customer" in fatal["message"]


def test_a_crew_task_with_human_input_is_reviewed_over_the_mesh(crew: Callable[[str], Host]) -> None:
    host = crew("reviewed")
    host.task("a poem")
    question = host.event("state")
    assert question["state"] == "input-required"
    assert question["text"].startswith("said by Writer")
    host.send(type="input", task="t1", attempt=1, message={"parts": [{"text": "shorter, please"}]})
    assert host.event("state")["text"].startswith("short\n")
    host.send(type="input", task="t1", attempt=1, message={"parts": [{"text": "OK."}]})
    end, events = host.end()
    assert end["state"] == "completed", end
    assert text_of(events[-1]).strip() == "short"
