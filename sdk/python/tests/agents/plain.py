"""Agents of the tests. They print on purpose: nothing of it may reach the protocol."""

import asyncio
import os
import subprocess
import sys
import threading
import time

import agentmesh

print("printed while loading")


async def story(task):
    """Tells a story.

    In this second paragraph nobody is interested.
    """
    print("printed while working")
    os.write(1, b"written to file descriptor 1\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    task.status("planning")
    total = await task.call_tool("add", a=2, b=40)
    name = yield task.ask(f"total is {total}; who is it for?")
    for word in ("hello ", name):
        yield word
    task.artifact(f"{name}: {total}", name="result")


async def echo(task):
    return f"{task.text} in {task.context_id}, attempt {task.attempt}"


def blocking(task):
    sum_ = task.call_tool_blocking("math/add", a=1, b=1)
    return {"sum": sum_, "thread": threading.current_thread() is not threading.main_thread()}


def blocking_generator(task):
    yield "one "
    answer = yield task.ask("two?")
    yield answer
    return "settled"


async def asker(task):
    first = await task.ask("first?")
    second = await task.ask("second?")
    return f"{first} {second}"


async def caller(task):
    try:
        return await task.call_tool(task.text)
    except agentmesh.ToolError as error:
        return f"{error.target}: {error.code}: {error}"


async def discoverer(task):
    tools = await task.discover_tools(category="crm", query="a customer")
    result = await task.call_tool(tool_name=tools[0].name, parameters={"customer_id": "C-1"})
    found = await asyncio.to_thread(task.discover_tools_blocking)
    return f"{result} {len(found)}"


async def mistaken(task):
    try:
        await task.call_tool(tool="x")
    except TypeError as error:
        return str(error)


async def delegator(task):
    return await task.call_agent("marketing", task.text)


async def many_calls(task):
    results = await asyncio.gather(*(task.call_tool("math/echo", n=n) for n in range(50)))
    return " ".join(str(result["n"]) for result in results)


async def sleeper(task):
    try:
        task.status("sleeping")
        await asyncio.Event().wait()
    finally:
        print("cleaned up")


def blocked_in_a_call(task):
    task.call_tool_blocking("math/never")


def watchful(task):
    task.status("watching")
    while not task.canceled:
        time.sleep(0.001)
    task.status("not heard any more")


def hog(task):
    task.status("busy")
    while True:
        sum(range(1000))


async def broken(task):
    raise ValueError("the password is swordfish")


async def fails(task):
    raise agentmesh.TaskFailed("there is no such customer")


async def rejects(task):
    raise agentmesh.TaskRejected("not my business")


async def exits(task):
    sys.exit(3)


async def too_much(task):
    try:
        task.artifact("x" * int(task.text))
    except agentmesh.MeshError as error:
        return str(error)


async def speaks_too_late(task):
    async def later():
        await asyncio.sleep(0)
        try:
            task.status("late")
        except agentmesh.MeshError as error:
            print(f"refused: {error}")

    task.background = asyncio.create_task(later())


async def shapes(task):
    task.artifact(b"\x00\x01", name="raw")
    task.artifact({"a": 1}, name="data")
    task.artifact(parts=[{"url": "https://example.invalid/x"}])
    task.artifact("more", artifact_id="log", append=True, last=False)
    task.status({"step": 1})
    task.token("broken \ud800 surrogate")


class Callable:
    async def __call__(self, task):
        return "called"


instance = Callable()
not_an_agent = 42
leftover_input = sys.stdin.read()


async def reads_stdin(task):
    return f"stdin was {leftover_input!r}"


async def remembers(task):
    """Does with the memory what the text says."""
    memory = task.memory
    match task.text.split():
        case ["get", key]:
            return repr(await memory.get(key, "nothing"))
        case ["set", key, value, *expect]:
            try:
                return str(await memory.set(key, value, expect=int(expect[0]) if expect else None))
            except agentmesh.MemoryConflict as error:
                return f"{error.target}: {error.code}: it is at {error.actual}"
        case ["delete", key]:
            await memory.delete(key)
        case ["items"]:
            return ", ".join(f"{e.key}={e.value}@{e.version}" for e in await memory.items())
        case ["count", key]:
            return str(await memory.update(key, lambda n: n + 1, 0))
    return None


def remembers_in_a_thread(task):
    memory = task.memory
    memory.set_blocking("k", [1], expect=0)
    total = memory.update_blocking("k", lambda known: [*known, 2])
    items = [entry.key for entry in memory.items_blocking()]
    memory.delete_blocking("k")
    past = [earlier.text for earlier in task.history_blocking(1)]
    return {"total": total, "items": items, "left": memory.get_blocking("k"), "past": past}


async def historian(task):
    past = await task.history(3)
    return "; ".join(f"{t.agent}/{t.state.removeprefix('TASK_STATE_')}: {t.text} -> {t.answer}" for t in past)


async def uses_functions(task):
    from agentmesh.toolbox import functions

    by_name = {function.name: function for function in functions("context:memory", "math/echo")}
    said = [await by_name["remember"].call({"key": "k", "value": "v"}), await by_name["recall"].call({})]
    said += await asyncio.to_thread(
        lambda: [
            by_name["remember"].call_blocking({"key": "l", "value": "w"}),
            by_name["recall"].call_blocking({"key": "l"}),
        ]
    )
    return f"{sorted(by_name)} {said} {[function.name for function in functions()]}"
