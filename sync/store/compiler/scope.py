"""Where in a query we are: what is known of the user, which event is looked at, and how its reducers become SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from sqlalchemy import BigInteger, FromClause, and_, func, literal, literal_column, select, type_coerce

from sync.audience import Kind
from sync.language import tree
from sync.store.compiler.operands import ABSENT, Value, at, of_truth
from sync.store.compiler.places import Document, Sql, follow, side_by_side
from sync.store.schema import memberships, profiles

MOST_JOINED: Final = 12
"""How many references are joined; the others are looked up for each user. SQLite joins 64 tables at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A definition whose key is read as a trait; its values are in the ledger."""

    audience_id: int
    kind: Kind


Among: TypeAlias = Callable[[Sql], Sql]
"""Of the id of a profile, the condition that it is asked about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What the whole statement is about."""

    # Microseconds since 1970; of a statement that is executed again and again, told at each execution.
    now: Sql
    references: Mapping[str, Reference]
    # The only profiles that are asked about; None asks about everyone.
    among: Among | None = None

    def at(self, offset: int) -> Sql:
        """Give the instant that is so many microseconds after now, before it where the number is negative."""
        return self.now + literal(offset, BigInteger()) if offset else self.now

    def is_asked_about(self, profile_id: Sql) -> tuple[Sql, ...]:
        return () if self.among is None else (self.among(profile_id),)


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """The user in a row of the tables that are joined: where the traits and the values of references stand."""

    traits: Sql | None = None
    # The value's JSON by key; NULL where the ledger has none.
    referred: Mapping[str, Sql] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A value, or several: one for each row of a table."""

    value: Value
    # None where the value stands in what is joined already.
    rows: FromClause | None = None
    # Whether there is a row always; where there is none, the one value is the absent one.
    is_certain: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many events: never NULL; and whether there is one, where that is cheaper to ask."""

    count: Sql
    some: Sql | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope(ABC):
    """A place in a query."""

    run: Run
    user: User
    # The event that is looked at, and the one in whose `where` its stream stands.
    event: FromClause | None = None
    parent: FromClause | None = None

    @abstractmethod
    def inside(self, event: FromClause) -> Scope:
        """Give the scope of a stream's `where`."""

    @abstractmethod
    def reduce(self, reduced: tree.Reduced) -> Found:
        """Give the value of a reducer that stands here."""

    @abstractmethod
    def tally(self, count: tree.Count | tree.UniqueCount) -> Tally:
        """Count here."""

    def find(self, extractor: tree.Extractor) -> Found:
        """Look a value up."""
        match extractor:
            case tree.Trait():
                return self._trait(extractor)
            case tree.Property(path=path):
                return _of_event(self.event, "properties", path)
            case tree.ParentProperty(path=path):
                return _of_event(self.parent, "properties", path)
            case tree.Context(path=path):
                return _of_event(self.event, "context", path)

    def _trait(self, trait: tree.Trait) -> Found:
        reference = self.run.references.get(trait.key)
        if reference is None:
            assert self.user.traits is not None
            return _followed(Document(column=self.user.traits), trait.path)
        value = self.user.referred[trait.key]
        if reference.kind is Kind.COMPUTED_TRAIT:
            return _followed(Document(column=value, is_text=True), trait.path[1:])
        # Nothing stands below a boolean.
        return Found(value=ABSENT if len(trait.path) > 1 else of_truth(func.coalesce(value, literal_column("'false'"))))


def _of_event(event: FromClause | None, column: str, path: tree.Path) -> Found:
    assert event is not None, "the checker lets no property stand outside of a stream"
    return _followed(Document(column=event.c[column]), path)


def _followed(origin: Document, path: tree.Path) -> Found:
    tables, place = follow(origin, path)
    return Found(value=at(place), rows=side_by_side(tables) if tables else None)


def with_user(
    rows: FromClause, profile_id: Sql, run: Run, keys: frozenset[str], traits: Sql | None = None
) -> tuple[FromClause, User]:
    """Join what is known of the user to rows that have a profile id: the traits and the values that these keys need."""
    if traits is None and not keys <= run.references.keys():
        profile = profiles.alias()
        rows, traits = rows.join(profile, profile.c.id == profile_id), profile.c.traits
    referred: dict[str, Sql] = {}
    for key in sorted(keys & run.references.keys()):
        value = memberships.alias()
        itself = and_(value.c.audience_id == run.references[key].audience_id, value.c.profile_id == profile_id)
        if len(referred) < MOST_JOINED:
            rows, referred[key] = rows.outerjoin(value, itself), value.c.value
        else:
            referred[key] = select(value.c.value).where(itself).correlate_except(value).scalar_subquery()
    return rows, User(traits=traits, referred=referred)


def micros(column: Sql) -> Sql:
    """Take an instant as the number it is stored as, to calculate with."""
    return type_coerce(column, BigInteger())
