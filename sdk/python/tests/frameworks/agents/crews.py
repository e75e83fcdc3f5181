"""Crews of the tests."""

from crewai import Agent, Crew, Task

import agentmesh

llm = agentmesh.crewai_llm()


def member(role, *tools):
    return Agent(
        role=role, goal=f"Be the {role}", backstory="None", llm=llm, tools=agentmesh.crewai_tools(*tools)
    )


def task(agent, text, **options):
    return Task(description=text, expected_output="An answer", agent=agent, **options)


seller = member("Seller", "get_customer", "agent:marketing")
crew = Crew(agents=[seller], tasks=[task(seller, "{request}", name="proposal")])

researcher = member("Researcher")
writer = member("Writer")
pair = Crew(
    agents=[researcher, writer],
    tasks=[task(researcher, "Research {request}", name="research"), task(writer, "Write about {request}")],
)
reviewed = Crew(agents=[writer], tasks=[task(writer, "Write {request}", human_input=True)])


def factory():
    return crew.copy()
