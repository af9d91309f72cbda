"""Where in a query we are: what is known of the user, which event is looked at, and how its reducers become SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, FromClause, Select, and_, func, literal_column, type_coerce

from sync.audience import Kind
from sync.language import tree
from sync.store.compiler.operands import ABSENT, Value, of_truth
from sync.store.compiler.places import Document, Elements, Place, Sql, follow
from sync.store.compiler import operands
from sync.store.schema import memberships, profiles


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A definition whose key is read as a trait; its values are in the ledger."""

    audience_id: int
    kind: Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What the whole statement is about."""

    # Microseconds since 1970.
    now: int
    references: Mapping[str, Reference]
    # The ids of the only profiles that are asked about; None asks about everyone.
    among: Select[Any] | None = None

    def is_asked_about(self, profile_id: Sql) -> tuple[Sql, ...]:
        return () if self.among is None else (profile_id.in_(self.among),)


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """The user in a row of the tables that are joined: where the traits and the values of references stand."""

    traits: Sql | None = None
    # The value's JSON by key; NULL where the ledger has none.
    referred: Mapping[str, Sql] = field(default_factory=dict)


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
    def reduce(self, reduced: tree.Reduced) -> tuple[FromClause | None, Value]:
        """Give the value of a reducer that stands here, and a table of one row in which it stands; None if that is joined."""

    @abstractmethod
    def tally(self, count: tree.Count | tree.UniqueCount) -> Tally:
        """Count here."""

    def find(self, extractor: tree.Extractor) -> tuple[tuple[Elements, ...], Value]:
        """Look a value up: the tables that the path's `$` make, and the value in their rows."""
        match extractor:
            case tree.Trait():
                return self._trait(extractor)
            case tree.Property(path=path):
                return _followed(self.event, "properties", path)
            case tree.ParentProperty(path=path):
                return _followed(self.parent, "properties", path)
            case tree.Context(path=path):
                return _followed(self.event, "context", path)

    def _trait(self, trait: tree.Trait) -> tuple[tuple[Elements, ...], Value]:
        reference = self.run.references.get(trait.key)
        if reference is None:
            assert self.user.traits is not None
            return _valued(*follow(Document(column=self.user.traits), trait.path))
        value = self.user.referred[trait.key]
        if reference.kind is Kind.COMPUTED_TRAIT:
            return _valued(*follow(Document(column=value, is_text=True), trait.path[1:]))
        # Nothing stands below a boolean.
        return (), (ABSENT if len(trait.path) > 1 else of_truth(func.coalesce(value, literal_column("'false'"))))


def _followed(event: FromClause | None, column: str, path: tree.Path) -> tuple[tuple[Elements, ...], Value]:
    assert event is not None, "the checker lets no property stand outside of a stream"
    return _valued(*follow(Document(column=event.c[column]), path))


def _valued(tables: tuple[Elements, ...], place: Place) -> tuple[tuple[Elements, ...], Value]:
    return tables, operands.at(place)


def with_user(rows: FromClause, profile_id: Sql, run: Run, keys: frozenset[str], traits: Sql | None = None) -> tuple[FromClause, User]:
    """Join what is known of the user to rows that have a profile id: the traits and the values that these keys need."""
    referred: dict[str, Sql] = {}
    for key in sorted(keys):
        reference = run.references.get(key)
        if reference is not None:
            value = memberships.alias()
            itself = and_(value.c.audience_id == reference.audience_id, value.c.profile_id == profile_id)
            rows, referred[key] = rows.outerjoin(value, itself), value.c.value
        elif traits is None:
            profile = profiles.alias()
            rows, traits = rows.join(profile, profile.c.id == profile_id), profile.c.traits
    return rows, User(traits=traits, referred=referred)


def micros(column: Sql) -> Sql:
    """Take an instant as the number it is stored as, to calculate with."""
    return type_coerce(column, BigInteger())
