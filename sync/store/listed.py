"""Rows that are told with a statement instead of standing in a table: (profile_id, value) pairs, or ids alone, as one parameter.

For few rows that is cheaper than a temporary table, which takes several statements; and one parameter, unlike a list of many,
lets the statement stay the same whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, FromClause, Select, Text, cast, column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from sync.store.prepared import told

IDS: Final = "ids"
PAIRS: Final = "pairs"
"""The names of the parameters."""


class _Told(FunctionElement[Any]):
    """The elements of an array in JSON, a row each."""

    inherit_cache = True
    name = "told"


@compiles(_Told, "sqlite")
def _on_sqlite(element: _Told, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"json_each{compiler.process(element.clause_expr, **arguments)}"


@compiles(_Told, "postgresql")
def _on_postgresql(element: _Told, compiler: SQLCompiler, **arguments: Any) -> str:
    return f"jsonb_array_elements(CAST({compiler.process(element.clause_expr, **arguments)} AS JSONB))"


def _elements(name: str) -> ColumnElement[Any]:
    return _Told(told(name, Text())).table_valued(column("value")).c.value


def _pairs() -> FromClause:
    pair = _elements(PAIRS)
    id, value = (pair.op("->>", return_type=Text())(place) for place in (0, 1))
    return select(cast(id, BigInteger).label("profile_id"), value.label("value")).subquery()


LISTED_IDS: Final[Select[tuple[int]]] = select(cast(_elements(IDS), BigInteger).label("profile_id"))
LISTED_PAIRS: Final = _pairs()


def ids(profile_ids: Iterable[int]) -> str:
    """Return the parameter for ids."""
    return msgspec.json.encode(list(profile_ids)).decode()


def pairs(rows: Iterable[tuple[int, str | None]]) -> str:
    """Return the parameter for pairs of a profile's id and a value, which is JSON itself, or nothing."""
    return msgspec.json.encode(list(rows)).decode()
