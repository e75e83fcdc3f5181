"""LangChain agents and LangGraph graphs as workers, against a scripted model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from environments import AGENTS, python_with
from model import Answer, Request, ScriptedModel, prompt, results

from host import TRACE, Host, text_of

PYTHON = python_with("langgraph", "langgraph")
DASHBOARD: dict[str, Any] = {
    "name": "analytics/analytics_dashboard",
    "description": "Campaign figures",
    "inputSchema": {
        "type": "object",
        "properties": {"date_range": {"type": "string"}, "campaign": {"type": "string"}},
        "required": ["date_range"],
    },
}
CONFIG: dict[str, Any] = {"tools": [DASHBOARD], "agents": [{"name": "sales"}]}


def analyse(request: Request) -> Answer:
    """Calls the dashboard and the sales agent at once for the last user message, and answers with both."""
    if not request.get("tools"):
        return {"say": f"heard {len(request['messages'])} messages"}
    got = results(request)
    if got:
        return {"say": "Figures: " + " and ".join(got)}
    period = prompt(request).split()[-1]
    return {
        "calls": [
            ("analytics_dashboard", {"date_range": period, "campaign": None}),
            ("ask_sales", {"request": f"pipeline {period}"}),
        ]
    }


@pytest.fixture(scope="module")
def shared_model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel(analyse)
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
def graph(workers: dict[str, Host], model: ScriptedModel) -> Callable[[str], Host]:
    """A worker for a graph. Loading takes seconds: the tests share it, each with tasks of its own."""

    def start(target: str) -> Host:
        if target not in workers:
            host = workers[target] = Host(target, folder=AGENTS, python=PYTHON)
            ready = host.start(model=model.config, **CONFIG)
            assert ready["type"] == "ready", ready
            assert ready["framework"] == "langgraph"
        workers[target].reset()
        return workers[target]

    return start


def tokens(events: list[dict[str, Any]]) -> str:
    return "".join(e["text"] for e in events if e["kind"] == "token").strip()


def answer(host: Host, task: str, tool: str, **reply: Any) -> None:
    call = host.next(lambda m: m["type"] == "call" and m["task"] == task and tool in m.values())
    host.reply(call, **reply)


def give_input(host: Host, text: str, attempt: int = 1) -> None:
    host.send(type="input", task="t1", attempt=attempt, message={"parts": [{"text": text}]})


def test_an_agent_uses_mesh_tools_and_agents_and_streams_its_answer(
    graph: Callable[[str], Host], model: ScriptedModel
) -> None:
    host = graph("graphs:analyst")
    host.task("figures for May")
    calls = [host.call(), host.call()]
    assert {call["traceparent"] for call in calls} == {TRACE}
    for call in calls:
        if "tool" in call:
            assert call["arguments"] == {"date_range": "May"}
            host.reply(call, result={"content": [], "structuredContent": {"leads": 9}})
        else:
            assert call["parts"] == [{"text": "pipeline May"}]
            host.reply(call, result={"message": {"parts": [{"text": "3 deals"}]}})
    end, events = host.end()
    assert end["state"] == "completed", end
    assert events[0]["text"] == "using analytics_dashboard, ask_sales"
    assert tokens(events) == 'Figures: {"leads": 9} and 3 deals'
    assert [e for e in events if e["kind"] == "artifact"] == []
    assert {headers["traceparent"] for headers in model.headers} == {TRACE}


def test_tasks_at_once_keep_apart(graph: Callable[[str], Host]) -> None:
    host = graph("graphs:analyst")
    names = [f"t{n}" for n in range(8)]
    for name in names:
        host.task(f"figures for {name}", task=name)
    for name in reversed(names):
        answer(
            host, name, "analytics/analytics_dashboard", result={"content": [{"type": "text", "text": name}]}
        )
        answer(host, name, "sales", result={"message": {"parts": [{"text": f"deal of {name}"}]}})
    for name in names:
        end, events = host.end(name)
        assert end["state"] == "completed", end
        assert tokens(events) == f"Figures: {name} and deal of {name}"


def test_a_failed_tool_call_is_shown_to_the_model(graph: Callable[[str], Host]) -> None:
    host = graph("graphs:analyst")
    host.task("figures for May")
    answer(host, "t1", "analytics/analytics_dashboard", error={"code": "timeout", "message": "too slow"})
    answer(host, "t1", "sales", error={"code": "busy", "message": "queue full"})
    assert tokens(host.end()[1]) == "Figures: too slow and queue full"


def test_cancelling_in_a_model_call_stops_the_agent(
    graph: Callable[[str], Host], model: ScriptedModel
) -> None:
    host = graph("graphs:analyst")
    model.gate.clear()
    host.task("figures for May")
    model.arrived.acquire()
    host.send(type="cancel", task="t1", attempt=1)
    assert host.end() == (
        {"type": "event", "task": "t1", "attempt": 1, "kind": "state", "state": "canceled"},
        [],
    )


def test_an_agent_with_a_checkpointer_remembers_its_context(graph: Callable[[str], Host]) -> None:
    host = graph("graphs:remembering")
    for task, heard in (("t1", 1), ("t2", 3)):
        host.task("hello", task=task, context="shared")
        assert tokens(host.end(task)[1]) == f"heard {heard} messages"


def test_interrupts_are_questions_and_custom_output_is_status(graph: Callable[[str], Host]) -> None:
    host = graph("flows:interview")
    host.task("a survey")
    assert host.event()["text"] == "looking around"
    assert host.event()["parts"] == [{"data": {"progress": 0.5}}]
    for question, reply in (("what?", "tea"), ("who?", "Ada"), ("really?", "yes")):
        assert host.event("state")["text"] == question
        give_input(host, reply)
    end, events = host.end()
    assert end["state"] == "completed", end
    assert text_of(events[-1]) == "tea Ada yes"


@pytest.mark.parametrize("given", [1, 2, 3])
def test_a_new_attempt_goes_on_from_the_checkpoint(graph: Callable[[str], Host], given: int) -> None:
    host = graph("flows:interview")
    host.task("a survey")
    dialogue = [("what?", "tea"), ("who?", "Ada"), ("really?", "yes")]
    for question, reply in dialogue[: given - 1]:
        assert host.event("state")["text"] == question
        give_input(host, reply)
    host.event("state")
    host.send(type="cancel", task="t1", attempt=1)
    host.end()
    answers = [{"parts": [{"text": reply}]} for _, reply in dialogue[:given]]
    host.task("a survey", attempt=2, answers=answers)
    for question, reply in dialogue[given:]:
        assert host.event("state")["text"] == question
        give_input(host, reply, attempt=2)
    end, events = host.end()
    assert end["state"] == "completed", end
    assert text_of(events[-1]) == "tea Ada yes"
    # The first node had done its work and is not run again.
    assert "looking around" not in [e.get("text") for e in events]


def test_a_new_attempt_without_a_checkpoint_replays_the_answers(graph: Callable[[str], Host]) -> None:
    host = graph("flows:interview")
    host.task("a survey", attempt=2, answers=[{"parts": [{"text": "tea"}]}, {"parts": [{"text": "Ada"}]}])
    assert host.event("state")["text"] == "really?"
    give_input(host, "yes", attempt=2)
    assert text_of(host.event("artifact")) == "tea Ada yes"


def test_a_new_attempt_at_a_graph_that_had_finished_hands_over_its_result(
    graph: Callable[[str], Host],
) -> None:
    host = graph("graphs:remembering")
    host.task("hello")
    host.end()
    host.task("hello", attempt=2)
    end, events = host.end()
    assert end["state"] == "completed"
    assert text_of(events[-1]).strip() == "heard 1 messages"


def test_questions_of_parallel_nodes_are_asked_one_after_the_other(graph: Callable[[str], Host]) -> None:
    host = graph("flows:fork")
    host.task("both")
    for _ in range(2):
        question = host.event("state")
        give_input(host, f"to {question['text']}")
    assert text_of(host.event("artifact")) == "right to right?"


@pytest.mark.parametrize(
    ("said", "decision"),
    [("yes", "approve"), ("no way", "reject"), ('{"decisions": [{"type": "edit"}]}', "edit")],
)
def test_a_step_that_needs_approval_takes_a_plain_answer(
    graph: Callable[[str], Host], said: str, decision: str
) -> None:
    host = graph("flows:approval")
    host.task("mail them")
    assert host.event("state")["text"] == "Approve? Send the mail"
    give_input(host, said)
    assert text_of(host.event("artifact")) == decision


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unfinished", "is a graph that is not compiled: use the result of its compile()"),
        ("odd", "the graph's input has the fields number"),
    ],
)
def test_a_graph_that_cannot_be_a_worker_is_fatal_and_says_why(
    start_worker: Callable[..., Host], model: ScriptedModel, name: str, message: str
) -> None:
    host = start_worker(f"flows:{name}", folder=AGENTS, python=PYTHON)
    fatal = host.start(model=model.config, **CONFIG)
    assert fatal["type"] == "fatal"
    assert message in fatal["message"]


def test_a_functional_graph_takes_the_text_and_returns_its_response(graph: Callable[[str], Host]) -> None:
    host = graph("flows:shout")
    host.task("hello")
    assert text_of(host.event("artifact")) == "HELLO"
