"""The sales agent: a CrewAI crew. The mesh gives it its model, its tool and its colleague."""

import agentmesh
from crewai import Agent, Crew, Task

representative = Agent(
    role="Sales Representative",
    goal="Write proposals that rest on what is known about the customer and on fresh campaign figures",
    backstory="You have sold industrial software for years and promise only what the figures carry.",
    tools=agentmesh.crewai_tools("get_customer", "agent:marketing"),
    llm=agentmesh.crewai_llm(),
)

proposal = Task(
    name="proposal",
    description=(
        "{request}\n\n"
        "Look the customer up with get_customer. Ask marketing for the campaign performance of the last "
        "30 days with ask_marketing. Then write the proposal."
    ),
    expected_output="A short proposal that names the customer and uses the figures of marketing.",
    agent=representative,
)

crew = Crew(agents=[representative], tasks=[proposal])
