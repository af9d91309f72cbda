"""The expressions that the two databases word differently, as one vocabulary.

The compiler writes `Worded(lambda words: words.number(place), Double())`; what that is in SQL is decided when the statement is
sent, by the dialect. The two vocabularies are in `sqlite_words` and `postgresql_words`, and mean the same: `sync.language.values`
says what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import ColumnElement
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from sync.language.tree import Path
from sync.store.compiler.places import Document, Elements, Place, Sql


class Words(Protocol):
    """What a database can say. Whatever does not apply is NULL; nothing ever raises, whatever the data."""

    # Of the value at a place.

    def present(self, place: Place) -> Sql:
        """Tell whether there is a value but `null`. True, false or NULL."""

    def string(self, place: Place) -> Sql:
        """Give a string."""

    def word(self, place: Place) -> Sql:
        """Give a string, or a boolean as `true` and `false`."""

    def double(self, place: Place) -> Sql:
        """Give a number as a double."""

    def number(self, place: Place) -> Sql:
        """Give a number, or a string that is one in full, as a double."""

    def searchable(self, place: Place) -> Sql:
        """Give a string, or a number as text."""

    def text(self, place: Place) -> Sql:
        """Give a string, a number or a boolean as text."""

    def instant(self, place: Place) -> Sql:
        """Give a date as microseconds since 1970."""

    def array_text(self, origin: Document, path: Path) -> Sql:
        """Write an array of scalars as one text, anything else as `text` does; with `$` all the values that it leads to."""

    def whole(self, place: Place) -> Sql:
        """Give the value itself, as this database keeps documents."""

    def json(self, place: Place) -> Sql:
        """Write the value as JSON; of equal values of one type equal text."""

    def ordinal(self, elements: Elements) -> Sql:
        """Give the order of the elements in their array."""

    # Of texts and numbers that are plain SQL.

    def number_in(self, text: Sql) -> Sql:
        """Read a text that is a number in full, as a double."""

    def instant_in(self, text: Sql) -> Sql:
        """Read a date, as microseconds since 1970."""

    def text_of(self, double: Sql) -> Sql:
        """Write a double in its shortest decimal form."""

    def quoted(self, text: Sql) -> Sql:
        """Write a text as a JSON string."""

    def json_of(self, double: Sql) -> Sql:
        """Write a double as JSON; without a fraction if it has none and no digit is in doubt."""

    def by_code_point(self, text: Sql) -> Sql:
        """Have a text compared and sorted by code point."""

    def is_named(self, event: Sql, name: Sql) -> Sql:
        """Tell whether an event, of users who are already known, has the name."""

    def position(self, text: Sql, part: Sql) -> Sql:
        """Find a part in a text; the first character is 1, 0 is nowhere."""

    # Over the rows of a group.

    def total(self, place: Place) -> Sql:
        """Add the numbers exactly, then round to 9 decimals."""

    def mean(self, place: Place) -> Sql:
        """Add the numbers exactly, divide, then round to 9 decimals."""

    def json_list(self, text: Sql) -> Sql:
        """Write the texts, each of which is there once, as a JSON array sorted by code point."""


class Worded(ColumnElement[Any]):
    """An expression that is written when the database is known."""

    # What it will be is a closure, which no cache can tell from another.
    inherit_cache = False

    def __init__(self, write: Callable[[Words], Sql], type_: TypeEngine[Any]) -> None:
        self.write = write
        self.type = type_

    def self_group(self, against: OperatorType | None = None) -> Worded:
        # It brings its own brackets; and SQLAlchemy would write `= 1` behind a truth, which hides it from the indexes.
        return self


def write(element: Worded, words: Words, compiler: SQLCompiler, arguments: dict[str, Any]) -> str:
    """Write an expression in the words of one database, in brackets where it needs them."""
    return str(compiler.process(element.write(words).self_group(against=operators.eq), **arguments))
