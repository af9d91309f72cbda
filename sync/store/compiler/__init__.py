"""The compiler: from the typed tree of a query to one SQLAlchemy statement for SQLite and PostgreSQL.

    statement      every user, and beside them what their streams come to; the two functions that others call
    needs          what a query needs beside the users
    conditions     AND, OR, NOT and every comparison
    comparisons    how two values compare
    streams        the events of a stream
    reducers       counts, sums, modes …; by_user at the top of a query, at_event inside a `where`
    scope          where in a query we are
    operands       what a value is: its readings as a string, a number, an instant
    places         where a JSON value stands
    words          what the two databases word differently: sqlite_words, postgresql_words

What a query means is in `sync.language.reading`; the tests hold the two equal. Nothing is refused here: what no database could
be asked is not accepted in the first place (`sync.language.depth`).
"""

from __future__ import annotations

# Imported so that the dialects know their words.
from sync.store.compiler import postgresql_words, sqlite_words
from sync.store.compiler.scope import Among, Reference
from sync.store.compiler.statement import NO_REFERENCES, NOW, compile_audience, compile_trait

__all__ = ["NOW", "NO_REFERENCES", "Among", "Reference", "compile_audience", "compile_trait", "postgresql_words", "sqlite_words"]
