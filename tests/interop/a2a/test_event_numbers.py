"""Our extension: events have numbers, and a client resumes from one (docs/event-log-extension.md)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from wire import Event, Rpc, Tap, chunks, numbers, parts


def same(left: list[Event], right: list[Event]) -> bool:
    return [(e.number, e.text_of_result) for e in left] == [(e.number, e.text_of_result) for e in right]


async def test_the_numbers_of_a_stream_begin_at_one_and_have_no_gap(rpc: Rpc) -> None:
    async with rpc.send_streaming("status 3 && chunks 300 && status 2") as tap:
        events = await tap.rest()
    assert numbers(events) == list(range(1, len(events) + 1))
    assert events[0].kind == "task"
    assert events[-1].state == "TASK_STATE_COMPLETED"
    assert len(chunks(events)) == 300


async def test_resuming_from_any_number_gives_exactly_the_rest_of_an_ended_task(rpc: Rpc) -> None:
    async with rpc.send_streaming("chunks 12 && status 3") as tap:
        events = await tap.rest()
    for after in range(len(events) + 1):
        assert same(await rpc.events(events[0].task_id, after), events[after:])


async def test_resuming_from_any_number_gives_exactly_the_rest_of_a_running_task(
    rpc: Rpc, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    async with rpc.send_streaming(f"chunks 9 && wait-file {file} && chunks 200") as tap:
        task = (await tap.until_waiting()).task_id
        taps = [asyncio.create_task(rpc.events(task, after)) for after in range(len(tap.seen) + 1)]
        async with rpc.tap(task, 0) as late:
            await late.until_waiting()
            file.touch()
            assert same(late.seen + await late.rest(), tap.seen + await tap.rest())
    for after, events in enumerate(await asyncio.gather(*taps)):
        assert same(events, tap.seen[after:])


async def test_a_task_that_waits_for_an_answer_is_followed_through_it(rpc: Rpc) -> None:
    task = await rpc.send("ask who are you? && chunks 3")
    async with rpc.tap(task["id"], 0) as tap:
        asked = await tap.until(lambda event: event.state == "TASK_STATE_INPUT_REQUIRED")
        await rpc.send("Ada", taskId=task["id"])
        rest = await tap.rest()
    assert numbers(rest) == list(range(asked.number + 1, asked.number + 1 + len(rest)))
    assert chunks(rest)[0] == "Ada"
    assert rest[-1].state == "TASK_STATE_COMPLETED"


async def test_a_snapshot_carries_the_number_of_the_last_event_in_it(rpc: Rpc, tmp_path: Path) -> None:
    file = tmp_path / "go"
    async with rpc.send_streaming(f"chunks 5 && wait-file {file} && chunks 5") as tap:
        waiting = await tap.until_waiting()
        async with rpc.tap(waiting.task_id) as late:
            snapshot = await late.next()
            assert snapshot is not None
            assert (snapshot.kind, snapshot.number) == ("task", waiting.number)
            assert len(parts(snapshot.result["task"])) == 6
            file.touch()
            rest = await late.rest()
        assert same(rest, await tap.rest())


async def test_a_number_beyond_the_last_event_is_an_error(rpc: Rpc) -> None:
    task = (await rpc.send("bench"))["id"]
    last = (await rpc.events(task))[-1].number
    for number in (str(last + 1), str(2**63), str(2**64 - 1)):
        error = await rpc.error("SubscribeToTask", {"id": task}, headers={"Last-Event-ID": number})
        assert error["code"] == -32602, number


@pytest.mark.parametrize("number", ["-1", "1.5", "x", "", "0x1", str(2**64)])
async def test_what_is_no_number_is_an_error(rpc: Rpc, number: str) -> None:
    task = (await rpc.send("bench"))["id"]
    error = await rpc.error("SubscribeToTask", {"id": task}, headers={"Last-Event-ID": number})
    assert error["code"] == -32602
    assert "Last-Event-ID" in error["message"]


async def test_twenty_taps_that_join_while_events_flow_see_the_same(rpc: Rpc) -> None:
    async with rpc.send_streaming("slow 40 5 && chunks 400") as tap:
        first = await tap.next()
        assert first is not None
        joined = []
        # Each event that arrives lets another tap join, so they join all over the task's life.
        for _ in range(20):
            after = tap.seen[-1].number if len(joined) % 2 else 0
            joined.append((after, asyncio.create_task(rpc.events(first.task_id, after))))
            await tap.next()
        await tap.rest()
    assert numbers(tap.seen) == list(range(1, len(tap.seen) + 1))
    for after, task in joined:
        assert same(await task, tap.seen[after:])


async def test_snapshots_taken_while_events_flow_meet_the_rest_exactly(rpc: Rpc, tmp_path: Path) -> None:
    file, there = tmp_path / "go", asyncio.Semaphore(0)
    async with rpc.send_streaming(f"slow 60 4 && wait-file {file} && chunks 300") as tap:
        first = await tap.next()
        assert first is not None

        async def join() -> list[Event]:
            async with rpc.tap(first.task_id) as late:
                snapshot = await late.next()
                there.release()
                assert snapshot is not None
                await late.rest()
                return late.seen

        joined = []
        for _ in range(20):
            joined.append(asyncio.create_task(join()))
            await tap.next()
        for _ in joined:
            await there.acquire()
        file.touch()
        await tap.rest()
    for events in await asyncio.gather(*joined):
        snapshot, *rest = events
        assert parts(snapshot.result["task"]) + chunks(rest) == chunks(tap.seen)
        assert same(rest, tap.seen[snapshot.number :])


async def test_a_client_that_leaves_does_not_stop_the_task(rpc: Rpc, tmp_path: Path) -> None:
    file = tmp_path / "go"
    async with rpc.send_streaming(f"wait-file {file} && chunks 50") as tap:
        waiting = await tap.until_waiting()
    file.touch()
    rest = await rpc.events(waiting.task_id, waiting.number)
    assert numbers(rest)[0] == waiting.number + 1
    assert len(chunks(rest)) == 50
    assert rest[-1].state == "TASK_STATE_COMPLETED"


async def test_a_reader_that_stalls_loses_nothing_and_holds_up_nobody(rpc: Rpc) -> None:
    count = 4000
    async with rpc.send_streaming(f"chunks {count} 1000") as stalled:
        first: Event | None = await stalled.next()
        assert first is not None
        # Megabytes that fit into no buffer: the other tap ends while this one has read next to nothing.
        brisk = await rpc.events(first.task_id)
        assert len(chunks(brisk)) == count
        rest = await stalled.rest()
    assert same([first, *rest], brisk)


async def test_two_streams_of_one_task_do_not_share_their_fate(rpc: Rpc, tmp_path: Path) -> None:
    file = tmp_path / "go"
    async with rpc.send_streaming(f"wait-file {file} && chunks 20") as stays:
        waiting = await stays.until_waiting()
        async with rpc.tap(waiting.task_id) as leaves:
            assert isinstance(leaves, Tap)
            await leaves.next()
        file.touch()
        assert len(chunks(await stays.rest())) == 20


async def test_another_tenants_numbers_are_as_unknown_as_its_tasks(rpc: Rpc) -> None:
    task = (await rpc.send("bench"))["id"]
    params = {"id": task, "tenant": "other"}
    theirs = await rpc.error("SubscribeToTask", params, headers={"Last-Event-ID": "0"})
    unknown = await rpc.error("SubscribeToTask", {"id": "nobody"}, headers={"Last-Event-ID": "0"})
    assert theirs["code"] == unknown["code"] == -32001
    assert theirs["message"].replace(task, "") == unknown["message"].replace("nobody", "")
