"""The tools that MCP's conformance suite calls, by their names there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from mcp import MCPError
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ToolsListChanged
from reference_content import IMAGE, SOUND
from reference_turns import ROOTS, Ask, Handler, Result, Turn, elicitation, sampling

MISSING_CAPABILITY = -32021
TEXT: Result = {"type": "string"}
NAME = {"name": TEXT}

# What listeners are told of; one for the whole server.
BUS = InMemorySubscriptionBus()
DEFINITIONS: list[Result] = []
HANDLERS: dict[str, Handler] = {}


def tool(name: str, schema: Result | None = None) -> Callable[[Handler], Handler]:
    """Adds a tool; what it says of itself is the first line of the function's text."""

    def add(handler: Handler) -> Handler:
        description = (handler.__doc__ or name).partition("\n")[0]
        definition = {"name": name, "description": description, "inputSchema": schema or {"type": "object"}}
        DEFINITIONS.append(definition)
        HANDLERS[name] = handler
        return handler

    return add


def takes(**properties: Result) -> Result:
    return {"type": "object", "properties": properties, "required": list(properties)}


def text(value: str) -> Result:
    return {"type": "text", "text": value}


def result(*content: Result) -> Result:
    return {"content": list(content)}


def image() -> Result:
    return {"type": "image", "data": IMAGE, "mimeType": "image/png"}


# --- Content


@tool("test_simple_text")
async def simple_text(_: Turn) -> Result:
    """Answers with text."""
    return result(text("This is a simple text response for testing."))


@tool("test_image_content")
async def image_content(_: Turn) -> Result:
    """Answers with an image."""
    return result(image())


@tool("test_audio_content")
async def audio_content(_: Turn) -> Result:
    """Answers with a sound."""
    return result({"type": "audio", "data": SOUND, "mimeType": "audio/wav"})


@tool("test_embedded_resource")
async def embedded_resource(_: Turn) -> Result:
    """Answers with a resource."""
    uri = "test://embedded-resource"
    resource = {"uri": uri, "mimeType": "text/plain", "text": "This is an embedded resource content."}
    return result({"type": "resource", "resource": resource})


@tool("test_multiple_content_types")
async def several_types(_: Turn) -> Result:
    """Answers with text, an image and a resource."""
    resource = {"uri": "test://mixed-content-resource", "mimeType": "application/json"}
    resource["text"] = json.dumps({"test": "data", "value": 123})
    return result(text("Multiple content types test:"), image(), {"type": "resource", "resource": resource})


@tool("test_error_handling")
async def error_handling(_: Turn) -> Result:
    """Fails, and says so in its result."""
    return result(text("This tool intentionally returns an error for testing")) | {"isError": True}


@tool("echo", takes(message=TEXT))
async def echo(turn: Turn) -> Result:
    """Answers with what it is told."""
    return result(text(str(turn.arguments["message"])))


# --- On the way


@tool("test_tool_with_logging")
async def with_logging(turn: Turn) -> Result:
    """Logs three lines."""
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await turn.log(line)
        await asyncio.sleep(0.05)
    return result(text("logged"))


tool("test_logging_tool")(with_logging)


@tool("test_tool_with_progress")
async def with_progress(turn: Turn) -> Result:
    """Reports progress three times."""
    for share in (0, 50, 100):
        await turn.context.session.report_progress(share, 100, f"{share} of 100")
        await asyncio.sleep(0.05)
    return result(text("done"))


@tool("test_reconnection")
async def reconnection(turn: Turn) -> Result:
    """Closes the stream of its call before it answers."""
    if turn.context.close_sse_stream is not None:
        await turn.context.close_sse_stream()
    # Long enough for the client to notice.
    await asyncio.sleep(0.3)
    return result(text("Reconnection test completed successfully"))


@tool("test_trigger_tool_change")
async def tool_change(_: Turn) -> Result:
    """Tells listeners that the tools changed."""
    await BUS.publish(ToolsListChanged())
    return result(text("told"))


@tool("test_trigger_prompt_change")
async def prompt_change(_: Turn) -> Result:
    """Tells listeners that the prompts changed."""
    await BUS.publish(PromptsListChanged())
    return result(text("told"))


@tool("test_custom_header", takes(value={"type": "string", "x-mcp-header": "Value"}))
async def custom_header(turn: Turn) -> Result:
    """Takes an argument that also travels as a header."""
    return result(text(str(turn.arguments["value"])))


@tool("test_missing_capability")
async def missing_capability(turn: Turn) -> Result:
    """Needs a client that samples."""
    if "sampling" not in turn.capabilities:
        needed = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_CAPABILITY, "this tool needs a client that samples", needed)
    return result(text("the client samples"))


# --- Questions to the client


@tool("test_sampling", takes(prompt=TEXT))
async def sample(turn: Turn) -> Result | Ask:
    """Asks the client's model."""
    if "model" not in turn.answers:
        return Ask({"model": sampling(turn.arguments["prompt"])})
    content = turn.answers["model"].get("content") or {}
    return result(text(f"LLM response: {content.get('text', '')}"))


async def elicit(
    turn: Turn, begin: str, properties: Result, required: list[str] | None = None
) -> Result | Ask:
    if "user" not in turn.answers:
        message = turn.arguments.get("message", "Please fill this in")
        return Ask({"user": elicitation(message, properties, required)})
    answer = turn.answers["user"]
    content = json.dumps(answer.get("content") or {})
    return result(text(f"{begin}: action={answer.get('action')}, content={content}"))


@tool("test_elicitation", takes(message=TEXT))
async def elicit_form(turn: Turn) -> Result | Ask:
    """Asks the user for a name and an address."""
    fields = {
        "username": TEXT | {"description": "User's response"},
        "email": TEXT | {"description": "E-mail"},
    }
    return await elicit(turn, "User response", fields, ["username", "email"])


@tool("test_elicitation_sep1034_defaults")
async def elicit_defaults(turn: Turn) -> Result | Ask:
    """Asks the user with a default for each kind of value."""
    states = ["active", "inactive", "pending"]
    fields = {
        "name": TEXT | {"default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": TEXT | {"enum": states, "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await elicit(turn, "Elicitation completed", fields)


@tool("test_elicitation_sep1330_enums")
async def elicit_enums(turn: Turn) -> Result | Ask:
    """Asks the user to choose, in each way that there is to write a choice."""

    def titled(*titles: str) -> list[Result]:
        return [{"const": f"value{n}", "title": title} for n, title in enumerate(titles, 1)]

    options = ["option1", "option2", "option3"]
    fields = {
        "untitledSingle": TEXT | {"enum": options},
        "titledSingle": TEXT | {"oneOf": titled("First Option", "Second Option", "Third Option")},
        "legacyEnum": TEXT
        | {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]},
        "untitledMulti": {"type": "array", "items": TEXT | {"enum": options}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")},
        },
    }
    return await elicit(turn, "Elicitation completed", fields)


@tool("test_input_required_result_elicitation")
async def ask_name(turn: Turn) -> Result | Ask:
    """Asks for a name until there is one."""
    name = ((turn.answers.get("user_name") or {}).get("content") or {}).get("name")
    if not isinstance(name, str):
        return Ask({"user_name": elicitation("What is your name?", NAME, ["name"])})
    return result(text(f"Hello, {name}!"))


tool("test_streaming_elicitation")(ask_name)


@tool("test_input_required_result_sampling")
async def ask_model(turn: Turn) -> Result | Ask:
    """Asks the client's model for a capital."""
    if "capital_question" not in turn.answers:
        return Ask({"capital_question": sampling("What is the capital of France?")})
    return result(text(json.dumps(turn.answers["capital_question"].get("content"))))


@tool("test_input_required_result_list_roots")
async def ask_roots(turn: Turn) -> Result | Ask:
    """Asks for the client's roots."""
    if "client_roots" not in turn.answers:
        return Ask({"client_roots": ROOTS})
    roots = turn.answers["client_roots"].get("roots", [])
    return result(text("roots: " + ", ".join(str(root.get("uri")) for root in roots)))


@tool("test_input_required_result_request_state")
async def with_state(turn: Turn) -> Result | Ask:
    """Wants its state back, unchanged."""
    if turn.state is None:
        confirm = elicitation("Please confirm", {"ok": {"type": "boolean"}}, ["ok"])
        return Ask({"confirm": confirm}, "confirming")
    return result(text("state-ok"))


tool("test_input_required_result_tampered_state")(with_state)


@tool("test_input_required_result_multiple_inputs")
async def ask_everything(turn: Turn) -> Result | Ask:
    """Asks three things at once."""
    questions = {
        "user_name": elicitation("What is your name?", NAME, ["name"]),
        "greeting": sampling("Generate a greeting"),
        "client_roots": ROOTS,
    }
    if turn.state is None or not questions.keys() <= turn.answers.keys():
        return Ask(questions, "everything")
    return result(text("all inputs received"))


@tool("test_input_required_result_multi_round")
async def ask_twice(turn: Turn) -> Result | Ask:
    """Asks for a name, then for a colour."""
    if turn.state == "name" and "step1" in turn.answers:
        color = elicitation("Step 2: What is your favorite color?", {"color": TEXT}, ["color"])
        return Ask({"step2": color}, "color")
    if turn.state == "color" and "step2" in turn.answers:
        return result(text("both rounds are over"))
    return Ask({"step1": elicitation("Step 1: What is your name?", NAME, ["name"])}, "name")


@tool("test_input_required_result_capabilities")
async def ask_what_it_can(turn: Turn) -> Result | Ask:
    """Asks only what the client says it can answer."""
    possible = {
        "elicitation": elicitation("Who are you?", NAME, ["name"]),
        "sampling": sampling("Say hello"),
        "roots": ROOTS,
    }
    asked = {name: question for name, question in possible.items() if name in turn.capabilities}
    if asked and not turn.answers:
        return Ask(asked)
    return result(text("done"))


# --- Schemas

ADDRESS = {"$anchor": "addressDef", "type": "object", "properties": {"street": TEXT, "city": TEXT}}
CONTACT: Result = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": ADDRESS},
    "properties": {
        "name": TEXT,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": TEXT | {"enum": ["phone", "email"]},
        "phone": TEXT,
        "email": TEXT,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@tool("json_schema_2020_12_tool", CONTACT)
async def with_schema(turn: Turn) -> Result:
    """Has a schema with every keyword that a gateway might lose."""
    return result(text(json.dumps(dict(turn.arguments))))


def schema_of(name: str) -> Any:
    """What the SDK checks `Mcp-Param-` headers against."""
    return next((tool["inputSchema"] for tool in DEFINITIONS if tool["name"] == name), None)
