"""What no store can be asked: refused with the reason before it is, on every store alike.

SQLite sets the limits. It joins 64 tables at most, and its parser remembers a hundred open brackets and words (before 3.46), where
a subquery takes nine. Nobody's definitions come near; only a query that is made to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import fields, is_dataclass
from typing import Any, Final

from sqlalchemy import Select, literal_column, select
from sqlalchemy.dialects import sqlite

from sync.errors import InputError
from sync.language import tree
from sync.language.reads import parts_of
from sync.language.tree import AnyOperator, Each, Operator

MOST_ELEMENTS: Final = 30
"""How many `$` a path may have."""
HARMLESS: Final = 45
"""The nesting, by the rough reckoning here, up to which a query is certain to be read; beyond it SQLite itself is asked."""

# Brackets.
_JUNCTION: Final = 2
# `EXISTS (SELECT 1 FROM … WHERE …`, or the same in a FROM.
_SUBQUERY: Final = 9
# The expression that reads a JSON value, and how much deeper it is for what is below an element.
_READING: Final = 14
_ELEMENT: Final = 6


def refuse_impossible(query: tree.Query) -> None:
    """Raise InputError for characters that no store can hold, and for a path that none can follow."""
    for text in _texts(query):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError("a query cannot have the character U+0000, nor half of a surrogate pair")
    if _most_elements(query) > MOST_ELEMENTS:
        raise InputError(f"a path can have `$` at most {MOST_ELEMENTS} times")


def refuse_unreadable(query: tree.Query, statement: Select[Any]) -> None:
    """Raise InputError for a statement that is nested deeper than SQLite can read."""
    if nesting(query) <= HARMLESS:
        return
    # With as much around it as callers put.
    found = statement.subquery()
    around = select(found).where(found.c.profile_id.not_in(select(literal_column("1"))))
    text = str(around.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True}))
    try:
        with closing(sqlite3.connect(":memory:")) as connection:
            # SQLite never gets as far as to look for tables and values.
            connection.execute("EXPLAIN INSERT INTO somewhere " + text)
    except sqlite3.Error as error:
        if "parser stack overflow" in str(error):
            raise InputError("the query cannot be computed: conditions stand too deep inside of one another's where(…)") from error


def nesting(part: object) -> int:
    """Reckon how much the parser has to remember where a part of a query is deepest."""
    match part:
        case tree.And() | tree.Or() | tree.Not():
            return _JUNCTION + _deepest(parts_of(part))
        case tree.Compare() | tree.CompareAny() | tree.Presence() | tree.DateOrder() | tree.Recency():
            left, *rights = parts_of(part)
            right = max(map(_operand, rights), default=0)
            return max(_operand(left), _around(left) + max(right, _predicate(part, rights)))
        case _:
            return _deepest(parts_of(part))


def _deepest(parts: Sequence[object]) -> int:
    return max(map(nesting, parts), default=0)


def _operand(operand: object) -> int:
    """Reckon the table that a value stands in."""
    return 2 * _SUBQUERY + _deepest(parts_of(operand)) if isinstance(operand, tree.Computed) else 0


def _around(operand: object) -> int:
    """Reckon what stands around a predicate of a value."""
    is_table = isinstance(operand, tree.Computed) or (isinstance(operand, tree.Extractor) and Each.ELEMENT in operand.path)
    return _SUBQUERY + _JUNCTION if is_table else 0


def _predicate(comparison: tree.Comparison, rights: Sequence[object]) -> int:
    own = _READING + _ELEMENT
    if isinstance(comparison, tree.Compare | tree.CompareAny) and comparison.operator in (Operator.OMITS, AnyOperator.CONTAINS):
        # An array is searched too.
        own += _JUNCTION + _SUBQUERY
    return own + max(map(_around, rights), default=0)


def _most_elements(part: object) -> int:
    own = part.path.count(Each.ELEMENT) if isinstance(part, tree.Extractor) else 0
    return max([own, *map(_most_elements, parts_of(part))])


def _texts(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from _texts(item)
    elif is_dataclass(part):
        for field in fields(part):
            yield from _texts(getattr(part, field.name))
