"""What no store can be asked: refused with the reason before it is, on every store alike.

SQLite sets the limits. Its parser can remember a hundred open brackets and words, where a subquery takes nine, and it joins 64
tables at most. Nobody's definitions come near; only a query that is made to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Final

from sync.errors import InputError
from sync.language import tree
from sync.language.reads import parts_of
from sync.language.tree import Each

MOST_NESTING: Final = 66
"""By the reckoning of `_nesting`; some of the parser's hundred are left for the statements around the query's."""
MOST_ELEMENTS: Final = 30
"""How many `$` a path may have."""

_JUNCTION: Final = 2
_SUBQUERY: Final = 9
# The expression that reads a JSON value.
_READING: Final = 12


def refuse_impossible(query: tree.Query) -> None:
    """Raise InputError for characters that a store cannot hold, and for nesting that it cannot read."""
    for text in _texts(query):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError("a query cannot have the character U+0000, nor half of a surrogate pair")
    if _most_elements(query) > MOST_ELEMENTS:
        raise InputError(f"a path can have `$` at most {MOST_ELEMENTS} times")
    if nesting(query) > MOST_NESTING:
        raise InputError("the query cannot be computed: events stand too deep inside of one another's where(…)")


def nesting(part: object) -> int:
    """Reckon how much the parser has to remember where a part of a query is deepest."""
    match part:
        case tree.And() | tree.Or() | tree.Not():
            return _JUNCTION + _deepest(parts_of(part))
        case tree.Count():
            return _SUBQUERY + _deepest(parts_of(part))
        case tree.Mode() | tree.Pick() | tree.UniqueCount() | tree.Arithmetic() | tree.Extreme() | tree.Unique():
            return 2 * _SUBQUERY + _deepest(parts_of(part))
        case tree.Trait() | tree.Property() | tree.ParentProperty() | tree.Context():
            return _READING + (_SUBQUERY if Each.ELEMENT in part.path else 0)
        case tree.Compare() | tree.CompareAny() | tree.Presence() | tree.DateOrder() | tree.Recency():
            left, *rights = map(nesting, parts_of(part))
            # The right-hand side stands inside of the subquery of the left.
            return max(left, _SUBQUERY + max(rights, default=0))
        case _:
            return _deepest(parts_of(part))


def _deepest(parts: tuple[object, ...]) -> int:
    return max(map(nesting, parts), default=0)


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
