"""The marketing agent: a LangChain agent, which is a LangGraph graph."""

import agentmesh
from langchain.agents import create_agent

graph = create_agent(
    agentmesh.langchain_model(),
    tools=agentmesh.langchain_tools("analytics_dashboard"),
    system_prompt=(
        "You are a Marketing Analyst. Answer questions about campaigns from the figures of "
        "analytics_dashboard, and never from memory."
    ),
    name="marketing",
)
