"""Signed cards (docs/cards.md): the official SDK verifies ours, and we verify the official SDK's."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from a2a.client import A2ACardResolver, ClientConfig, create_client
from a2a.client.client import ClientCallContext
from a2a.client.service_parameters import ServiceParametersFactory, with_a2a_extensions
from a2a.types import AgentCard, AgentSkill, GetExtendedAgentCardRequest
from a2a.utils.signing import (
    InvalidSignaturesError,
    ProtectedHeader,
    create_agent_card_signer,
    create_signature_verifier,
)
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from google.protobuf.json_format import MessageToDict
from jwt import PyJWK

from mesh import Mesh, binary, scripted_agent
from official import request
from wire import PATIENCE

EVENT_LOG = "urn:agentmesh:a2a-extension:event-log:v1"
ALGORITHMS = ["ES256", "EdDSA", "RS256"]


def new_key(algorithm: str) -> Any:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def pem(key: Any) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def published(kid: str | None, jku: str | None) -> PyJWK:
    """The key, from where the signature says that it is."""
    assert jku
    keys = httpx.get(jku).json()["keys"]
    return PyJWK.from_dict(next(key for key in keys if key["kid"] == kid))


VERIFY = create_signature_verifier(published, ALGORITHMS)


@pytest.fixture(scope="module", params=ALGORITHMS)
def signed(
    request: pytest.FixtureRequest,
    start_shared_mesh: Callable[..., Mesh],
    tmp_path_factory: pytest.TempPathFactory,
) -> Mesh:
    """A mesh whose agent signs its card, with all that a card can say in it."""
    file = tmp_path_factory.mktemp("key") / "card.pem"
    file.write_text(pem(new_key(request.param)))
    card = {
        "description": "Grüße, 你好 😀 <&>\u2028",
        "skills": [{"id": "bare"}, {"id": "full", "description": "x", "tags": ["t"], "examples": ["e"]}],
        "provider": {"organization": "Ours", "url": "https://example.com"},
        "extensions": [
            {
                "uri": "urn:x",
                "params": {"empty": "", "none": None, "number": 0.1, "big": 1e21, "deep": {"a": []}},
            }
        ],
        "extended": {"description": "For partners", "skills": [{"id": "discount"}]},
        "signing": {"key_file": str(file)},
    }
    return start_shared_mesh({"agents": {"scripted": scripted_agent(card=card)}})


async def resolved(mesh: Mesh, **headers: str) -> AgentCard:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        resolver = A2ACardResolver(http, mesh.agents["scripted"])
        return await resolver.get_agent_card(http_kwargs={"headers": headers}, signature_verifier=VERIFY)


@pytest.mark.parametrize("version", ["", "1.0", "0.3"])
async def test_the_official_sdk_verifies_the_card_in_every_form(signed: Mesh, version: str) -> None:
    card = await resolved(signed, **({"A2A-Version": version} if version else {}))
    assert card.skills[0].description == "bare"
    card.name = "Somebody else"
    with pytest.raises(InvalidSignaturesError):
        VERIFY(card)


@pytest.mark.parametrize("binding", ["JSONRPC", "HTTP+JSON", "GRPC"])
async def test_the_official_sdk_verifies_the_extended_card(signed: Mesh, binding: str) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        config = ClientConfig(
            httpx_client=http,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=[binding],
        )
        async with await create_client(signed.agents["scripted"], config) as client:
            card = await client.get_extended_agent_card(
                GetExtendedAgentCardRequest(), signature_verifier=VERIFY
            )
    assert card.description == "For partners"
    assert [skill.id for skill in card.skills] == ["bare", "full", "discount"]


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [binary("agentmesh"), "card", "verify", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_our_own_command_verifies_it_too(signed: Mesh) -> None:
    done = verify(signed.agents["scripted"])
    assert done.returncode == 0, done.stderr


@pytest.fixture
def serve() -> Iterator[Callable[[AgentCard], str]]:
    """Serves a card."""
    servers = []

    def start(card: AgentCard) -> str:
        body = json.dumps(MessageToDict(card)).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_card_that_the_official_sdk_signed_is_verified(
    algorithm: str, serve: Callable[[AgentCard], str], tmp_path: Path
) -> None:
    key = new_key(algorithm)
    card = AgentCard(name="Theirs", description="", version="1", skills=[AgentSkill(id="s", name="s")])
    card.capabilities.streaming = False
    header = ProtectedHeader(kid="k", alg=algorithm, jku=None, typ="JOSE")
    create_agent_card_signer(pem(key), header)(card)
    public = tmp_path / "public.pem"
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    done = verify(serve(card), "--key", str(public))
    assert done.returncode == 0, done.stderr
    card.skills[0].name = "t"
    assert verify(serve(card), "--key", str(public)).returncode == 1


async def test_the_official_client_sees_the_numbers_of_events_over_grpc(signed: Mesh) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        config = ClientConfig(
            httpx_client=http,
            grpc_channel_factory=grpc.aio.insecure_channel,
            supported_protocol_bindings=["GRPC"],
        )
        async with await create_client(signed.agents["scripted"], config) as client:
            parameters = ServiceParametersFactory.create([with_a2a_extensions([EVENT_LOG])])
            context = ClientCallContext(service_parameters=parameters)
            numbers = []
            async for event in client.send_message(request("chunks 5"), context=context):
                told = getattr(event, event.WhichOneof("payload"))
                numbers.append(told.metadata[EVENT_LOG]["event"])
    assert numbers == list(range(1, len(numbers) + 1))
