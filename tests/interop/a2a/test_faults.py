"""Workers and whole meshes that die in the middle of a task; what clients see of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mesh import Mesh, scripted_agent
from wire import Event, Rpc, Tap, chunks, numbers, parts, user_message

StartMesh = Callable[..., Mesh]


def one_agent(**tasks: Any) -> dict[str, Any]:
    return {"agents": {"scripted": scripted_agent(tasks=tasks)}}


def client(mesh: Mesh) -> Rpc:
    return Rpc(mesh.agents["scripted"])


def attempts(events: list[Event]) -> list[int]:
    """The attempts that began, by the metadata of our events."""
    began = [event for event in events if "agentmesh/attempt" in event.metadata and not is_loss(event)]
    assert all(event.state == "TASK_STATE_WORKING" for event in began)
    return [event.metadata["agentmesh/attempt"] for event in began]


def is_loss(event: Event) -> bool:
    return "agentmesh/attemptLost" in event.metadata


@asynccontextmanager
async def waiting_task(rpc: Rpc, file: Path) -> AsyncIterator[Tap]:
    """A task that has said four chunks, and says three more once the file is there."""
    async with rpc.send_streaming(f"chunks 3 && wait-file {file} && chunks 3") as tap:
        await tap.until_waiting()
        yield tap


EXPECTED = ["chunk 1", "chunk 2", "chunk 3", "waiting; ", "chunk 1", "chunk 2", "chunk 3"]


def short(texts: list[str]) -> list[str]:
    return [text.split(" of ")[0] for text in texts]


async def test_a_killed_worker_is_survived_on_the_same_stream(start_mesh: StartMesh, tmp_path: Path) -> None:
    file = tmp_path / "go"
    mesh = start_mesh(one_agent(on_worker_loss={"retry": 3}))
    async with client(mesh) as rpc:
        async with waiting_task(rpc, file) as tap:
            mesh.worker().kill()
            waiting = await tap.until_waiting()
            file.touch()
            await tap.rest()
        events = tap.seen
        assert numbers(events) == list(range(1, len(events) + 1))
        assert attempts(events) == [1, 2]
        assert [e.state for e in events if is_loss(e)] == ["TASK_STATE_SUBMITTED"]
        assert events[-1].state == "TASK_STATE_COMPLETED"
        # The second attempt's first chunk replaces what the first one said.
        assert short(chunks(events)) == EXPECTED[:4] + EXPECTED
        task = await rpc.get(waiting.task_id)
        assert short(parts(task)) == EXPECTED
        assert [e.text_of_result for e in await rpc.events(task["id"])] == [e.text_of_result for e in events]


async def test_a_blocking_send_outlives_its_worker(start_mesh: StartMesh) -> None:
    mesh = start_mesh(one_agent(on_worker_loss={"retry": 2}))
    async with client(mesh) as rpc:
        task = await rpc.send("crash-once && chunks 4")
        assert task["status"]["state"] == "TASK_STATE_COMPLETED"
        assert len(parts(task)) == 4
        assert attempts(await rpc.events(task["id"])) == [1, 2]


async def test_all_tasks_of_a_killed_worker_are_taken_up_again(start_mesh: StartMesh, tmp_path: Path) -> None:
    file = tmp_path / "go"
    mesh = start_mesh(one_agent(concurrency=20, on_worker_loss={"retry": 3}))
    async with client(mesh) as rpc:
        params = [
            user_message(f"wait-file {file} && chunks 20") | {"configuration": {"returnImmediately": True}}
            for _ in range(30)
        ]
        tasks = [(await rpc.result("SendMessage", p))["task"]["id"] for p in params]
        # The twentieth runs, the others wait in the queue.
        async with rpc.tap(tasks[19], 0) as tap:
            await tap.until_waiting()
        mesh.worker().kill()
        file.touch()
        for task in tasks:
            events = await rpc.events(task)
            assert numbers(events) == list(range(1, len(events) + 1))
            assert events[-1].state == "TASK_STATE_COMPLETED"
            assert len(parts(await rpc.get(task))) == 21


async def test_a_task_whose_worker_always_dies_fails_after_its_attempts(start_mesh: StartMesh) -> None:
    mesh = start_mesh(one_agent(on_worker_loss={"retry": 1}))
    async with client(mesh) as rpc:
        async with rpc.send_streaming("chunks 2 && crash") as tap:
            events = await tap.rest()
        assert attempts(events) == [1, 2]
        assert events[-1].state == "TASK_STATE_FAILED"
        assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_with_the_policy_fail_a_killed_worker_fails_its_task(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    mesh = start_mesh(one_agent(on_worker_loss="fail"))
    async with client(mesh) as rpc:
        async with waiting_task(rpc, tmp_path / "never") as tap:
            mesh.worker().kill()
            rest = await tap.rest()
        assert rest[-1].state == "TASK_STATE_FAILED"
        assert attempts(tap.seen) == [1]
        assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_killed_mesh_finishes_its_task_after_the_next_start(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    mesh = start_mesh(one_agent(on_worker_loss={"retry": 3}))
    async with client(mesh) as rpc, waiting_task(rpc, file) as tap:
        seen = tap.seen
        mesh.kill()
    # Twice: what was taken up again can be lost again.
    for _ in range(2):
        mesh.start()
        assert mesh.resumed == 1
        async with client(mesh) as rpc, rpc.tap(seen[0].task_id, seen[-1].number) as tap:
            await tap.until_waiting()
            seen = seen + tap.seen
            mesh.kill()
    mesh.start()
    file.touch()
    async with client(mesh) as rpc:
        rest = await rpc.events(seen[0].task_id, seen[-1].number)
        events = seen + rest
        assert numbers(events) == list(range(1, len(events) + 1))
        assert attempts(events) == [1, 2, 3, 4]
        assert events[-1].state == "TASK_STATE_COMPLETED"
        whole = await rpc.events(seen[0].task_id)
        assert [e.text_of_result for e in whole] == [e.text_of_result for e in events]
        assert short(parts(await rpc.get(seen[0].task_id))) == EXPECTED


async def test_a_killed_mesh_fails_its_task_if_that_is_the_policy(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    mesh = start_mesh(one_agent(on_worker_loss="fail"))
    async with client(mesh) as rpc, waiting_task(rpc, tmp_path / "never") as tap:
        mesh.kill()
    mesh.start()
    async with client(mesh) as rpc:
        rest = await rpc.events(tap.seen[0].task_id, tap.seen[-1].number)
        assert numbers(rest)[0] == tap.seen[-1].number + 1
        assert rest[-1].state == "TASK_STATE_FAILED"
        assert (await rpc.get(tap.seen[0].task_id))["status"]["state"] == "TASK_STATE_FAILED"


async def test_a_question_outlives_the_mesh_that_asked_it(start_mesh: StartMesh) -> None:
    mesh = start_mesh(one_agent())
    async with client(mesh) as rpc:
        asked = await rpc.send("ask first? && ask second? && chunks 2")
        again = await rpc.send("one", taskId=asked["id"])
        assert again["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    mesh.kill()
    mesh.start()
    async with client(mesh) as rpc:
        # The answer that was given already is not asked for again.
        answered = await rpc.send("two", taskId=asked["id"])
        assert answered["status"]["state"] == "TASK_STATE_COMPLETED"
        assert short(parts(answered)) == ["one", "two", "chunk 1", "chunk 2"]
        events = await rpc.events(asked["id"])
        assert numbers(events) == list(range(1, len(events) + 1))


async def test_a_message_that_was_answered_before_the_kill_is_not_run_twice(start_mesh: StartMesh) -> None:
    mesh = start_mesh(one_agent())
    async with client(mesh) as rpc:
        first = await rpc.send("bench", messageId="the-same")
    mesh.kill()
    mesh.start()
    assert mesh.resumed == 0
    async with client(mesh) as rpc:
        assert await rpc.send("bench", messageId="the-same") == first
        assert (await rpc.result("ListTasks", {}))["totalSize"] == 1


async def test_a_stopped_mesh_hands_its_running_task_to_the_next_start(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    mesh = start_mesh(one_agent())
    async with client(mesh) as rpc, waiting_task(rpc, file) as tap:
        # A second signal: do not wait for what runs.
        assert mesh.process is not None
        mesh.process.terminate()
        mesh.stop()
    mesh.start()
    file.touch()
    async with client(mesh) as rpc:
        rest = await rpc.events(tap.seen[0].task_id, tap.seen[-1].number)
        events = tap.seen + rest
        assert numbers(events) == list(range(1, len(events) + 1))
        assert events[-1].state == "TASK_STATE_COMPLETED"


async def test_a_task_that_ends_in_the_grace_period_ends_on_its_stream(
    start_mesh: StartMesh, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    mesh = start_mesh(one_agent())
    async with client(mesh) as rpc, waiting_task(rpc, file) as tap:
        assert mesh.process is not None
        mesh.process.terminate()
        file.touch()
        events = tap.seen + await tap.rest()
        assert events[-1].state == "TASK_STATE_COMPLETED"
        assert attempts(events) == [1]
    assert mesh.process.wait(20) == 0
    mesh.start()
    assert mesh.resumed == 0


async def test_a_worker_that_breaks_the_protocol_is_replaced(start_mesh: StartMesh) -> None:
    mesh = start_mesh(one_agent(on_worker_loss={"retry": 1}))
    before = mesh.worker()
    async with client(mesh) as rpc:
        task = await rpc.send("garbage && hang")
        assert task["status"]["state"] == "TASK_STATE_FAILED"
        assert not before.is_alive()
        assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_worker_that_no_longer_answers_is_replaced(start_mesh: StartMesh) -> None:
    worker = scripted_agent()["worker"] | {"health_interval": "100ms", "health_timeout": "300ms"}
    agent = scripted_agent(worker=worker, tasks={"on_worker_loss": "fail"})
    mesh = start_mesh({"agents": {"scripted": agent}})
    before = mesh.worker()
    async with client(mesh) as rpc:
        task = await rpc.send("freeze && hang")
        assert task["status"]["state"] == "TASK_STATE_FAILED"
        assert not before.is_alive()
        assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_canceled_task_that_does_not_stop_costs_its_process(start_mesh: StartMesh) -> None:
    mesh = start_mesh(one_agent(cancel_grace="100ms"))
    before = mesh.worker()
    async with client(mesh) as rpc:
        async with rpc.send_streaming("hog") as tap:
            hogging = await tap.until(lambda event: "hogging" in event.text_of_result)
            canceled = await rpc.result("CancelTask", {"id": hogging.task_id})
            assert canceled["status"]["state"] == "TASK_STATE_CANCELED"
            assert (await tap.rest())[-1].state == "TASK_STATE_CANCELED"
        assert (await rpc.send("bench"))["status"]["state"] == "TASK_STATE_COMPLETED"
    Mesh.expect_gone([before])
