"""How two values compare, as SQL; the same rules as in `sync.language.values`, one for one.

Every condition made here is true, false or NULL, and NULL counts as false. What negates one says so by `negated`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import BigInteger, Exists, Integer, Text, and_, exists, false, func, literal, literal_column, or_, select, true
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, False_, True_

from sync.language.tree import Operator
from sync.store.compiler.operands import Maybe, Value, at
from sync.store.compiler.places import Elements, Place, Sql, elements_of
from sync.store.compiler.words import Worded

Relation = Callable[[Sql, Sql], Sql]
Predicate = Callable[[Value, Value], Sql]

SIGNS: Final[dict[Operator, Relation]] = {
    Operator.EQUALS: lambda left, right: left == right,
    Operator.DIFFERS: lambda left, right: left != right,
    Operator.GREATER_THAN: lambda left, right: left > right,
    Operator.AT_LEAST: lambda left, right: left >= right,
    Operator.LESS_THAN: lambda left, right: left < right,
    Operator.AT_MOST: lambda left, right: left <= right,
}


def every(*conditions: Sql) -> Sql:
    """Join by AND, leaving out what is always true; nothing is left of a whole in which something is always false."""
    kept = [condition for condition in conditions if not isinstance(condition, True_)]
    if any(isinstance(condition, False_) for condition in kept):
        return false()
    return and_(*kept) if kept else true()


def some(*conditions: Sql) -> Sql:
    """Join by OR, leaving out what is always false; nothing is left of a whole in which something is always true."""
    kept = [condition for condition in conditions if not isinstance(condition, False_)]
    if any(isinstance(condition, True_) for condition in kept):
        return true()
    return or_(*kept) if kept else false()


def negated(condition: Sql) -> Sql:
    """Turn false and NULL into true, and true into false."""
    if isinstance(condition, True_):
        return false()
    if isinstance(condition, False_):
        return true()
    return ~condition if _is_never_null(condition) else condition.is_not(true())


def _is_never_null(condition: Sql) -> bool:
    is_test = isinstance(condition, BinaryExpression) and condition.operator in (operators.is_, operators.is_not)
    return is_test or isinstance(condition, Exists)


def equal(left: Value, right: Value) -> Sql:
    """Compare as `=` does."""
    same = [_both(left.word, right.word, SIGNS[Operator.EQUALS])]
    # One of the two has to be a number proper; two strings are never compared as numbers.
    if right.word is None:
        same.append(_both(left.number, right.double, SIGNS[Operator.EQUALS]))
    elif left.word is None:
        same.append(_both(left.double, right.number, SIGNS[Operator.EQUALS]))
    else:
        same.append(_both(left.double, right.number, SIGNS[Operator.EQUALS]))
        same.append(_both(left.number, right.double, SIGNS[Operator.EQUALS]))
    return some(*same)


def one_of(left: Value, rights: Sequence[Value]) -> Sql:
    """Tell whether a value is equal to one of several constants."""
    return some(
        _in(left.word, [right.word for right in rights if right.word is not None]),
        _in(left.double, [right.number for right in rights if right.number is not None and right.word is not None]),
        _in(left.number, [right.double for right in rights if right.double is not None]),
    )


def one_of_rows(left: Value, elements: Elements) -> Sql:
    """Tell whether a value is equal to one of the constants in an array: the list is one parameter, however long it is."""
    right = at(Place(origin=elements))
    return some(
        _among(left.word, right.word, elements),
        _among(left.double, right.number, elements),
        _among(left.number, right.double, elements),
    )


def _among(left: Maybe, right: Maybe, elements: Elements) -> Sql:
    return (
        false()
        if left is None or right is None
        else left.in_(select(right).select_from(elements.rows).correlate_except(elements.rows))
    )


def _in(left: Maybe, rights: Sequence[Sql]) -> Sql:
    return false() if left is None or not rights else left.in_(rights)


def differs(left: Value, right: Value) -> Sql:
    """Tell whether both are there and not equal."""
    return every(present(left), present(right), negated(equal(left, right)))


def present(value: Value) -> Sql:
    return false() if value.present is None else value.present


def ordered(relation: Relation) -> Predicate:
    """Compare as `<` and its like do: as numbers with a number on the right, as strings with a string."""

    def by_code_point(left: Sql, right: Sql) -> Sql:
        return relation(Worded(lambda words: words.by_code_point(left), Text()), right)

    return lambda left, right: some(_both(left.string, right.string, by_code_point), _both(left.number, right.double, relation))


def contains(left: Value, right: Value) -> Sql:
    """Tell whether a text has the other in it, or an element of an array is the other or has it in it."""
    return some(_has_part(left, right), false() if left.array is None else _an_element(left.array, right))


def _an_element(array: Place, needle: Value) -> Sql:
    if needle.present is None:
        return false()
    elements = elements_of(array)
    element = at(Place(origin=elements))
    found = (
        select(literal_column("1", Integer()))
        .select_from(elements.rows)
        .where(or_(equal(element, needle), _has_part(element, needle)))
    )
    return exists(found.correlate_except(elements.rows))


def _has_part(left: Value, right: Value) -> Sql:
    def position(text: Sql, part: Sql) -> Sql:
        return Worded(lambda words: words.position(text, part), Integer()) > literal_column("0")

    return _both(left.searchable, right.searchable, position)


def omits(left: Value, right: Value) -> Sql:
    return negated(contains(left, right))


def starts_with(left: Value, right: Value) -> Sql:
    return _both(left.searchable, right.searchable, lambda text, part: func.substr(text, 1, func.length(part)) == part)


def ends_with(left: Value, right: Value) -> Sql:
    def at_end(text: Sql, part: Sql) -> Sql:
        start = func.length(text) - func.length(part) + 1
        return every(start >= 1, func.substr(text, start) == part)

    return _both(left.searchable, right.searchable, at_end)


PREDICATES: Final[dict[Operator, Predicate]] = {
    Operator.EQUALS: equal,
    Operator.DIFFERS: differs,
    Operator.OMITS: omits,
    Operator.STARTS_WITH: starts_with,
    Operator.ENDS_WITH: ends_with,
    **{
        operator: ordered(SIGNS[operator])
        for operator in (Operator.GREATER_THAN, Operator.AT_LEAST, Operator.LESS_THAN, Operator.AT_MOST)
    },
}


def as_instants(left: Value, relation: Relation, instant: int) -> Sql:
    """Compare a date with an instant, in microseconds since 1970."""
    return false() if left.instant is None else relation(left.instant, literal(instant, BigInteger()))


def one_instant_of(left: Value, instants: Sequence[int]) -> Sql:
    """Tell whether a date is one of several instants."""
    return _in(left.instant, [literal(instant, BigInteger()) for instant in instants])


def _both(left: Maybe, right: Maybe, relation: Relation) -> Sql:
    return false() if left is None or right is None else relation(left, right)
