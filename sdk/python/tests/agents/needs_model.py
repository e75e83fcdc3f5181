import agentmesh

TOOLS = agentmesh.model()
