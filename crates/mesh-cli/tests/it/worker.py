"""A small worker. Its argument names a rule that it breaks."""

import json
import os
import sys
import threading
import time

RULE = sys.argv[1] if len(sys.argv) > 1 else ""
LOCK = threading.Lock()
TASK_SECONDS = 0.0 if RULE == "fast" else 0.4
canceled: set[str] = set()
turn = threading.Lock()


def say(**message: object) -> None:
    with LOCK:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def work(task: str, attempt: int) -> None:
    if RULE == "one-at-a-time":
        turn.acquire()
    label = {"task": task} if RULE == "no-attempt" else {"task": task, "attempt": attempt}
    say(type="event", kind="status", text="at it", **label)
    say(type="call", id=1, tool="crm/get_customer", arguments={}, **label)
    if RULE == "prints":
        print("debugging", flush=True)
    end = time.monotonic() + (30 if RULE == "no-cancel" and len(seen) > 3 else TASK_SECONDS)
    while time.monotonic() < end and (task not in canceled or RULE == "no-cancel"):
        time.sleep(0.01)
    say(type="event", kind="token", text="done", **label)
    say(type="event", kind="state", state="canceled" if task in canceled else "completed", **label)
    if RULE == "two-ends":
        say(type="event", kind="state", state="failed", **label)
    if RULE == "talks-on":
        say(type="event", kind="status", text="and another thing", **label)
    if RULE == "one-at-a-time":
        turn.release()


seen: list[str] = []
if RULE == "print-first":
    print("Starting up …", flush=True)
say(type="hello", protocol=2 if RULE == "protocol-2" else 1, sdk="check/1")
for line in sys.stdin:
    message = json.loads(line)
    kind = message["type"]
    if kind == "config" and RULE == "fatal":
        say(type="fatal", message="module sales has no attribute crew", detail="Traceback")
        sys.exit(1)
    elif kind == "config" and RULE != "no-ready":
        say(type="ready", framework="none")
    elif kind == "ping":
        say(type="pong", id=message["id"])
    elif kind == "task":
        seen.append(message["task"])
        if RULE == "ping-after-task":
            work(message["task"], message["attempt"])
        else:
            threading.Thread(target=work, args=(message["task"], message["attempt"]), daemon=True).start()
    elif kind == "cancel":
        canceled.add(message["task"])
    elif kind == "from-the-future" and RULE == "dies-of-the-unknown":
        raise ValueError(kind)
if RULE == "stays":
    time.sleep(60)
os._exit(0)
