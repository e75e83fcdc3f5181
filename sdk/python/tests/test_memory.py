"""The memory of a context, and what was said in it before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from host import Host, Message, text_of

Start = Callable[..., Host]

MEMORY = {"entry_bytes": 65536, "entries": 256, "key_bytes": 128}


class Store:
    """What a host keeps; answers the calls of one task until it ends."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.entries: dict[str, tuple[int, Any]] = {}
        self.version = 0
        self.calls: list[Message] = []
        # What others write just before the next puts.
        self.rivals: list[Any] = []

    def write(self, key: str, value: Any) -> int:
        self.version += 1
        self.entries[key] = (self.version, value)
        return self.version

    def answer(self, call: Message) -> Message:
        self.calls.append(call)
        request = call["memory"]
        if request["op"] == "list":
            return {"result": self.page(request)}
        key = request["key"]
        if request["op"] == "put" and self.rivals:
            self.write(key, self.rivals.pop(0))
        version, value = self.entries.get(key, (0, None))
        if request["op"] == "get":
            if not version:
                return {"error": {"code": "not_found", "message": "there is none"}}
            return {"result": {"key": key, "value": value, "version": version, "agent": "sales"}}
        if request.get("expect", version) != version:
            return {"error": {"code": "conflict", "message": f"it is at {version}", "actual": version}}
        if request["op"] == "delete":
            self.entries.pop(key, None)
            return {"result": {"key": key}}
        return {"result": {"key": key, "version": self.write(key, request["value"])}}

    def page(self, request: Message) -> Message:
        keys = [key for key in sorted(self.entries) if key > request.get("after", "")][:2]
        entries = [{"key": k, "version": self.entries[k][0], "value": self.entries[k][1]} for k in keys]
        return {"entries": entries, **({"next": keys[-1]} if len(keys) == 2 else {})}

    def run(self, text: str) -> str:
        """The answer of the agent to this text."""
        self.host.reset()
        self.host.task(text)
        while True:
            message = self.host.next(lambda m: m["type"] in ("call", "event"))
            if message["type"] == "call":
                self.host.reply(message, **self.answer(message))
            elif message["kind"] == "artifact":
                self.host.end()
                return text_of(message)
            elif message["kind"] == "state":
                return f"{message['state']}: {message.get('text', '')}"


@pytest.fixture
def store(start_worker: Start) -> Store:
    host = start_worker("plain:remembers")
    host.start(memory=MEMORY)
    return Store(host)


def test_a_value_is_found_by_whoever_comes_later_and_nothing_by_others(store: Store) -> None:
    assert store.run("get k") == "'nothing'"
    assert store.run("set k blue") == "1"
    assert store.run("get k") == "'blue'"
    assert store.run("delete k") == "completed: "
    assert store.run("get k") == "'nothing'"
    assert "expect" not in store.calls[1]["memory"]
    assert store.calls[0]["attempt"] == 1


def test_a_conflict_tells_the_version_that_there_is(store: Store) -> None:
    store.write("k", "theirs")
    assert store.run("set k mine 0") == "k: conflict: it is at 1"
    assert store.run("set k mine 1") == "2"


def test_a_null_is_a_value(store: Store) -> None:
    store.write("k", None)
    assert store.run("get k") == "None"


def test_items_come_page_by_page(store: Store) -> None:
    for key in "abc":
        store.write(key, key.upper())
    assert store.run("items") == "a=A@1, b=B@2, c=C@3"
    assert [call["memory"].get("after") for call in store.calls] == [None, "b"]


def test_an_update_is_made_again_from_what_others_wrote(store: Store) -> None:
    store.rivals = [10, 20]
    assert store.run("count n") == "21"
    assert store.entries["n"][1] == 21


def test_an_update_gives_up_when_others_are_always_faster(store: Store) -> None:
    store.rivals = list(range(100))
    assert store.run("count n") == "failed: context n failed (conflict)"
    assert len(store.calls) == 32


def test_other_errors_fail_the_call(start_worker: Start) -> None:
    host = start_worker("plain:remembers")
    host.start(memory=MEMORY)
    host.task("set k v")
    host.reply(host.call(), error={"code": "too_large", "message": "the key is too long"})
    end, _ = host.end()
    assert end["text"] == "context k failed (too_large)"


def test_a_host_without_a_memory_says_so(start_worker: Start) -> None:
    host = start_worker("plain:remembers")
    host.start()
    host.task("get k")
    end, _ = host.end()
    assert end["text"] == "context context failed (unavailable)"
    assert "it is too old" in end["detail"]


def test_code_in_a_thread_does_the_same(start_worker: Start) -> None:
    host = start_worker("plain:remembers_in_a_thread")
    host.start(memory=MEMORY)
    store = Store(host)
    host.task()
    while (message := host.next(lambda m: m["type"] in ("call", "event")))["type"] == "call":
        if "history" in message:
            past = {"task": "t0", "messages": [{"role": "ROLE_USER", "parts": [{"text": "hi"}]}]}
            host.reply(message, result={"tasks": [past]})
        else:
            host.reply(message, **store.answer(message))
    made = message["artifact"]["parts"][0]["data"]
    assert made == {"total": [1, 2], "items": ["k"], "left": None, "past": ["hi"]}


def test_a_model_may_be_given_the_memory_as_two_tools(start_worker: Start) -> None:
    host = start_worker("plain:uses_functions")
    host.start(memory=MEMORY, tools=[{"name": "math/echo"}])
    assert Store(host).run("go") == (
        "['echo', 'recall', 'remember'] ['remembered', '{\"k\": \"v\"}', 'remembered', 'w'] ['echo']"
    )


def test_the_history_is_read_page_by_page_and_told_in_order(start_worker: Start) -> None:
    host = start_worker("plain:historian")
    host.start(memory=MEMORY)
    host.task()

    def task(number: int, **more: Any) -> Message:
        said = [{"role": "ROLE_USER", "parts": [{"text": f"q{number}"}]}]
        said.append({"role": "ROLE_AGENT", "parts": [{"text": f"a{number}"}]})
        return {
            "task": f"t{number}",
            "agent": "sales",
            "state": "TASK_STATE_FAILED",
            "messages": said,
            **more,
        }

    first = host.call()
    assert first["history"] == {"limit": 3, "artifacts": True}
    host.reply(
        first, result={"tasks": [task(2), task(3, artifacts=[{"parts": [{"text": "made"}]}])], "before": "t2"}
    )
    second = host.call()
    assert second["history"] == {"limit": 1, "before": "t2", "artifacts": True}
    host.reply(second, result={"tasks": [task(1)], "before": "t1"})
    told = text_of(host.event("artifact"))
    assert told == "sales/FAILED: q1 -> a1; sales/FAILED: q2 -> a2; sales/FAILED: q3 -> made"
