"""An MCP server for customers. `python crm.py` speaks over standard streams."""

from __future__ import annotations

from typing import Annotated

from dataset import database
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

server = MCPServer("crm", version="1.0.0", log_level="WARNING")

READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


class Customer(BaseModel):
    customer_id: str
    name: str
    contact: str
    segment: str
    industry: str
    region: str
    since: str
    annual_eur: int
    interest: str


@server.tool(annotations=READ_ONLY)
def get_customer(
    customer_id: Annotated[str, Field(description="Number of the customer, such as C-1042")],
) -> Customer:
    """Everything known about one customer."""
    with database() as connection:
        row = connection.execute("SELECT * FROM customers WHERE customer_id = ?", (customer_id,)).fetchone()
    if row is None:
        raise ToolError(f"there is no customer {customer_id}")
    return Customer(**dict(row))


@server.tool(annotations=READ_ONLY)
def find_customers(
    text: Annotated[str, Field(description="Part of a name, segment, industry or region")],
) -> list[Customer]:
    """The customers whose name, segment, industry or region contains a text."""
    searched = "lower(name || ' ' || segment || ' ' || industry || ' ' || region)"
    query = f"SELECT * FROM customers WHERE instr({searched}, ?)"
    with database() as connection:
        return [Customer(**dict(row)) for row in connection.execute(query, (text.lower(),))]


if __name__ == "__main__":
    server.run()
