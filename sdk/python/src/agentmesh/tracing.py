"""Trace context for what a worker sends on its own, which is requests to its model."""

from __future__ import annotations

from agentmesh.task import find_current_task


def trace_headers() -> dict[str, str]:
    """The W3C trace header of the current task; empty outside a task, or where the host traces nothing."""
    task = find_current_task()
    return {"traceparent": task.traceparent} if task is not None and task.traceparent else {}
