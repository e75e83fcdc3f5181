"""Which version of the protocol is spoken, and what errors look like on the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mesh import Mesh
from wire import Rpc, user_message

VERSION_NOT_SUPPORTED = -32009


@pytest.fixture
async def bare(mesh: Mesh) -> AsyncIterator[Rpc]:
    """A client that says no version."""
    async with Rpc(mesh.agents["scripted"], version=None) as rpc:
        yield rpc


@pytest.mark.parametrize("version", ["1.0", "1.0.1", "1.0.99"])
async def test_one_point_zero_is_spoken_whatever_its_patch(bare: Rpc, version: str) -> None:
    answer = await bare.answer("SendMessage", user_message("bench"), headers={"A2A-Version": version})
    assert answer["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"


@pytest.mark.parametrize("version", ["0.3", "1.1", "2.0", "10.0", "99.0", "1", "v1.0", "banana"])
async def test_other_versions_are_refused_by_name(bare: Rpc, version: str) -> None:
    error = await bare.error("SendMessage", user_message("bench"), headers={"A2A-Version": version})
    assert error["code"] == VERSION_NOT_SUPPORTED
    assert version in error["message"]


async def test_a_refused_version_changes_nothing(bare: Rpc, rpc: Rpc) -> None:
    params = user_message("bench", contextId="refused")
    await bare.error("SendMessage", params, headers={"A2A-Version": "99.0"})
    assert (await rpc.result("ListTasks", {"contextId": "refused"}))["totalSize"] == 0


@pytest.mark.parametrize("headers", [{}, {"A2A-Version": ""}], ids=["absent", "empty"])
async def test_without_a_version_a_request_means_zero_point_three(bare: Rpc, headers: dict) -> None:
    error = await bare.error("SendMessage", user_message("bench"), headers=headers)
    assert error["code"] == VERSION_NOT_SUPPORTED
    assert "`A2A-Version: 1.0`" in error["message"]
    refused = await bare.http.get("/tasks", headers=headers)
    assert refused.status_code == 400
    assert refused.json()["error"]["details"][0]["reason"] == "VERSION_NOT_SUPPORTED"


async def test_without_a_version_a_method_of_zero_point_three_means_that(bare: Rpc) -> None:
    error = await bare.error("message/send", user_message("bench"))
    assert error["code"] == -32602
    message = user_message("bench")["message"] | {
        "role": "user",
        "parts": [{"kind": "text", "text": "bench"}],
    }
    task = await bare.result("message/send", {"message": message})
    assert (task["kind"], task["status"]["state"]) == ("task", "completed")


async def test_the_version_may_be_a_query_parameter(bare: Rpc) -> None:
    answer = await bare.answer("ListTasks", {}, path="/?A2A-Version=1.0")
    assert "result" in answer
    error = await bare.error("ListTasks", {}, path="/?A2A-Version=99.0")
    assert error["code"] == VERSION_NOT_SUPPORTED


@pytest.mark.parametrize(
    ("method", "params", "code", "reason"),
    [
        ("SendMessage", user_message("bench"), VERSION_NOT_SUPPORTED, "VERSION_NOT_SUPPORTED"),
        ("GetTask", {"id": "nobody"}, -32001, "TASK_NOT_FOUND"),
        ("GetExtendedAgentCard", {}, -32004, "UNSUPPORTED_OPERATION"),
        ("DeleteTaskPushNotificationConfig", {"taskId": "nobody", "id": "x"}, -32001, "TASK_NOT_FOUND"),
    ],
)
async def test_an_error_carries_its_reason_for_programs(
    bare: Rpc, method: str, params: dict, code: int, reason: str
) -> None:
    version = "99.0" if code == VERSION_NOT_SUPPORTED else "1.0"
    error = await bare.error(method, params, headers={"A2A-Version": version})
    assert error["code"] == code
    (info,) = [d for d in error["data"] if d["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"]
    assert (info["reason"], info["domain"]) == (reason, "a2a-protocol.org")


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({}, "message"),
        ({"message": {}}, "message"),
        (user_message("bench", messageId=""), "messageId"),
        (user_message("bench", messageId="x" * 1000), "messageId"),
        (user_message("bench", role="ROLE_AGENT"), "role"),
        (user_message("bench", role="user"), "expected `ROLE_USER`"),
        (user_message("bench", parts=[]), "parts"),
        (user_message("bench", parts=[{}]), "part"),
        (user_message("bench", parts=[{"text": "a", "url": "b"}]), "part"),
        (user_message("bench", parts="x"), "expected a sequence at line 1 column"),
        (user_message("bench") | {"configuration": {"historyLength": -1}}, "historyLength"),
    ],
)
async def test_wrong_parameters_are_refused_with_the_place(rpc: Rpc, params: dict, where: str) -> None:
    error = await rpc.error("SendMessage", params)
    assert error["code"] == -32602
    assert where in error["message"]


async def test_an_unknown_method_is_named(rpc: Rpc) -> None:
    error = await rpc.error("SendMassage", {})
    assert error["code"] == -32601
    assert "SendMassage" in error["message"]
