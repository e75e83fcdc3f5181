"""The prompts and resources that MCP's conformance suite asks for, by their names there."""

from __future__ import annotations

import json
import re

from mcp import MCPError
from reference_turns import INVALID_PARAMS, Ask, Result, Turn, elicitation

# One red pixel, and a sound of no length.
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg=="
SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="

RESOURCES: dict[str, Result] = {
    "test://static-text": {
        "mimeType": "text/plain",
        "text": "This is the content of the static text resource.",
    },
    "test://static-binary": {"mimeType": "image/png", "blob": IMAGE},
    "test://watched-resource": {"mimeType": "text/plain", "text": "watched"},
}
TEMPLATE = "test://template/{id}/data"
PROMPTS: dict[str, list[str]] = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}


def described_resources() -> list[Result]:
    return [
        {"uri": uri, "name": uri.removeprefix("test://"), "mimeType": content["mimeType"]}
        for uri, content in RESOURCES.items()
    ]


def described_templates() -> list[Result]:
    return [{"uriTemplate": TEMPLATE, "name": "template", "mimeType": "application/json"}]


def described_prompts() -> list[Result]:
    return [
        {
            "name": name,
            "description": f"The prompt {name}",
            "arguments": [
                {"name": argument, "description": f"The argument {argument}", "required": True}
                for argument in arguments
            ],
        }
        for name, arguments in PROMPTS.items()
    ]


def read(uri: str) -> Result:
    if content := RESOURCES.get(uri):
        return {"contents": [{"uri": uri} | content]}
    if found := re.fullmatch("test://template/([^/]+)/data", uri):
        value = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
        return {"contents": [{"uri": uri, "mimeType": "application/json", "text": json.dumps(value)}]}
    raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})


def said(*contents: Result) -> Result:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


def text(value: str) -> Result:
    return {"type": "text", "text": value}


def prompt(name: str, turn: Turn) -> Result | Ask:
    arguments = turn.arguments
    match name:
        case "test_simple_prompt":
            return said(text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            first, second = arguments.get("arg1"), arguments.get("arg2")
            return said(text(f"Prompt with arguments: arg1='{first}', arg2='{second}'"))
        case "test_prompt_with_embedded_resource":
            uri = arguments.get("resourceUri", "test://example-resource")
            content = {"uri": uri, "mimeType": "text/plain"}
            content["text"] = "Embedded resource content for testing."
            embedded = {"type": "resource", "resource": content}
            return said(embedded, text("Please process the embedded resource above."))
        case "test_prompt_with_image":
            image = {"type": "image", "data": IMAGE, "mimeType": "image/png"}
            return said(image, text("Please analyze the image above."))
        case "test_input_required_result_prompt":
            if "user_context" in turn.answers:
                return said(text("The context is known."))
            context = {"context": {"type": "string"}}
            return Ask({"user_context": elicitation("What context is it?", context, ["context"])})
    raise MCPError(INVALID_PARAMS, f"unknown prompt: {name}")
