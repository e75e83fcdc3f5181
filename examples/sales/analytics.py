"""An MCP server for campaign figures.

`python analytics.py` speaks over standard streams, `python analytics.py --http 127.0.0.1:9001` over
Streamable HTTP at /mcp.
"""

from __future__ import annotations

import argparse
import sqlite3
from typing import Annotated, Literal

from dataset import database
from mcp.server import MCPServer
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

server = MCPServer("analytics", version="1.0.0", log_level="WARNING")

DateRange = Literal["last_7_days", "last_30_days", "last_90_days"]


class Figures(BaseModel):
    spend_eur: int
    impressions: int
    leads: int
    conversions: int
    conversion_rate_percent: float
    cost_per_lead_eur: float


class Campaign(BaseModel):
    name: str
    figures: Figures


class Dashboard(BaseModel):
    date_range: str
    totals: Figures
    best: str
    campaigns: list[Campaign]


SUMS = """
    SELECT campaign, sum(spend_eur) AS spend_eur, sum(impressions) AS impressions,
           sum(leads) AS leads, sum(conversions) AS conversions
    FROM campaign_days WHERE days_ago <= ? GROUP BY campaign ORDER BY conversions DESC, campaign
"""


def figures(rows: list[sqlite3.Row]) -> Figures:
    """The sums of these rows and the rates that follow from them."""
    spend_eur, impressions, leads, conversions = (
        sum(row[count] for row in rows) for count in ("spend_eur", "impressions", "leads", "conversions")
    )
    return Figures(
        spend_eur=spend_eur,
        impressions=impressions,
        leads=leads,
        conversions=conversions,
        conversion_rate_percent=round(100 * conversions / leads, 1) if leads else 0.0,
        cost_per_lead_eur=round(spend_eur / leads, 2) if leads else 0.0,
    )


@server.tool(annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False))
def analytics_dashboard(
    date_range: Annotated[DateRange, Field(description="The period to sum up, ending today")],
) -> Dashboard:
    """Campaign performance over a period: totals, the best campaign, and each campaign's figures."""
    days = int(date_range.split("_")[1])
    with database() as connection:
        rows = connection.execute(SUMS, (days,)).fetchall()
    return Dashboard(
        date_range=date_range,
        totals=figures(rows),
        best=rows[0]["campaign"] if rows else "none",
        campaigns=[Campaign(name=row["campaign"], figures=figures([row])) for row in rows],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="MCP server for campaign figures")
    parser.add_argument("--http", metavar="HOST:PORT", help="serve Streamable HTTP here, at /mcp")
    address = parser.parse_args().http
    if address is None:
        server.run()
    else:
        host, _, port = address.rpartition(":")
        server.run("streamable-http", host=host, port=int(port))


if __name__ == "__main__":
    main()
