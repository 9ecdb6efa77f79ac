"""Many rows in few statements. Used by all who write to the SQLite store."""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

ROWS_PER_STATEMENT_MAX = 512
# Up to so many rows go into one statement, whatever their number; more go in powers of two. Of all these statements
# a connection keeps 128 compiled.
ROWS_EXACT_MAX = 64


def insert_rows(db: sqlite3.Connection, insert: str, rows: Sequence[tuple], begin: tuple = ()) -> None:
    """Inserts many rows with few statements. `begin` holds the values with which all of them begin.

    Python's lock is given back and asked for again around every statement, which beside a busy thread costs
    milliseconds each time: a statement per row would make the disk the smaller wait.
    """
    at = 0
    while at < len(rows):
        size = len(rows) - at
        if size > ROWS_EXACT_MAX:
            size = min(1 << size.bit_length() - 1, ROWS_PER_STATEMENT_MAX)
        values = (*begin, *chain.from_iterable(rows[at : at + size]))
        db.execute(_statement(insert, len(begin), len(rows[0]), size), values)
        at += size


@lru_cache(maxsize=256)
def _statement(insert: str, shared: int, width: int, size: int) -> str:
    row = [f"?{number}" for number in range(1, shared + 1)] + ["?"] * width
    values = f"({', '.join(row)})"
    return f"{insert} VALUES {', '.join([values] * size)}"
