"""LangChain and LangGraph: running graphs, and tools and model for them."""
