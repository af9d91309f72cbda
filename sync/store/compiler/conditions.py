"""Conditions: junctions and comparisons, wherever they stand.

Every condition is true, false or NULL in SQL, and NULL counts as false: AND and OR keep that, NOT has to say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, assert_never

from sqlalchemy import FromClause, Integer, Select, Text, exists, false, literal, literal_column, select
from sqlalchemy.sql.elements import False_

from sync.json_value import Json
from sync.language import tree
from sync.language.depth import nesting
from sync.language.reading import instant
from sync.language.tree import AnyOperator, DateOperator, Operator, RecencyOperator
from sync.language.values import MICROSECOND
from sync.store.compiler.comparisons import (
    PREDICATES,
    SIGNS,
    as_instants,
    contains,
    every,
    negated,
    one_instant_of,
    one_of,
    one_of_rows,
    present,
    some,
)
from sync.store.compiler.operands import ABSENT, Value, at, constant
from sync.store.compiler.places import Document, Elements, Place, Sql, elements_of
from sync.store.compiler.scope import Run, Scope, Tally
from sync.store.types import to_text

FARTHEST: Final = 2**61
"""In microseconds, 73,000 years: no instant is farther from another, and their sum is still a BIGINT."""

MOST_WRITTEN_OUT: Final = 8
"""How many constants of a list stand in the statement one by one; a longer list is a table, since databases limit parameters."""


def holds(condition: tree.Condition, scope: Scope) -> Sql:
    """Tell whether a condition holds."""
    match condition:
        case tree.And(parts=parts):
            return every(*(holds(part, scope) for part in _deepest_first(parts)))
        case tree.Or(parts=parts):
            return some(*(holds(part, scope) for part in _deepest_first(parts)))
        case tree.Not(part=tree.Not(part=part)):
            return holds(part, scope)
        case tree.Not(part=part):
            return negated(holds(part, scope))
        case tree.Compare(left=tree.Count() | tree.UniqueCount() as count, operator=operator, right=tree.Number(value=number)) if (
            operator in SIGNS
        ):
            return _counted(scope.tally(count), operator, float(number))
        case _:
            return for_any(condition.left, scope, lambda left: _compares(condition, left, scope))


def _deepest_first(parts: Sequence[tree.Condition]) -> Sequence[tree.Condition]:
    # Behind an AND or OR the parser of SQLite has to remember more than before it.
    return sorted(parts, key=nesting, reverse=True)


def for_any(operand: tree.Operand, scope: Scope, predicate: Callable[[Value], Sql]) -> Sql:
    """Tell whether the predicate holds for any of an operand's values; for the absent value where it has none."""
    match operand:
        case tree.Text() | tree.Number() | tree.Truth():
            return predicate(constant(operand))
        case tree.Day() | tree.Instant():
            raise AssertionError("dates are compared as instants")
        case tree.Trait() | tree.Property() | tree.ParentProperty() | tree.Context():
            found = scope.find(operand)
        case _:
            found = scope.reduce(operand)
    condition = predicate(found.value)
    if found.rows is None:
        return condition
    rows = _rows(found.rows)
    holding = condition if isinstance(condition, False_) else exists(rows.where(condition))
    return holding if found.is_certain else some(holding, every(predicate(ABSENT), ~exists(rows)))


def _rows(table: FromClause) -> Select[Any]:
    return select(literal_column("1", Integer())).select_from(table).correlate_except(table)


def _counted(tally: Tally, operator: Operator, number: float) -> Sql:
    """Compare a count; whether there is any event at all is a question of its own, which is cheaper."""
    wanted = asks_for_some(operator, number)
    if tally.some is None or wanted is None:
        return SIGNS[operator](tally.count, literal(number))
    return tally.some if wanted else negated(tally.some)


def asks_for_some(operator: Operator, number: float) -> bool | None:
    """Tell whether a count that compares so is one of any events, of none, or (None) of a certain number."""
    at_none, at_one, at_two = (RELATIONS[operator](count, number) for count in (0, 1, 2))
    goes_on = operator in (Operator.DIFFERS, Operator.AT_LEAST, Operator.GREATER_THAN)
    if goes_on and at_one and at_two and not at_none:
        return True
    return False if at_none and not at_one and not at_two else None


RELATIONS: Final[dict[Operator, Callable[[float, float], bool]]] = {
    Operator.EQUALS: lambda left, right: left == right,
    Operator.DIFFERS: lambda left, right: left != right,
    Operator.GREATER_THAN: lambda left, right: left > right,
    Operator.AT_LEAST: lambda left, right: left >= right,
    Operator.LESS_THAN: lambda left, right: left < right,
    Operator.AT_MOST: lambda left, right: left <= right,
}


def _compares(condition: tree.Comparison, left: Value, scope: Scope) -> Sql:
    match condition:
        case tree.Compare(operator=operator, right=tree.Day() | tree.Instant() as right):
            return _compare_dates(left, operator, instant(right))
        case tree.Compare(operator=operator, right=right):
            predicate = PREDICATES[operator]
            return for_any(right, scope, lambda value: predicate(left, value))
        case tree.CompareAny(operator=AnyOperator.CONTAINS, rights=rights):
            return _contains_any(left, rights, scope)
        case tree.CompareAny(operator=listed, rights=rights):
            found = _is_listed(left, rights)
            return found if listed is AnyOperator.ONE_OF else negated(found)
        case tree.Presence(exists=there):
            return present(left) if there else negated(present(left))
        case tree.DateOrder(operator=side, right=day):
            relation = Operator.LESS_THAN if side is DateOperator.BEFORE else Operator.GREATER_THAN
            return _compare_dates(left, relation, instant(day))
        case tree.Recency(operator=recency, span=span):
            return _is_recent(left, recency, scope.run, micros_of(span))
        case _:
            assert_never(condition)


def _is_listed(left: Value, rights: Sequence[tree.Operand]) -> Sql:
    constants = [right for right in rights if isinstance(right, tree.Text | tree.Number | tree.Truth)]
    dates = [instant(right) for right in rights if isinstance(right, tree.Day | tree.Instant)]
    assert len(constants) + len(dates) == len(rights), "the checker lets only constants into a list"
    listed = (
        one_of(left, [*map(constant, constants)]) if len(rights) <= MOST_WRITTEN_OUT else one_of_rows(left, table_of(constants))
    )
    return some(listed, one_instant_of(left, dates))


def _contains_any(left: Value, rights: Sequence[tree.Operand], scope: Scope) -> Sql:
    constants = [right for right in rights if isinstance(right, tree.Text | tree.Number)]
    if len(constants) <= MOST_WRITTEN_OUT:
        return some(*(for_any(right, scope, lambda value: contains(left, value)) for right in rights))
    needles = table_of(constants)
    listed = exists(_rows(needles.rows).where(contains(left, at(Place(origin=needles)))))
    others = [right for right in rights if not isinstance(right, tree.Text | tree.Number)]
    return some(listed, *(for_any(right, scope, lambda value: contains(left, value)) for right in others))


def table_of(constants: Iterable[tree.Operand]) -> Elements:
    """Make a table of constants; dates are left out."""
    values: list[Json] = [one.value for one in constants if isinstance(one, tree.Text | tree.Number | tree.Truth)]
    return elements_of(Place(origin=Document(column=literal(to_text(values), Text()), is_text=True)))


def _compare_dates(left: Value, operator: Operator, right: int) -> Sql:
    if operator is Operator.DIFFERS:
        return every(present(left), negated(as_instants(left, SIGNS[Operator.EQUALS], right)))
    return as_instants(left, SIGNS[operator], right)


def _is_recent(left: Value, operator: RecencyOperator, run: Run, span: int) -> Sql:
    if left.instant is None:
        return false()
    match operator:
        case RecencyOperator.WITHIN_LAST:
            return every(left.instant > run.at(-span), left.instant <= run.now)
        case RecencyOperator.BEFORE_LAST:
            return left.instant <= run.at(-span)
        case RecencyOperator.WITHIN_NEXT:
            return every(left.instant > run.now, left.instant <= run.at(span))
        case RecencyOperator.AFTER_NEXT:
            return left.instant > run.at(span)


def micros_of(span: timedelta) -> int:
    """Count the microseconds of a duration; of one that is longer than time, as many as time has."""
    return min(span // MICROSECOND, FARTHEST)
