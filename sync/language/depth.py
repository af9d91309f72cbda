"""How deep a query goes, and how deep it may go, so that none is accepted that a database cannot read.

SQLite's parser (before 3.46) remembers a hundred open brackets and words, and no more. What becomes of each part of a query is
reckoned here in such entries, somewhat too high and never too low; the tests hold the reckoning to SQLite itself. A query is
refused everywhere alike, whatever is installed where it is read. Knows the tree. Does not know SQL, nor the text of a query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sync.language import tree
from sync.language.reads import parts_of
from sync.language.tree import AnyOperator, Each, Operator, Position

DEEPEST: Final = 94
"""What is left of the hundred is for what the store puts around a query."""

# The statement, up to the first condition.
_STATEMENT: Final = 17
# A junction or a negation around its deepest part; and what stands before the other parts.
_BRACKET: Final = 1
_BEFORE: Final = 2
# `EXISTS (SELECT 1 FROM calls WHERE …`, and `(SELECT count(*) FROM calls WHERE …`.
_EXISTS: Final = 8
_NUMBER: Final = 6
# `EXISTS (SELECT 1 FROM (SELECT … FROM calls WHERE …`.
_ROW: Final = 14
# `EXISTS (SELECT 1 FROM json_each(…) WHERE …`; and how much more for an array in an array, and for a key below an element.
_ELEMENT: Final = 10
_INNER_ELEMENT: Final = 5
_BELOW_ELEMENT: Final = 3
# What can hold of the absent value has its table once more, behind `… OR … AND NOT …`.
_ONCE_MORE: Final = 7
# `… OVER (…) FROM (SELECT … FROM calls WHERE …`, twice.
_SESSION: Final = 12
# `… AND source NOT IN (SELECT … FROM json_each(…))`.
_SOURCES: Final = 26
# The expression that reads a value, with what is around it; and how much more for each key that JSON has to escape.
_READING: Final = 22
_ODD_KEY: Final = 3
# Another value on the right.
_OTHER: Final = 3
_STARTS: Final = 26
_ENDS: Final = 33
_CONTAINS: Final = 38
_LONG_LIST: Final = 9
# More traits than that may each be looked up by a subquery, and more reducers than that are not joined at the top.
_MOST_TRAITS: Final = 12
_LOOKED_UP: Final = 9
_MOST_REDUCERS: Final = 40


def depth(query: tree.Query) -> int:
    """Reckon how deep a whole query goes."""
    parts = list(_all(query))
    many_traits = len({part.key for part in parts if isinstance(part, tree.Trait)}) > _MOST_TRAITS
    many_reducers = sum(isinstance(part, tree.Computed) for part in parts) > _MOST_REDUCERS
    reckoning = _Reckoning(of_trait=_LOOKED_UP if many_traits else 0)
    return _STATEMENT + reckoning.of(query, at_top=not many_reducers)


def nesting(part: object) -> int:
    """Reckon how deep a part inside of a `where` goes, to compare it with others."""
    return _Reckoning(of_trait=0).of(part, at_top=False)


def deepest_place(query: tree.Query) -> Position | None:
    """Say where the part of a query stands that goes deepest; None if nothing there knows its place."""
    part: object = query
    place = None
    while True:
        place = part.at if isinstance(part, tree.Stream | tree.Trait) and part.at is not None else place
        below = parts_of(part)
        if not below:
            return place
        part = max(below, key=nesting)


def _all(part: object) -> Iterator[object]:
    yield part
    for child in parts_of(part):
        yield from _all(child)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reckoning:
    # What it takes to look a trait up.
    of_trait: int

    def of(self, part: object, *, at_top: bool) -> int:
        match part:
            case tree.And(parts=parts) | tree.Or(parts=parts):
                return _BRACKET + _side_by_side([self.of(one, at_top=at_top) for one in parts])
            case tree.Not(part=negated):
                return _BRACKET + self.of(negated, at_top=at_top)
            case tree.Compare() | tree.CompareAny() | tree.Presence() | tree.DateOrder() | tree.Recency():
                return self.comparison(part, at_top=at_top)
            case tree.Stream(filters=filters, expires_after=expiry):
                inner = _side_by_side([self.of(one, at_top=False) for one in filters])
                return inner if expiry is None else _SESSION + max(inner, _READING)
            case tree.Where(condition=condition):
                return self.of(condition, at_top=False)
            case tree.Sources():
                return _SOURCES
            case _ if isinstance(part, tree.Computed):
                return max(self.of(part.stream, at_top=False), self.aggregate(part))
            case _:
                return 0

    def comparison(self, comparison: tree.Comparison, *, at_top: bool) -> int:
        left, *rights = parts_of(comparison)
        if isinstance(left, tree.Count | tree.UniqueCount) and _is_counted(comparison) and not at_top:
            return (_EXISTS if isinstance(left, tree.Count) else _NUMBER) + max(self.of(left, at_top=False), _READING // 2)
        own = _predicate(comparison) + max([self.keys(left), *map(self.keys, rights)])
        again = _ONCE_MORE if _holds_of_nothing(comparison) else 0
        within = max((self.operand(right, own, again, at_top=at_top) for right in rights), default=own)
        if again:
            # Of the absent value the right is asked once more.
            within = max(within, again + max((self.operand(right, 0, again, at_top=at_top) for right in rights), default=0))
        return self.operand(left, within, again, at_top=at_top)

    def operand(self, operand: object, inner: int, again: int, *, at_top: bool) -> int:
        """Reckon a value and, in the rows of the table that it may be, what is asked of it."""
        if isinstance(operand, tree.Computed):
            rows = self.of(operand, at_top=False)
            return max(inner, rows) if at_top else max(_EXISTS + inner, _ROW + again + rows)
        if not isinstance(operand, tree.Extractor) or Each.ELEMENT not in operand.path:
            return inner
        below = operand.path[operand.path.index(Each.ELEMENT) + 1 :]
        rows = _ELEMENT + (_INNER_ELEMENT if Each.ELEMENT in below else _BELOW_ELEMENT if below else 0)
        return max(rows + inner, 2 * rows + again)

    def aggregate(self, reduced: tree.Computed) -> int:
        """Reckon what makes one value of the rows."""
        if isinstance(reduced, tree.Count):
            return _NUMBER
        return _READING + self.keys(reduced.of) + _INNER_ELEMENT * min(reduced.of.path.count(Each.ELEMENT), 2)

    def keys(self, operand: object) -> int:
        if not isinstance(operand, tree.Extractor):
            return 0
        odd = sum(isinstance(step, str) and not _is_plain(step) for step in operand.path)
        return odd * _ODD_KEY + (self.of_trait if isinstance(operand, tree.Trait) else 0)


def _side_by_side(depths: Sequence[int]) -> int:
    first, *others = sorted(depths, reverse=True) or [0]
    return max(first, *(_BEFORE + other for other in others[:1]), 0)


def _is_counted(comparison: tree.Comparison) -> bool:
    if not isinstance(comparison, tree.Compare) or comparison.operator in _SEARCHES:
        return False
    return isinstance(comparison.right, tree.Number)


def _holds_of_nothing(comparison: tree.Comparison) -> bool:
    match comparison:
        case tree.Presence(exists=exists):
            return not exists
        case tree.Compare(operator=operator):
            return operator is Operator.OMITS
        case tree.CompareAny(operator=operator):
            return operator is AnyOperator.NONE_OF
        case _:
            return False


def _predicate(comparison: tree.Comparison) -> int:
    match comparison:
        case tree.Compare(operator=operator, right=right):
            return _SEARCHES.get(operator, _READING) + (_OTHER if isinstance(right, tree.Scalar) else 0)
        case tree.CompareAny(operator=AnyOperator.CONTAINS, rights=rights):
            return _CONTAINS + (_LONG_LIST if len(rights) > 8 else 1 if len(rights) > 1 else 0)
        case tree.CompareAny(rights=rights):
            return _READING + (_LONG_LIST if len(rights) > 8 else 0)
        case _:
            return _READING


_SEARCHES: Final = {Operator.OMITS: _CONTAINS, Operator.STARTS_WITH: _STARTS, Operator.ENDS_WITH: _ENDS}


def _is_plain(key: str) -> bool:
    r"""Tell whether JSON writes a key as it is: without `"`, `\` and control characters."""
    return not any(character in '"\\' or character < " " or character == "\x7f" for character in key)
