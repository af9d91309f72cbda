"""The names of the language, their older forms, and what each kind of value allows next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from sync.language import tree
from sync.language.tree import AnyOperator, DateOperator, Operator, RecencyOperator

HEADS: Final = ("event", "trait", "property", "context", "literal", "entity")
FILTERS: Final = ("where", "sources", "within", "between", "expires_after")
REDUCERS: Final = ("count", "sum", "avg", "min", "max", "mode", "first", "last", "unique")
PRESENCE: Final = {"exists": True, "absent": False}
OPERATORS: Final = {operator.value: operator for operator in Operator}
ANY_OPERATORS: Final = {operator.value: operator for operator in AnyOperator}
DATE_OPERATORS: Final = {operator.value: operator for operator in DateOperator}
RECENCY_OPERATORS: Final = {operator.value: operator for operator in RecencyOperator}
COMPARATORS: Final = (*OPERATORS, *ANY_OPERATORS, *PRESENCE, *DATE_OPERATORS, *RECENCY_OPERATORS)
METHODS: Final = (*FILTERS, *REDUCERS, *COMPARATORS)

# As scripts from before April 2024 have them.
ALIASES: Final = {
    "eq": "equals",
    "neq": "differs",
    "is_null": "absent",
    "is_set": "exists",
    "gt": "greater_than",
    "gte": "at_least",
    "lt": "less_than",
    "lte": "at_most",
    "contains_one": "contains",
}
SIGNS: Final = {
    "=": Operator.EQUALS,
    "==": Operator.EQUALS,
    "!=": Operator.DIFFERS,
    ">": Operator.GREATER_THAN,
    ">=": Operator.AT_LEAST,
    "<": Operator.LESS_THAN,
    "<=": Operator.AT_MOST,
}
ORDERINGS: Final = frozenset({Operator.GREATER_THAN, Operator.AT_LEAST, Operator.LESS_THAN, Operator.AT_MOST})
# What a reducer's values may be taken `as`.
TYPES: Final = {
    "min": (tree.ValueType.NUMBER, tree.ValueType.STRING),
    "max": (tree.ValueType.NUMBER, tree.ValueType.STRING),
    "mode": (tree.ValueType.STRING, tree.ValueType.NUMBER, tree.ValueType.ARRAY),
}


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Find the name that somebody who wrote this one most likely meant."""
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def describe(built: object) -> str:
    """Say what kind of thing a part of a query is, for a message."""
    match built:
        case tree.Stream():
            return "a stream of events"
        case tree.Unique():
            return "a list"
        case tree.Count() | tree.UniqueCount() | tree.Arithmetic():
            return "a number"
        case tree.Extreme() | tree.Mode() | tree.Pick():
            return "a value"
        case tree.Trait() | tree.Property() | tree.ParentProperty() | tree.Context():
            return "a value that is looked up"
        case tree.Text():
            return "a text"
        case tree.Number() | tree.Truth() | tree.Day() | tree.Instant():
            return "a constant"
        case _:
            return "a condition"
