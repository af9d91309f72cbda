"""A population in a store, and the two ways to ask about it: the compiled statement and the plain reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from sync.audience import Kind
from sync.json_value import Json, decode, encode
from sync.language import reading, tree
from sync.language.reading import Profile
from sync.store import Store, listed
from sync.store.compiler import Among, Reference, compile_audience, compile_trait
from sync.store.schema import calls, memberships, profiles

# What the ledger has of one definition: the value's JSON of the profile at each place, None where it has no row.
Referred = Mapping[str, tuple[Kind, Sequence[Json]]]


@dataclass(frozen=True)
class Population:
    """Profiles in a store. The id of the first is 1."""

    connection: Connection
    profiles: Sequence[Profile]
    referred: Referred

    @property
    def references(self) -> dict[str, Reference]:
        return {key: Reference(audience_id=place, kind=kind) for place, (key, (kind, _)) in enumerate(self.referred.items(), 1)}

    def members(self, query: tree.Condition, now: datetime, among: Among | None = None) -> set[int]:
        found = list(self.connection.scalars(compile_audience(query, now, among=among, references=self.references)))
        assert len(found) == len(set(found))
        return set(found)

    def values(self, query: tree.Computed, now: datetime, among: Among | None = None) -> dict[int, Json]:
        return {id: decode(text) for id, text in self.texts(query, now, among).items()}

    def texts(self, query: tree.Computed, now: datetime, among: Among | None = None) -> dict[int, str]:
        rows = self.connection.execute(compile_trait(query, now, among=among, references=self.references)).all()
        assert len(rows) == len({row.profile_id for row in rows})
        return {row.profile_id: row.value for row in rows}

    def read_members(self, query: tree.Condition, now: datetime) -> set[int]:
        return {id for id, profile in self._known() if reading.member(query, profile, now)}

    def read_values(self, query: tree.Computed, now: datetime) -> dict[int, Json]:
        found = {id: reading.value(query, profile, now) for id, profile in self._known()}
        return {id: value for id, value in found.items() if value is not None}

    def _known(self) -> Iterator[tuple[int, Profile]]:
        for id, profile in enumerate(self.profiles, 1):
            traits = dict(profile.traits)
            for key, (kind, values) in self.referred.items():
                traits[key] = bool(values[id - 1]) if kind is Kind.AUDIENCE else values[id - 1]
            yield id, Profile(traits=traits, events=profile.events)


def of_table(ids: Sequence[int]) -> Among:
    """Ask about the profiles of these ids as a run does that concerns many: by rows of a table."""
    return lambda profile_id: profile_id.in_(select(profiles.c.id).where(profiles.c.id.in_(ids)))


def of_list(ids: Sequence[int]) -> Among:
    """Ask about the profiles of these ids as a run does that concerns few: by one parameter."""
    return lambda profile_id: listed.among(profile_id, ids)


@dataclass(frozen=True)
class World:
    """An empty store that can be filled over and over."""

    store: Store

    @contextmanager
    def of(self, *population: Profile, referred: Referred | None = None) -> Iterator[Population]:
        """Put profiles into the store, for the time of a transaction that is rolled back."""
        with self.store.engine.connect() as connection:
            _fill(connection, population, referred or {})
            yield Population(connection, population, referred or {})
            connection.rollback()


def _fill(connection: Connection, population: Sequence[Profile], referred: Referred) -> None:
    at = datetime.fromisoformat("2020-01-01T00:00:00Z")
    everyone = [
        {"id": id, "user_id": f"user {id}", "traits": dict(profile.traits), "traits_at": {}, "created_at": at}
        for id, profile in enumerate(population, 1)
    ]
    # Someone without a user id, who did everything that the first did.
    everyone.append({"id": len(population) + 1, "user_id": None, "traits": {}, "traits_at": {}, "created_at": at})
    connection.execute(insert(profiles), everyone)
    rows = [row for id, profile in enumerate([*population, *population[:1]], 1) for row in _calls(id, profile)]
    if rows:
        connection.execute(insert(calls), rows)
    ledger = [
        {"audience_id": place, "profile_id": id, "value": None if value is None else encode(value), "since": at}
        | {"state": "settled", "attempts": 0, "run_id": 1}
        for place, (_, values) in enumerate(referred.values(), 1)
        for id, value in enumerate(values, 1)
    ]
    if ledger:
        connection.execute(insert(memberships), ledger)


def _calls(id: int, profile: Profile) -> Iterator[dict[str, Any]]:
    for event in sorted(profile.events, key=lambda event: event.order):
        yield {
            "message_id": f"{id} {event.order}",
            "source": event.source or "",
            "type": "track",
            "profile_id": id,
            "event": event.name,
            "timestamp": event.timestamp,
            "received_at": event.timestamp,
            "properties": dict(event.properties),
            "context": dict(event.context),
            "integrations": {},
        }
