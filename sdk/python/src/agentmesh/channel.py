"""Framing: one JSON object a line, from the host and to the host."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from typing import Any

from agentmesh.errors import LineTooLong, ProtocolError

DEFAULT_LINE_BYTES = 16 * 1024 * 1024

Message = dict[str, Any]


def encode(message: Mapping[str, Any]) -> bytes:
    """The line of a message. Raises TypeError or ValueError when the message is not JSON."""
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate has no UTF-8 form and its escape is refused by strict parsers: it becomes "?".
    return text.encode("utf-8", errors="replace") + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line. Raises ProtocolError when it is not one."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the host sent a line that is not JSON: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("the host sent a line that is not an object with a string `type`")
    return message


class Channel:
    """The two streams to the host. `send` may be called from any thread, `receive` from one."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._reader = os.fdopen(read_fd, "rb", buffering=1 << 16)
        self._write_fd = write_fd
        self._write_lock = threading.Lock()
        self.line_bytes = DEFAULT_LINE_BYTES

    def send(self, message: Mapping[str, Any], limit: int | None = None) -> None:
        """Writes one message. Raises LineTooLong instead of breaking the protocol."""
        line = encode(message)
        allowed = self.line_bytes if limit is None else limit
        if len(line) > allowed:
            raise LineTooLong(
                f"{message.get('kind') or message.get('type')} of {len(line)} bytes exceeds the limit of "
                f"{allowed} bytes: send it in parts, or raise the limits in the mesh file"
            )
        with self._write_lock:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._write_fd, rest) :]

    def receive(self) -> Message | None:
        """The next message, or None at the end of the stream (a last line without its end included)."""
        while True:
            line = self._reader.readline(self.line_bytes + 1)
            if not line.endswith(b"\n"):
                if len(line) > self.line_bytes:
                    raise ProtocolError(f"the host sent a line of more than {self.line_bytes} bytes")
                return None
            if line.strip():
                return decode(line)
