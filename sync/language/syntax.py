"""What stands in the text of a query, before anybody asks whether it makes sense: words, calls, chains, junctions.

Made by `parse`, read by `check`, and by nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sync.language.tree import Literal, Position


@dataclass(frozen=True, slots=True)
class Word:
    """A name that is not called."""

    at: Position
    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    at: Position
    literal: Literal


@dataclass(frozen=True, slots=True)
class Span:
    """`3 days`."""

    at: Position
    amount: int | float
    unit: str
    unit_at: Position


@dataclass(frozen=True, slots=True)
class Labelled:
    """`parent: …` or `exclude: …`; the label in lower case."""

    at: Position
    label: str
    value: Node


@dataclass(frozen=True, slots=True)
class Typed:
    """`… as string`."""

    at: Position
    value: Node
    type: str


@dataclass(frozen=True, slots=True)
class Bracketed:
    """`['a', 'b']`."""

    at: Position
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`name(…)`; `brace` is where a brace around the arguments opens."""

    at: Position
    name: str
    arguments: tuple[Node, ...]
    brace: Position | None


@dataclass(frozen=True, slots=True)
class Chain:
    """`head.call().call()`; at least one call."""

    at: Position
    head: Node
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`left >= right`; `at` is where the left begins, `operator_at` where the operator does."""

    at: Position
    left: Node
    operator: str
    operator_at: Position
    right: Node


@dataclass(frozen=True, slots=True)
class Junction:
    """Two parts or more, joined by `AND`, or by `OR`."""

    at: Position
    word: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """`NOT`, `ANY` or `ALL`, in capitals, and what follows."""

    at: Position
    word: str
    part: Node


Node: TypeAlias = Word | Constant | Span | Labelled | Typed | Bracketed | Call | Chain | Relation | Junction | Prefix
