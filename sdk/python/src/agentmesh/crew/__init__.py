"""CrewAI: running crews, and tools and model for them."""
