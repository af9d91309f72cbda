"""The typed syntax tree of a query: what the parser makes, and what the SQL compiler, the reading and the analysis take.

    Condition   And Or Not · Compare CompareAny Presence DateOrder Recency          is true or false of a profile
    Scalar      Trait Property ParentProperty Context · Reduced · a literal         one value, or absent
    Reduced     Count UniqueCount Arithmetic Extreme Mode Pick                      one value made of a Stream of events
    Stream      an event's name and what narrows it: Where Sources Within Between   the events that are looked at

Whatever the checker accepts is a tree of these, and whatever it refuses has none: sugar, aliases, `literal(…)`, braces and
parentheses are gone, and `entity`, `ANY`, `ALL` do not appear. A quoted date on the right of `<`, `<=`, `>`, `>=` is already a
`Day` or an `Instant`. Two queries that differ only in such writing are equal. Knows nothing of text or of meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from typing import TypeAlias


class Each(Enum):
    """The step `$` of a path: every element of the array that is there."""

    ELEMENT = "$"


Step: TypeAlias = str | Each
# Never empty; the first step is a name.
Path: TypeAlias = tuple[Step, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """A place in the text of a query; the first line and the first column are 1."""

    line: int
    column: int


# ── literals ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A string."""

    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A number, finite as a double. A whole one without a fraction in the text stays an int, so that its digits stay exact."""

    value: int | float


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """`true` or `false`."""

    value: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """A date; as an instant it is its midnight in UTC."""

    value: date


@dataclass(frozen=True, kw_only=True, slots=True)
class Instant:
    """A timestamp, aware and UTC; one written without a zone was taken as UTC."""

    value: datetime


Literal: TypeAlias = Text | Number | Truth | Day | Instant


# ── values that are looked up ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Trait:
    """`trait('a.b')`: a trait of the user; an audience's or computed trait's key is one too."""

    path: Path
    at: Position | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        """Name the top-level trait."""
        first = self.path[0]
        assert isinstance(first, str)
        return first


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """`property('a.b')`: of the event that is looked at."""

    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ParentProperty:
    """`property(parent: 'a.b')`: of the event in whose `where` the stream of the event that is looked at stands."""

    path: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """`context('page.path')`: of the event that is looked at."""

    path: Path


Extractor: TypeAlias = Trait | Property | ParentProperty | Context
# What a reducer takes its values from.
Reducible: TypeAlias = Property | Context


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Where:
    """Keep the events for which the condition holds. A stream inside the condition is a funnel: this event is its parent."""

    condition: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Drop the events of these sources."""

    exclude: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Within:
    """`now − span < timestamp ≤ now`; of a parent `parent < timestamp ≤ parent + span`."""

    span: timedelta
    of_parent: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Between:
    """`now − far < timestamp ≤ now − near`; of a parent `parent + near < timestamp ≤ parent + far`. Always `near ≤ far`."""

    near: timedelta
    far: timedelta
    of_parent: bool = False


Filter: TypeAlias = Where | Sources | Within | Between


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """The user's events of one name, up to and including now, that pass every filter; the order of the filters means nothing.

    With `expires_after` only those of the session that is still open: taken by timestamp among the events that passed the
    filters, the longest run of latest events in which each is less than that after the one before, and nothing at all once
    the last is that old. Only the outermost stream of a computed trait has one.
    """

    event: str
    filters: tuple[Filter, ...] = ()
    expires_after: timedelta | None = None
    at: Position | None = field(default=None, compare=False, repr=False)


# ── reducers ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class ValueType(Enum):
    """What `as …` says of a reducer's values."""

    NUMBER = "number"
    STRING = "string"
    ARRAY = "array"


class ArithmeticFunction(Enum):
    """A reducer that adds."""

    SUM = "sum"
    AVG = "avg"


class ExtremeFunction(Enum):
    """A reducer that takes an end of the order of values."""

    MIN = "min"
    MAX = "max"


class PickFunction(Enum):
    """A reducer that takes an end of the order of events."""

    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """How many events."""

    stream: Stream


@dataclass(frozen=True, kw_only=True, slots=True)
class UniqueCount:
    """How many values `Unique` would give."""

    stream: Stream
    of: Reducible


@dataclass(frozen=True, kw_only=True, slots=True)
class Arithmetic:
    """The sum or the mean of the numbers, rounded to 9 decimals; absent if there are none."""

    function: ArithmeticFunction
    stream: Stream
    of: Reducible


@dataclass(frozen=True, kw_only=True, slots=True)
class Extreme:
    """The least or greatest; of numbers (NUMBER), or of texts by code point (STRING); absent if there are none."""

    function: ExtremeFunction
    stream: Stream
    of: Reducible
    type: ValueType = ValueType.NUMBER


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """The most frequent text seen at least so often; a tie goes to the least by code point. NUMBER is as STRING."""

    stream: Stream
    of: Reducible
    type: ValueType = ValueType.STRING
    at_least: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """The value of the first or last event that has one, as it is; by timestamp, then by arrival."""

    function: PickFunction
    stream: Stream
    of: Reducible


@dataclass(frozen=True, kw_only=True, slots=True)
class Unique:
    """The distinct values as texts, sorted by code point; the only list, and only a computed trait can be one."""

    stream: Stream
    of: Reducible


Reduced: TypeAlias = Count | UniqueCount | Arithmetic | Extreme | Mode | Pick
Scalar: TypeAlias = Extractor | Reduced
Operand: TypeAlias = Literal | Scalar


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Operator(Enum):
    """A comparator with one right-hand side. The value is the method's name."""

    EQUALS = "equals"
    DIFFERS = "differs"
    GREATER_THAN = "greater_than"
    AT_LEAST = "at_least"
    LESS_THAN = "less_than"
    AT_MOST = "at_most"
    OMITS = "omits"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"


class AnyOperator(Enum):
    """A comparator with a list on the right."""

    CONTAINS = "contains"
    ONE_OF = "one_of"
    NONE_OF = "none_of"


class DateOperator(Enum):
    """A comparator with a fixed instant."""

    BEFORE = "before_date"
    AFTER = "after_date"


class RecencyOperator(Enum):
    """A comparator with an instant that moves with now."""

    WITHIN_LAST = "within_last"
    BEFORE_LAST = "before_last"
    WITHIN_NEXT = "within_next"
    AFTER_NEXT = "after_next"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """One value against another.

    The right of GREATER_THAN … AT_MOST is no Truth; the right of OMITS, STARTS_WITH, ENDS_WITH is a Text, a Number or a Scalar.
    """

    left: Scalar
    operator: Operator
    right: Operand


@dataclass(frozen=True, kw_only=True, slots=True)
class CompareAny:
    """One value against a list that is never empty.

    CONTAINS takes Texts, Numbers and Scalars; ONE_OF and NONE_OF take literals only.
    """

    left: Scalar
    operator: AnyOperator
    rights: tuple[Operand, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """`exists()`, or `absent()`."""

    left: Scalar
    exists: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DateOrder:
    """Strictly before, or strictly after an instant."""

    left: Scalar
    operator: DateOperator
    right: Day | Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class Recency:
    """A date against now and a span."""

    left: Scalar
    operator: RecencyOperator
    span: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class And:
    """Every part holds; two parts or more."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Or:
    """Some part holds; two parts or more."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition


Comparison: TypeAlias = Compare | CompareAny | Presence | DateOrder | Recency
Condition: TypeAlias = Comparison | And | Or | Not

# An audience's query is a Condition; a computed trait's is a Computed.
Computed: TypeAlias = Reduced | Unique
Query: TypeAlias = Condition | Computed
