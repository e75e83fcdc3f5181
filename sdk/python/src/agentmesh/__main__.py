"""`python -m agentmesh module:attribute` runs a worker. It is the host that starts it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile

from agentmesh.channel import Channel
from agentmesh.loader import KINDS
from agentmesh.worker import Worker


def take_standard_streams() -> Channel:
    """Moves the protocol to file descriptors of its own.

    Afterwards what user code prints goes to standard error, and what it reads from standard input is empty.
    """
    read_fd, write_fd = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return Channel(read_fd, write_fd)


def prepare_environment() -> None:
    """Settings that frameworks read while they are imported."""
    os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("CREWAI_DISABLE_TRACKING", "true")
    if not any(name.startswith("OTEL_EXPORTER_") for name in os.environ):
        os.environ.setdefault("OTEL_SDK_DISABLED", "true")
    # CrewAI fails at import where HOME cannot be written, as in a container with a read-only root.
    home = os.path.expanduser("~")
    if not os.access(home, os.W_OK):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="agentmesh-home-")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m agentmesh",
        description="Run an agent as a worker of an Agent Mesh host (worker protocol 1 on standard streams).",
    )
    parser.add_argument("agent", metavar="module:attribute", help="the agent, as in sales:crew")
    parser.add_argument(
        "--kind", choices=KINDS, default="auto", help="what the agent is (default: look at it)"
    )
    arguments = parser.parse_args()

    if not sys.stdin.isatty():
        # Ctrl-C reaches the whole terminal group; the host drains first and then closes standard input.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = take_standard_streams()
    prepare_environment()
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    return Worker(channel, arguments.agent, arguments.kind).run()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Not sys.exit: threads of the agent's frameworks must not keep the process.
    os._exit(code)
