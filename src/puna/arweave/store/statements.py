"""Many rows in few statements. Used by all who write to the SQLite store."""

import sqlite3
from collections.abc import Sequence
from itertools import chain

ROWS_PER_STATEMENT_MAX = 512


def insert_rows(db: sqlite3.Connection, insert: str, rows: Sequence[tuple], begin: tuple = ()) -> None:
    """Inserts many rows with few statements. `begin` holds the values with which all of them begin.

    Python's lock is given back and asked for again around every statement, which beside a busy thread costs
    milliseconds each time: a statement per row would make the disk the smaller wait. The sizes are powers of two, so
    that SQLite keeps the compiled statements.
    """
    at, size = 0, ROWS_PER_STATEMENT_MAX
    shared = [f"?{number}" for number in range(1, len(begin) + 1)]
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2
        row = f"({', '.join([*shared, *'?' * len(rows[0])])})"
        values = (*begin, *chain.from_iterable(rows[at : at + size]))
        db.execute(f"{insert} VALUES {', '.join([row] * size)}", values)
        at += size
