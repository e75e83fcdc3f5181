"""Between texts and what graphs take and give: inputs, messages, questions, results."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentmesh.errors import LoadError

_TEXT_INPUTS = ("request", "message", "input", "text", "question", "query", "task", "topic")
_TEXT_OUTPUTS = ("response", "output", "answer", "result", "text")
_QUESTION_TEXTS = ("question", "message", "text", "description")
_YES = frozenset({"approve", "approved", "yes", "y", "ok"})


def input_builder(graph: Any) -> Callable[[str], Any]:
    """How a task's text becomes the graph's input: as a message, or as the one text field it knows."""
    fields = _input_fields(graph)
    if fields is None:
        return lambda text: text
    if not fields or "messages" in fields:
        return lambda text: {"messages": [{"role": "user", "content": text}]}
    for name in _TEXT_INPUTS:
        if name in fields:
            return lambda text, name=name: {name: text}  # type: ignore[misc]
    raise LoadError(
        f"the graph's input has the fields {', '.join(fields)}: "
        f"a task's text needs `messages` or one of {', '.join(_TEXT_INPUTS)}"
    )


def _input_fields(graph: Any) -> list[str] | None:
    """The fields of a graph's input, or None when its input is the text itself."""
    builder = getattr(graph, "builder", None)
    if builder is not None:
        # Not the JSON schema: making one fails for typing.TypedDict before Python 3.12.
        return list(builder.schemas[builder.input_schema])
    schema = graph.get_input_jsonschema()
    return None if schema.get("type") == "string" else list(schema.get("properties") or ())


def token_text(message: Any) -> str:
    """The text of a streamed piece of a model's answer; empty for every other message."""
    return _message_text(message) if type(message).__name__ == "AIMessageChunk" else ""


def tool_names(update: Any) -> list[str]:
    """The tools that a model asks for in a node's update."""
    messages = update.get("messages") if isinstance(update, dict) else None
    if not isinstance(messages, list):
        return []
    return [call["name"] for message in messages for call in getattr(message, "tool_calls", None) or ()]


def final_text(values: Any) -> str:
    """The answer in a graph's final state."""
    if isinstance(values, str):
        return values
    if not isinstance(values, dict):
        return "" if values is None else _json(values)
    messages = values.get("messages")
    if messages:
        return _message_text(messages[-1])
    for name in _TEXT_OUTPUTS:
        if isinstance(values.get(name), str):
            return str(values[name])
    return _json({name: value for name, value in values.items() if not name.startswith("__")})


def question_text(value: Any) -> str:
    """The text of an interrupt."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        if isinstance(value.get("action_requests"), list):
            actions = "; ".join(str(a.get("description") or a.get("name")) for a in value["action_requests"])
            return f"Approve? {actions}"
        for name in _QUESTION_TEXTS:
            if isinstance(value.get(name), str):
                return str(value[name])
    return _json(value)


def resume_value(question: Any, answer: str) -> Any:
    """What the interrupted node gets for an answer: a JSON object as such, any other answer as text.

    LangChain's approval step gets its decisions: yes approves, anything else rejects with that text.
    """
    if answer.lstrip().startswith("{"):
        try:
            return json.loads(answer)
        except ValueError:
            return answer
    if isinstance(question, dict) and isinstance(question.get("action_requests"), list):
        yes = answer.strip().lower() in _YES
        decision = {"type": "approve"} if yes else {"type": "reject", "message": answer}
        return {"decisions": [decision] * len(question["action_requests"])}
    return answer


def _message_text(message: Any) -> str:
    content = message.get("content", "") if isinstance(message, dict) else message.content
    if isinstance(content, str):
        return content
    blocks = [block if isinstance(block, str) else block.get("text", "") for block in content]
    return "".join(text for text in blocks if isinstance(text, str))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
