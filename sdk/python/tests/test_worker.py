"""The worker protocol, seen from the host: life of a worker, tasks, cancelling, errors."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from host import Host, text_of

Start = Callable[..., Host]

MATH = [
    {"name": "math/add", "description": "Adds", "inputSchema": {"type": "object"}},
    {"name": "math/echo"},
    {"name": "math/never"},
]


def test_a_worker_says_hello_before_it_loads_and_ready_after_config(start_worker: Start) -> None:
    host = start_worker("plain:story")
    hello = host.next()
    assert hello["type"] == "hello"
    assert hello["protocol"] == 1
    assert hello["sdk"].startswith("agentmesh-python/")
    host.send(type="ping", id=9)
    assert host.next() == {"type": "pong", "id": 9}
    host.send(type="config", protocol=1, agent="test", tools=MATH, agents=[])
    ready = host.next()
    assert ready["type"] == "ready"
    assert ready["framework"] == "function"
    assert ready["card"]["description"] == "Tells a story."
    assert ready["card"]["skills"][0]["id"] == "story"


def test_a_story_with_status_tool_question_tokens_and_artifact(start_worker: Start) -> None:
    host = start_worker("plain:story")
    host.start(tools=MATH)
    host.task()
    assert host.event()["text"] == "planning"
    call = host.call()
    assert call["tool"] == "math/add"
    assert call["arguments"] == {"a": 2, "b": 40}
    assert (call["task"], call["attempt"]) == ("t1", 1)
    assert call["traceparent"].startswith("00-1111")
    host.reply(call, result={"content": [{"type": "text", "text": "42"}]})
    question = host.event()
    assert (question["state"], question["text"]) == ("input-required", "total is 42; who is it for?")
    host.send(type="input", task="t1", attempt=1, message={"parts": [{"text": "Ada"}]})
    end, events = host.end()
    assert end["state"] == "completed"
    assert [e.get("text") for e in events if e["kind"] == "token"] == ["hello ", "Ada"]
    assert events[-1]["artifact"] == {
        "artifactId": "result",
        "name": "result",
        "parts": [{"text": "Ada: 42"}],
    }
    assert events[-1]["lastChunk"] is True


def test_what_user_code_prints_goes_to_standard_error(start_worker: Start) -> None:
    host = start_worker("plain:story")
    host.start(tools=MATH)
    host.task()
    host.reply(host.call(), result={"content": []})
    host.event("state")
    host.close()
    for text in ("printed while loading", "printed while working", "file descriptor 1", "printed by a child"):
        assert text in host.stderr


def test_user_code_finds_its_standard_input_empty(start_worker: Start) -> None:
    host = start_worker("plain:reads_stdin")
    host.start()
    host.task()
    assert text_of(host.event("artifact")) == "stdin was ''"


def test_an_async_function_returns_its_response(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.start()
    host.task("good morning", attempt=3)
    end, events = host.end()
    assert end == {"type": "event", "task": "t1", "attempt": 3, "kind": "state", "state": "completed"}
    assert events[0]["artifact"]["artifactId"] == "response"
    assert text_of(events[0]) == "good morning in c-t1, attempt 3"


def test_a_blocking_function_runs_in_a_thread_and_may_call_tools(start_worker: Start) -> None:
    host = start_worker("plain:blocking")
    host.start(tools=MATH)
    host.task()
    host.reply(host.call(), result={"content": [], "structuredContent": {"result": 2}})
    assert host.event("artifact")["artifact"]["parts"] == [{"data": {"sum": {"result": 2}, "thread": True}}]


def test_a_blocking_generator_streams_asks_and_settles_its_response(start_worker: Start) -> None:
    host = start_worker("plain:blocking_generator")
    host.start()
    host.task()
    host.event("state")
    host.send(type="input", task="t1", attempt=1, message={"parts": [{"text": "three"}]})
    _, events = host.end()
    assert [e["text"] for e in events if e["kind"] == "token"] == ["one ", "three"]
    assert text_of(events[-1]) == "settled"


def test_a_callable_object_is_an_agent(start_worker: Start) -> None:
    host = start_worker("plain:instance")
    host.start()
    host.task()
    assert text_of(host.event("artifact")) == "called"


def test_all_shapes_of_content_become_parts(start_worker: Start) -> None:
    host = start_worker("plain:shapes")
    host.start()
    host.task()
    _, events = host.end()
    assert [e["artifact"]["parts"] for e in events[:3]] == [
        [{"raw": "AAE="}],
        [{"data": {"a": 1}}],
        [{"url": "https://example.invalid/x"}],
    ]
    assert events[2]["artifact"]["artifactId"] == "artifact-3"
    assert (events[3]["append"], events[3]["lastChunk"]) == (True, False)
    assert events[4]["parts"] == [{"data": {"step": 1}}]
    assert events[5]["text"] == "broken ? surrogate"


def test_answers_of_an_earlier_attempt_are_not_asked_again(start_worker: Start) -> None:
    host = start_worker("plain:asker")
    host.start()
    host.task(attempt=2, answers=[{"parts": [{"text": "one"}]}])
    question = host.event()
    assert (question["kind"], question["text"]) == ("state", "second?")
    host.send(type="input", task="t1", attempt=2, message={"parts": [{"text": "two"}]})
    assert text_of(host.event("artifact")) == "one two"


def test_tasks_run_concurrently_and_keep_apart(start_worker: Start) -> None:
    host = start_worker("plain:asker")
    host.start()
    names = [f"t{n}" for n in range(20)]
    for name in names:
        host.task(task=name)
    for step in ("first?", "second?"):
        for name in names:
            assert host.event(task=name)["text"] == step
        for name in reversed(names):
            host.send(type="input", task=name, attempt=1, message={"parts": [{"text": f"{name}{step}"}]})
    for name in names:
        assert text_of(host.event("artifact", task=name)) == f"{name}first? {name}second?"
        assert host.event(task=name)["state"] == "completed"


def test_cancelling_an_async_task_runs_its_cleanup_and_reports_canceled(start_worker: Start) -> None:
    host = start_worker("plain:sleeper")
    host.start()
    host.task()
    host.event("status")
    host.send(type="cancel", task="t1", attempt=1)
    assert host.event()["state"] == "canceled"
    host.close()
    assert "cleaned up" in host.stderr


@pytest.mark.parametrize("agent", ["blocked_in_a_call", "watchful"])
def test_cancelling_a_blocking_task_is_reported_when_its_thread_has_ended(
    start_worker: Start, agent: str
) -> None:
    host = start_worker(f"plain:{agent}")
    host.start(tools=MATH)
    host.task()
    host.next(lambda m: m["type"] in ("call", "event"))
    host.send(type="cancel", task="t1", attempt=1)
    end, events = host.end()
    assert end["state"] == "canceled"
    assert events == []


def test_a_task_that_waits_for_input_can_be_cancelled(start_worker: Start) -> None:
    host = start_worker("plain:asker")
    host.start()
    host.task()
    host.event("state")
    host.send(type="cancel", task="t1", attempt=1)
    assert host.event()["state"] == "canceled"


def test_lines_about_tasks_that_are_gone_are_ignored(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.start()
    host.send(type="cancel", task="gone", attempt=1)
    host.send(type="input", task="gone", attempt=1, message={"parts": []})
    host.send(type="reply", id=99, result={})
    host.send(type="something-new", id=1)
    host.task()
    assert host.end()[0]["state"] == "completed"


def test_nothing_is_said_after_the_final_state(start_worker: Start) -> None:
    host = start_worker("plain:speaks_too_late")
    host.start()
    host.task()
    assert host.event()["state"] == "completed"
    host.send(type="ping", id=1)
    assert host.next()["type"] == "pong"
    host.task(task="t2")
    assert host.event(task="t2")["state"] == "completed"
    host.close()
    assert "refused: task t1 is over" in host.stderr


def test_a_ping_is_answered_while_a_task_hogs_the_processor(start_worker: Start) -> None:
    host = start_worker("plain:hog")
    host.start()
    host.task()
    host.event("status")
    for number in range(20):
        host.send(type="ping", id=number)
        assert host.next()["id"] == number


@pytest.mark.parametrize("agent", ["sleeper", "hog", "watchful"])
def test_the_end_of_standard_input_ends_the_worker_whatever_it_does(start_worker: Start, agent: str) -> None:
    host = start_worker(f"plain:{agent}")
    host.start()
    host.task()
    host.event("status")
    assert host.process.stdin is not None
    host.process.stdin.close()
    assert host.exit_code() == 0


def test_the_end_of_standard_input_before_config_ends_the_worker(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.next()
    assert host.process.stdin is not None
    host.process.stdin.close()
    assert host.exit_code() == 0


def test_an_interrupt_of_the_terminal_is_left_to_the_host(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.start()
    host.process.send_signal(signal.SIGINT)
    host.task()
    assert host.end()[0]["state"] == "completed"


def test_an_exception_fails_the_task_without_telling_its_text(start_worker: Start) -> None:
    host = start_worker("plain:broken")
    host.start()
    host.task()
    end, _ = host.end()
    assert (end["state"], end["text"]) == ("failed", "the agent failed (ValueError)")
    assert "swordfish" in end["detail"]
    assert "plain.py" in end["detail"]


@pytest.mark.parametrize(
    ("agent", "state", "text"),
    [
        ("fails", "failed", "there is no such customer"),
        ("rejects", "rejected", "not my business"),
        ("exits", "failed", "the agent failed (SystemExit)"),
    ],
)
def test_an_agent_ends_its_task_with_a_text_and_the_worker_lives_on(
    start_worker: Start, agent: str, state: str, text: str
) -> None:
    host = start_worker(f"plain:{agent}")
    host.start()
    for task in ("t1", "t2"):
        host.task(task=task)
        end, _ = host.end(task)
        assert (end["state"], end["text"]) == (state, text)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("plain:nothing", "module plain has no attribute nothing"),
        ("plain:not_an_agent", "plain:not_an_agent is a int, which is no agent"),
        ("plain", "'plain' does not name an agent"),
        ("nowhere:agent", "there is no module nowhere"),
        ("missing_import:agent", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("broken_module:agent", "RuntimeError: bad configuration"),
        ("needs_model:agent", "ConfigError: agent test has no model"),
        ("exits_on_load:agent", "SystemExit: gave up"),
    ],
)
def test_what_cannot_be_loaded_is_fatal_and_says_why(start_worker: Start, target: str, message: str) -> None:
    host = start_worker(target)
    fatal = host.start()
    assert fatal["type"] == "fatal"
    assert message in fatal["message"]
    assert "Traceback" in fatal["detail"]
    assert host.exit_code() == 1


def test_a_protocol_version_that_is_not_known_ends_the_worker(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.next()
    host.send(type="config", protocol=2, agent="test")
    assert host.exit_code() == 1
    assert "the host speaks protocol 2, this SDK speaks 1" in host.stderr


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[1]\n",
        b'{"no":"type"}\n',
        b'{"type":"task","task":1}\n',
        b"\xff\xfe\n",
        b"[" * 99999 + b"\n",
    ],
)
def test_a_malformed_line_ends_the_worker_with_a_reason(start_worker: Start, line: bytes) -> None:
    host = start_worker("plain:echo")
    host.start()
    host.send_raw(line)
    assert host.exit_code() == 1
    assert "agentmesh: the host sent a" in host.stderr


def test_a_line_over_the_limit_ends_the_worker(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.start(limits={"line_bytes": 1000})
    host.send_raw(b'{"type":"later","x":"' + b"x" * 2000 + b'"}\n')
    assert host.exit_code() == 1
    assert "more than 1000 bytes" in host.stderr


def test_a_line_of_megabytes_within_the_limit_is_read_and_written(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.start()
    host.task("x" * 5_000_000)
    assert len(text_of(host.event("artifact"))) > 5_000_000


def test_an_artifact_over_the_limit_is_an_error_in_the_agent_and_not_a_broken_line(
    start_worker: Start,
) -> None:
    host = start_worker("plain:too_much")
    host.start(limits={"line_bytes": 8192, "event_bytes": 4096})
    host.task("5000")
    assert "exceeds the limit of 4096 bytes: send it in parts" in text_of(host.event("artifact"))


def test_a_final_state_whose_detail_does_not_fit_is_sent_without_it(start_worker: Start) -> None:
    host = start_worker("plain:broken")
    host.start(limits={"line_bytes": 400})
    host.task()
    assert host.end()[0] == {"type": "event", "task": "t1", "attempt": 1, "kind": "state", "state": "failed"}


def test_empty_lines_between_messages_are_allowed(start_worker: Start) -> None:
    host = start_worker("plain:echo")
    host.start()
    host.send_raw(b"\n \n")
    host.task()
    assert host.end()[0]["state"] == "completed"
