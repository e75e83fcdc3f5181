"""Push notifications: configured by the official client over each binding, received by a small server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from a2a.client import Client
from a2a.types import (
    AuthenticationInfo,
    DeleteTaskPushNotificationConfigRequest,
    GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest,
    TaskPushNotificationConfig,
)
from a2a.utils.errors import InvalidParamsError, PushNotificationNotSupportedError, TaskNotFoundError

from mesh import Mesh, binary, eventually, scripted_agent
from official import connect, request, send
from wire import Rpc, numbers, user_message

KEY = "a key that only the two of them know"


class Receiver:
    """Takes notifications, checks their signatures, and keeps them by number."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int, dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.refusing = False
        self.arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(receiver.take(dict(self.headers), body))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def take(self, headers: dict[str, str], body: bytes) -> int:
        if self.refusing:
            return 503
        identity, time = headers["webhook-id"], headers["webhook-timestamp"]
        signed = hmac.new(KEY.encode(), f"{identity}.{time}.".encode() + body, hashlib.sha256).digest()
        assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
        task, _config, number = identity.split(".")
        with self.arrived:
            self.got.append((task, int(number), json.loads(body)))
            self.headers.append(headers)
            self.arrived.notify_all()
        return 200

    def numbers(self, task: str) -> list[int]:
        """The numbers that came, each for the first time; one that comes again must not be a step ahead."""
        seen: list[int] = []
        for of, number, _ in self.got:
            if of == task and number not in seen:
                assert number == len(seen) + 1, f"{number} after {seen}"
                seen.append(number)
        return seen

    def wait_for_end(self, task: str) -> list[dict[str, Any]]:
        """The events of a task, when the last of them has come."""

        def ended() -> bool:
            return any(of == task and "TASK_STATE_COMPLETED" in json.dumps(e) for of, _, e in self.got)

        with self.arrived:
            assert self.arrived.wait_for(ended, 30)
            return [event for of, _, event in self.got if of == task]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()


@pytest.fixture
def another_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()


CONFIG = {
    "push": {"allow": ["127.0.0.0/8"], "signing_key": "${PUSH_KEY}"},
    "agents": {"scripted": scripted_agent(tasks={"concurrency": 64})},
}


@pytest.fixture(scope="module", autouse=True)
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSH_KEY", KEY)
        yield


@pytest.fixture(scope="module")
def mesh(start_shared_mesh: Callable[..., Mesh], key: None) -> Mesh:
    return start_shared_mesh(CONFIG)


async def test_every_event_is_posted_to_the_address_of_the_message(
    blocking_client: Client, receiver: Receiver
) -> None:
    wanted = request("chunks 3 && echo done")
    wanted.configuration.task_push_notification_config.CopyFrom(
        TaskPushNotificationConfig(
            id="hook",
            url=receiver.url,
            token="shared",
            authentication=AuthenticationInfo(scheme="Bearer", credentials="secret"),
        )
    )
    (response,) = [event async for event in blocking_client.send_message(wanted)]
    task = response.task.id
    events = await asyncio.to_thread(receiver.wait_for_end, task)
    assert "task" in events[0]
    assert receiver.numbers(task) == list(range(1, len(receiver.numbers(task)) + 1))
    assert receiver.headers[0]["Authorization".lower()] == "Bearer secret"
    assert receiver.headers[0]["x-a2a-notification-token"] == "shared"


async def test_a_configuration_is_created_read_listed_and_deleted(
    blocking_client: Client, receiver: Receiver
) -> None:
    task = await send(blocking_client, "ask Who?")
    config = TaskPushNotificationConfig(task_id=task.id, id="hook", url=receiver.url, token="t")
    assert await blocking_client.create_task_push_notification_config(config) == config
    named = GetTaskPushNotificationConfigRequest(task_id=task.id, id="hook")
    assert await blocking_client.get_task_push_notification_config(named) == config
    every = ListTaskPushNotificationConfigsRequest(task_id=task.id)
    assert list((await blocking_client.list_task_push_notification_configs(every)).configs) == [config]
    gone = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="hook")
    await blocking_client.delete_task_push_notification_config(gone)
    with pytest.raises(TaskNotFoundError):
        await blocking_client.get_task_push_notification_config(named)


async def test_each_of_several_addresses_gets_every_event(
    blocking_client: Client, receiver: Receiver, another_receiver: Receiver
) -> None:
    task = await send(blocking_client, "ask Who? && chunks 3")
    for name, of in (("one", receiver), ("two", another_receiver)):
        config = TaskPushNotificationConfig(task_id=task.id, id=name, url=of.url)
        await blocking_client.create_task_push_notification_config(config)
    await send(blocking_client, "Ada", task_id=task.id)
    told = []
    for of in (receiver, another_receiver):
        await asyncio.to_thread(of.wait_for_end, task.id)
        told.append({number: event for _, number, event in of.got})
    assert told[0] == told[1]
    assert all(len(event) == 1 for event in told[0].values())
    assert {kind for event in told[0].values() for kind in event} == {"statusUpdate", "artifactUpdate"}


async def test_secrets_of_a_configuration_are_in_no_log(
    blocking_client: Client, receiver: Receiver, mesh: Mesh
) -> None:
    wanted = request("echo done")
    secret = TaskPushNotificationConfig(
        id="hook",
        url=receiver.url,
        token="the-token-of-one",
        authentication=AuthenticationInfo(scheme="Bearer", credentials="the-key-of-one"),
    )
    wanted.configuration.task_push_notification_config.CopyFrom(secret)
    (response,) = [event async for event in blocking_client.send_message(wanted)]
    await asyncio.to_thread(receiver.wait_for_end, response.task.id)
    secret.url = "http://127.0.0.1:1/nobody"
    secret.task_id = (await send(blocking_client, "ask Who?")).id
    await blocking_client.create_task_push_notification_config(secret)
    await send(blocking_client, "Ada", task_id=secret.task_id)
    for text in (mesh.log(), json.dumps(mesh.audit())):
        assert not any(hidden in text for hidden in ("the-token-of-one", "the-key-of-one", KEY))


async def test_deleting_a_configuration_again_changes_nothing(
    blocking_client: Client, receiver: Receiver
) -> None:
    task = await send(blocking_client, "ask Who?")
    for name in ("one", "two"):
        config = TaskPushNotificationConfig(task_id=task.id, id=name, url=receiver.url)
        await blocking_client.create_task_push_notification_config(config)
    gone = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="one")
    for _ in range(3):
        await blocking_client.delete_task_push_notification_config(gone)
        every = ListTaskPushNotificationConfigsRequest(task_id=task.id)
        left = (await blocking_client.list_task_push_notification_configs(every)).configs
        assert [config.id for config in left] == ["two"]


async def test_a_private_address_is_refused(blocking_client: Client) -> None:
    task = await send(blocking_client, "ask Who?")
    for url in ("https://10.0.0.1/", "http://169.254.169.254/latest", "http://example.org/hook"):
        config = TaskPushNotificationConfig(task_id=task.id, id="hook", url=url)
        with pytest.raises(InvalidParamsError):
            await blocking_client.create_task_push_notification_config(config)


async def test_kill_9_loses_no_notification(
    start_mesh: Callable[..., Mesh], receiver: Receiver, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    mesh = start_mesh(CONFIG)
    receiver.refusing = True
    async with Rpc(mesh.agents["scripted"]) as rpc:
        configuration = {
            "returnImmediately": True,
            "taskPushNotificationConfig": {"id": "hook", "url": receiver.url},
        }
        params = user_message(f"chunks 3 && wait-file {file} && chunks 3") | {"configuration": configuration}
        task = (await rpc.result("SendMessage", params))["task"]["id"]
    mesh.kill()
    receiver.refusing = False
    file.touch()
    mesh.start()
    await asyncio.to_thread(receiver.wait_for_end, task)
    async with Rpc(mesh.agents["scripted"]) as rpc:
        assert receiver.numbers(task) == numbers(await rpc.events(task))


@pytest.fixture(scope="module")
def silent(start_shared_mesh: Callable[..., Mesh], key: None) -> Mesh:
    """A mesh without push notifications."""
    return start_shared_mesh(CONFIG | {"push": {"per_task": 0}})


async def test_an_agent_without_push_notifications_says_so(silent: Mesh) -> None:
    async with Rpc(silent.agents["scripted"]) as rpc:
        card = (await rpc.http.get("/.well-known/agent-card.json")).json()
        assert not card["capabilities"]["pushNotifications"]
        for operation in ("CreateTask{}", "GetTask{}", "ListTask{}s", "DeleteTask{}"):
            method = operation.format("PushNotificationConfig")
            assert (await rpc.error(method, {}))["code"] == -32003


async def test_the_official_client_is_refused_push_notifications_where_there_are_none(
    silent: Mesh, binding: str, receiver: Receiver
) -> None:
    async with connect(silent.agents["scripted"], binding, streaming=False) as client:
        task = await send(client, "ask Who?")
        for refused in (
            client.create_task_push_notification_config(
                TaskPushNotificationConfig(task_id=task.id, id="hook", url=receiver.url)
            ),
            client.get_task_push_notification_config(
                GetTaskPushNotificationConfigRequest(task_id=task.id, id="hook")
            ),
            client.list_task_push_notification_configs(
                ListTaskPushNotificationConfigsRequest(task_id=task.id)
            ),
            client.delete_task_push_notification_config(
                DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="hook")
            ),
        ):
            with pytest.raises(PushNotificationNotSupportedError):
                await refused


EXTENSION = "urn:agentmesh:a2a-extension:push-state:v1"


async def test_what_was_given_up_is_shown_and_tried_again_from_the_command_line(
    start_mesh: Callable[..., Mesh], receiver: Receiver
) -> None:
    mesh = start_mesh(CONFIG | {"push": CONFIG["push"] | {"retry_for": "1s"}})

    def agentmesh(*arguments: str) -> str:
        command = [binary("agentmesh"), *arguments, "--gateway", mesh.gateway]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    receiver.refusing = True
    async with Rpc(mesh.agents["scripted"]) as rpc:
        configuration = {"taskPushNotificationConfig": {"id": "hook", "url": receiver.url, "token": "shared"}}
        params = user_message("chunks 3 && echo done") | {"configuration": configuration}
        task = (await rpc.result("SendMessage", params))["task"]["id"]

        async def given_up() -> bool:
            asked = {"A2A-Version": "1.0", "A2A-Extensions": f"urn:other,{EXTENSION}"}
            body = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": task}}
            answer = (await rpc.http.post("/", json=body, headers=asked)).json()["result"]
            return EXTENSION in answer.get("metadata", {})

        def marked() -> bool:
            return "1 given up" in agentmesh("tasks")

        await asyncio.to_thread(eventually, marked, what="it is given up")
        assert await given_up()
        shown = agentmesh("task", task)
        assert "hook given up since" in shown
        assert "from event 1 on" in shown
        assert "shared" not in shown
        receiver.refusing = False
        assert json.loads(agentmesh("push", "retry", task, "-o", "json"))["retried"] == ["hook"]
        await asyncio.to_thread(receiver.wait_for_end, task)
        assert receiver.numbers(task) == numbers(await rpc.events(task))
        assert not await given_up()
    assert "given up" not in agentmesh("tasks")
