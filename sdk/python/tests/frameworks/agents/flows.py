"""Graphs of the tests that need no model."""

from typing import Annotated, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt


class Lines(TypedDict, total=False):
    request: str
    response: str


def started(state: Lines) -> Lines:
    get_stream_writer()("looking around")
    get_stream_writer()({"progress": 0.5})
    return {}


def asking(state: Lines) -> Lines:
    first = interrupt("what?")
    second = interrupt({"question": "who?"})
    return {"response": f"{first} {second}"}


def approving(state: Lines) -> Lines:
    return {"response": f"{state['response']} {interrupt('really?')}"}


unfinished = StateGraph(Lines)
unfinished.add_sequence([started, asking, approving])
unfinished.add_edge(START, "started")
unfinished.add_edge("approving", END)
interview = unfinished.compile(checkpointer=InMemorySaver())


def ask_left(state: Lines) -> Lines:
    interrupt("left?")
    return {}


def ask_right(state: Lines) -> Lines:
    return {"response": f"right {interrupt('right?')}"}


forked = StateGraph(Lines)
for node in (ask_left, ask_right):
    forked.add_node(node)
    forked.add_edge(START, node.__name__)
    forked.add_edge(node.__name__, END)
fork = forked.compile(checkpointer=InMemorySaver())


class Odd(TypedDict):
    number: int


odd = StateGraph(Odd).add_node("only", lambda state: state).add_edge(START, "only").compile()


class Chat(TypedDict):
    messages: Annotated[list, add_messages]


def approve(state: Chat) -> Chat:
    decisions = interrupt({"action_requests": [{"name": "send_mail", "description": "Send the mail"}]})
    return {"messages": [("ai", decisions["decisions"][0]["type"])]}


approval = StateGraph(Chat).add_node(approve).add_edge(START, "approve").compile(checkpointer=InMemorySaver())


@entrypoint()
def shout(text: str) -> str:
    return text.upper()
