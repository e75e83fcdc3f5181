"""The example's data: an SQLite database in memory, made from data.sql at every use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

DATA = Path(__file__).with_name("data.sql")


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """A database with the present content of data.sql."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript(DATA.read_text(encoding="utf-8"))
        yield connection
