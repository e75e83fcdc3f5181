"""How a tool of the reference server asks its client something, in both generations of the protocol.

A tool returns `Ask`: what it wants to know, and what it wants to be told again then. To a modern client that
is the result `input_required`, and the client calls again. A client with a session is asked in mid-call.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mcp import MCPError
from mcp.types import SamplingMessage
from serving import MODERN

# Not a secret: whoever reads this may forge the state of a test server.
KEY = b"the key of a test server"
INVALID_PARAMS = -32602

Result = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """Questions by name, each a request to the client, and a state that comes back with the answers."""

    questions: Mapping[str, Result]
    state: str | None = None


@dataclass(frozen=True)
class Turn:
    """One call of a tool or prompt: its arguments, and the answers so far."""

    context: Any
    arguments: Mapping[str, Any]
    answers: Mapping[str, Result] = field(default_factory=dict)
    sealed: str | None = None

    @property
    def is_modern(self) -> bool:
        return self.context.protocol_version >= MODERN

    @property
    def capabilities(self) -> Result:
        """What the client says it can be asked."""
        declared = self.context.session.client_capabilities
        return declared.model_dump(by_alias=True, exclude_none=True) if declared else {}

    @property
    def state(self) -> str | None:
        """The state that came back, if it is ours."""
        if self.sealed is None:
            return None
        state, _, _ = self.sealed.rpartition(".")
        if not hmac.compare_digest(seal(state), self.sealed):
            raise MCPError(INVALID_PARAMS, "this requestState was not made here")
        return state

    async def log(self, text: str) -> None:
        await self.context.session.send_log_message(
            "info", text, logger="reference", related_request_id=self.context.request_id
        )

    async def ask(self, question: Result) -> Result:
        """Asks a client with a session, and waits."""
        session, params = self.context.session, question["params"]
        related = {"related_request_id": self.context.request_id}
        match question["method"]:
            case "roots/list":
                answer = await session.list_roots()
            case "elicitation/create":
                schema = params["requestedSchema"]
                answer = await session.elicit_form(params["message"], schema, **related)
            case _:
                messages = [SamplingMessage.model_validate(message) for message in params["messages"]]
                answer = await session.create_message(messages, max_tokens=params["maxTokens"], **related)
        return answer.model_dump(by_alias=True, exclude_none=True, mode="json")


Handler = Callable[[Turn], Awaitable[Result | Ask]]


def seal(state: str) -> str:
    return f"{state}.{hmac.new(KEY, state.encode(), hashlib.sha256).hexdigest()}"


def elicitation(message: str, properties: Result, required: list[str] | None = None) -> Result:
    schema: Result = {"type": "object", "properties": properties}
    if required is not None:
        schema["required"] = required
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


def sampling(prompt: str) -> Result:
    message = {"role": "user", "content": {"type": "text", "text": prompt}}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 100}}


ROOTS: Result = {"method": "roots/list", "params": {}}


async def answer(handler: Handler, context: Any, params: Any) -> Result:
    """The result of a call in the client's generation."""
    answers = {name: as_dict(value) for name, value in (params.input_responses or {}).items()}
    turn = Turn(context, params.arguments or {}, answers, params.request_state)
    outcome = await handler(turn)
    while isinstance(outcome, Ask) and not turn.is_modern:
        answers = {name: await turn.ask(question) for name, question in outcome.questions.items()}
        turn = replace(turn, answers=answers, sealed=seal(outcome.state) if outcome.state else None)
        outcome = await handler(turn)
    if isinstance(outcome, Ask):
        result: Result = {"resultType": "input_required", "inputRequests": dict(outcome.questions)}
        return result | ({"requestState": seal(outcome.state)} if outcome.state else {})
    return of_revision(context, outcome)


def of_revision(context: Any, result: Result) -> Result:
    """Only the newest revision says what kind of result it is."""
    return {"resultType": "complete"} | result if context.protocol_version >= MODERN else result


def as_dict(value: Any) -> Any:
    return value.model_dump(by_alias=True, exclude_none=True) if hasattr(value, "model_dump") else value
