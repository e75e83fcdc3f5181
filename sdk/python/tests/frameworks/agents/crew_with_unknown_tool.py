import agentmesh

tools = agentmesh.crewai_tools("delete_customer")
