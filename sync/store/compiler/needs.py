"""What a query needs beside the users themselves: which reducers and traits stand at its top, and without which it cannot hold."""

from __future__ import annotations

from collections.abc import Iterator

from sync.language import tree
from sync.language.reads import parts_of
from sync.language.tree import Operator
from sync.store.compiler.conditions import RELATIONS, asks_for_some


def reducers_of(query: tree.Query) -> tuple[tree.Computed, ...]:
    """List the reducers outside of any stream, each once."""
    return tuple(dict.fromkeys(part for part in _top(query) if isinstance(part, tree.Computed)))


def traits_of(query: tree.Query) -> frozenset[str]:
    """Name the traits that are read outside of any stream."""
    return frozenset(part.key for part in _top(query) if isinstance(part, tree.Trait))


def traits_in(part: object) -> frozenset[str]:
    """Name the traits that are read in a part of a query, streams and all."""
    own = frozenset([part.key]) if isinstance(part, tree.Trait) else frozenset[str]()
    return own.union(*map(traits_in, parts_of(part)))


def _top(part: object) -> Iterator[object]:
    yield part
    if not isinstance(part, tree.Computed):
        for child in parts_of(part):
            yield from _top(child)


def needed(condition: tree.Condition) -> frozenset[tree.Computed]:
    """List reducers without whose events the condition is certainly false."""
    match condition:
        case tree.And(parts=parts):
            return frozenset[tree.Computed]().union(*map(needed, parts))
        case tree.Or(parts=parts):
            return frozenset.intersection(*map(needed, parts))
        case tree.Not() | tree.Presence(exists=False):
            return frozenset()
        case tree.Compare(operator=Operator.OMITS) | tree.CompareAny(operator=tree.AnyOperator.NONE_OF):
            return frozenset()
        case tree.Compare(left=tree.Count() | tree.UniqueCount() as count, operator=operator, right=tree.Number(value=number)):
            holds_at_none = operator not in RELATIONS or RELATIONS[operator](0, number)
            return frozenset() if holds_at_none else frozenset([count])
        case tree.Compare(left=left, right=right):
            return _absent_without_events(left) | _absent_without_events(right)
        case _:
            return _absent_without_events(condition.left)


def numbers_in(query: tree.Condition) -> frozenset[tree.Computed]:
    """List the reducers outside of any stream of which the query wants to know more than whether there is an event."""
    match query:
        case tree.Compare(left=tree.Count(), operator=operator, right=tree.Number(value=number)) if (
            operator in RELATIONS and asks_for_some(operator, number) is not None
        ):
            return frozenset()
        case tree.And(parts=parts) | tree.Or(parts=parts):
            return frozenset[tree.Computed]().union(*map(numbers_in, parts))
        case tree.Not(part=part):
            return numbers_in(part)
        case _:
            return frozenset(reducers_of(query))


def _absent_without_events(operand: tree.Operand) -> frozenset[tree.Computed]:
    if isinstance(operand, tree.Arithmetic | tree.Extreme | tree.Mode | tree.Pick):
        return frozenset([operand])
    return frozenset()
