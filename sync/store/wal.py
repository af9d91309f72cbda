"""The write-ahead log of a SQLite file: how large it is, and how it begins anew.

What is committed goes to its end. It begins anew once all of it has been written back to the file, and nobody reads what stands in
it; so whoever reads for long makes it grow. Its size does not tell by itself, since a log that has begun anew keeps its size.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

_FRAME: Final = 24
"""Bytes that stand before each page."""


def size(database: str | None) -> int:
    """Return how many bytes the log of a file takes up; 0 where there is none."""
    if not database:
        return 0
    try:
        return _path(database).stat().st_size
    except OSError:
        return 0


def begins_anew(connection: Connection, most: int) -> bool:
    """Let it begin anew, and cut it to nothing, if nobody has to be waited for; return whether less than so much stands in it then.

    The connection must be in no transaction. Nearly free where nothing can be written back.
    """
    patience = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        busy, pages, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={patience}")
    # Fewer than none: somebody else was writing it back at that moment.
    return not busy or bool(0 <= pages * (page + _FRAME) <= most)


@lru_cache
def _path(database: str) -> Path:
    # Beside the file itself, whatever link led there.
    path = Path(database.removeprefix("file:")).resolve()
    return path.with_name(path.name + "-wal")
