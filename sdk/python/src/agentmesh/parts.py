"""A2A parts: what messages and artifacts are made of."""

from __future__ import annotations

import base64
import json
from typing import Any

Part = dict[str, Any]


def make_parts(content: Any) -> list[Part]:
    """The parts of a value: text for a string, raw for bytes, data for anything else that is JSON."""
    if isinstance(content, str):
        return [{"text": content}]
    if isinstance(content, (bytes, bytearray)):
        return [{"raw": base64.b64encode(content).decode("ascii")}]
    return [{"data": content}]


def parts_text(parts: Any) -> str:
    """The text of parts (or of MCP content blocks), data as JSON; what has no text form is left out."""
    if not isinstance(parts, list):
        return ""
    texts = [_part_text(part) for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if text)


def artifact_text(parts: Any) -> str:
    """The text of an artifact: a streamed one has a part for each piece, so parts follow without a break."""
    if not isinstance(parts, list):
        return ""
    return "".join(_part_text(part) for part in parts if isinstance(part, dict))


def _part_text(part: Part) -> str:
    # MCP keeps the text of an embedded resource one level down.
    resource = part.get("resource")
    text = resource.get("text") if isinstance(resource, dict) else part.get("text")
    if isinstance(text, str):
        return text
    if "data" in part and part.get("type") is None:
        return json.dumps(part["data"], ensure_ascii=False)
    return ""
