"""Agents of the tests that talk to a model."""

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver

import agentmesh

analyst = create_agent(
    agentmesh.langchain_model(),
    tools=agentmesh.langchain_tools("analytics_dashboard", "agent:sales"),
    system_prompt="You are an analyst.",
    name="analyst",
)
remembering = create_agent(agentmesh.langchain_model(), tools=[], checkpointer=InMemorySaver())
