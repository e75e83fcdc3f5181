"""Where an earlier attempt at a task left its graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TASK_KEY = "agentmesh_task"
USED_ANSWERS_KEY = "agentmesh_used_answers"
_RESUME_CHANNEL = "__resume__"
# The pseudo task under which LangGraph notes a resume value before the waiting node has taken it.
_NO_TASK = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Restored:
    """The state to go on from: `questions` are open, `used_answers` were taken by nodes."""

    values: Any
    questions: list[Any]
    used_answers: int
    finished: bool


async def restore(graph: Any, config: dict[str, Any], task_id: str) -> Restored | None:
    """What an earlier attempt at this very task left, or None when the thread has other things in it."""
    snapshot = await graph.aget_state(config)
    metadata = snapshot.metadata or {}
    if metadata.get(TASK_KEY) != task_id:
        return None
    questions = [question for task in snapshot.tasks for question in task.interrupts]
    used = int(metadata.get(USED_ANSWERS_KEY, 0))
    if questions:
        used += await _answers_taken_since(graph, snapshot.config)
    return Restored(snapshot.values, questions, used, finished=not snapshot.next)


async def _answers_taken_since(graph: Any, config: dict[str, Any]) -> int:
    # A node that asks twice takes its first answer without a new checkpoint: the answer is a pending write.
    saved = await graph.checkpointer.aget_tuple(config)
    writes = (saved.pending_writes if saved is not None else None) or ()
    return sum(
        len(value) if isinstance(value, list) else 1
        for task_id, channel, value in writes
        if channel == _RESUME_CHANNEL and task_id != _NO_TASK
    )
