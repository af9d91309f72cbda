"""Whatever arrives in whatever order and however time passes: looking only at those concerned gives what looking at everyone gives.

A machine draws definitions over the whole language, one of which reads the other two, and after every step holds three things
equal: the ledger as incremental runs have left it, a run over everyone, and the plain reading of the language over what is stored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from sync.apply import apply
from sync.audience import Definition, Kind
from sync.call import Call, CallType
from sync.compute import Wanted, compute, look
from sync.errors import NotFound
from sync.forget import forget
from sync.json_value import Json, decode
from sync.language import reading, tree
from sync.language.depth import DEEPEST, depth
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event, Profile
from sync.language.text import text_of
from sync.store import Store, audiences
from sync.store.schema import calls, memberships, metadata, profiles
from tests import strategies
from tests.make import alias, call, definition, identify, keep, standing_clock, track

EXAMPLES = int(os.environ.get("INCREMENTAL_EXAMPLES", "40"))
"""How many histories are tried on SQLite; a quarter as many on PostgreSQL."""

USERS = ("ann", "bob", "cid")
VISITORS = ("v1", "v2")

users = st.sampled_from(USERS)
visitors = st.sampled_from(VISITORS)
instants = strategies.instants()
documents = strategies.documents()
ticks = st.sampled_from([*(timedelta(hours=hours) for hours in (0, 0.5, 1, 2, 22, 24, 25, 48)), timedelta(microseconds=1)])


def reading_both(condition: tree.Condition, span: timedelta) -> tree.Condition:
    """Make a condition that depends on the audience `a`, on the computed trait `c` and on its date, if it is one."""
    is_in = tree.Compare(left=tree.Trait(path=("a",)), operator=tree.Operator.EQUALS, right=tree.Truth(value=True))
    recent = tree.Recency(left=tree.Trait(path=("c",)), operator=tree.RecencyOperator.WITHIN_LAST, span=span)
    many = tree.Compare(left=tree.Trait(path=("c",)), operator=tree.Operator.AT_LEAST, right=tree.Number(value=2))
    return tree.Or(parts=(tree.And(parts=(is_in, condition)), recent, many))


@st.composite
def definitions(draw: st.DrawFn) -> list[Definition]:
    dated = tree.Pick(
        function=tree.PickFunction.LAST,
        stream=tree.Stream(event="A", filters=(), expires_after=None),
        of=tree.Property(path=("when",)),
    )
    first, value = draw(strategies.audiences()), draw(strategies.computed_traits() | st.just(dated))
    third = reading_both(draw(strategies.audiences(depth=1)), draw(strategies.spans()))
    assume(max(map(depth, (first, value, third))) <= DEEPEST)
    return [
        definition("a", query=text_of(first)),
        definition("c", kind=Kind.COMPUTED_TRAIT, query=text_of(value)),
        definition("b", query=text_of(third)),
    ]


@st.composite
def some_calls(draw: st.DrawFn) -> Call:
    user, visitor = draw(st.none() | users), draw(visitors)
    whose: dict[str, Any] = {"user_id": user} if user else {"user_id": None, "anonymous_id": visitor}
    said: dict[str, Any] = {"properties": draw(documents), "context": draw(documents)}
    kind = draw(st.sampled_from([CallType.TRACK, CallType.TRACK, CallType.TRACK, CallType.IDENTIFY, CallType.PAGE]))
    name = {CallType.TRACK: draw(st.sampled_from(["A", "B"])), CallType.PAGE: "Page Viewed"}.get(kind)
    return call(kind, **whose, **said, event=name, timestamp=draw(instants))


class Machine(RuleBasedStateMachine):
    store: Store

    @initialize(wanted=definitions())
    def begin(self, wanted: list[Definition]) -> None:
        with self.store.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        self.now = strategies.NOW - timedelta(hours=3)
        self.wanted = wanted
        self.sent: list[Call] = []
        apply(self.store, wanted, self.now)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(batch=st.lists(some_calls(), min_size=1, max_size=4), source=st.sampled_from(["web", "app"]))
    def calls_arrive(self, batch: list[Call], source: str) -> None:
        keep(self.store, *batch)
        self.sent += batch

    @rule()
    def the_latest_call_arrives_again(self) -> None:
        keep(self.store, *self.sent[-1:])

    @rule(user=users, visitor=visitors, by_alias=st.booleans())
    def a_visitor_becomes_known(self, user: str, visitor: str, by_alias: bool) -> None:
        keep(self.store, alias(user, visitor) if by_alias else identify(user, {}, at=self.now, anonymous_id=visitor))

    @rule(passed=ticks)
    def time_passes(self, passed: timedelta) -> None:
        self.now += passed

    @rule(wanted=definitions(), which=st.integers(0, 2))
    def a_definition_is_edited(self, wanted: list[Definition], which: int) -> None:
        self.wanted = [*self.wanted[:which], wanted[which], *self.wanted[which + 1 :]]
        apply(self.store, self.wanted, self.now)

    @rule(which=st.integers(0, 1))
    def a_definition_goes_and_returns(self, which: int) -> None:
        apply(self.store, [one for place, one in enumerate(self.wanted) if place != which], self.now)
        if which == 0:
            self.everything_is_computed(["c", "b"], gone="a")
        apply(self.store, self.wanted, self.now)

    @rule(user=users)
    def a_call_of_long_ago_arrives(self, user: str) -> None:
        keep(self.store, track(user, "A", at=strategies.NOW - timedelta(days=400), properties={"p": 1, "when": "2026-03-01"}))

    @rule(user=users)
    def somebody_is_forgotten(self, user: str) -> None:
        with suppress(NotFound):
            forget(self.store, user, None, standing_clock(self.now), patience=timedelta())

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def what_is_concerned_is_all_that_changes(self) -> None:
        if hasattr(self, "now"):
            self.everything_is_computed(["a", "c", "b"])

    def everything_is_computed(self, keys: Sequence[str], gone: str | None = None) -> None:
        for key in keys:
            with self.store.reading() as connection:
                stored = audiences.by_key(connection, key)
            run = compute(self.store, stored, self.now, standing_clock(self.now))
            values = self.recorded(key)
            assert values == self.read(key, gone), (key, stored.definition.query)
            assert run.members == len(values)
            with self.store.reading() as connection:
                whole = look(connection, audiences.by_key(connection, key), Wanted(at=self.now, rebuild=True), self.now)
                assert (whole.found.changed, whole.found.before) == (0, run.members)

    def recorded(self, key: str) -> dict[str, Json]:
        """Return who is in or has a value, and which, as the ledger says."""
        m = memberships.c
        with self.store.reading() as connection:
            stored = audiences.by_key(connection, key)
            rows = select(profiles.c.user_id, m.value).join(profiles, profiles.c.id == m.profile_id)
            found = connection.execute(rows.where(m.audience_id == stored.id, m.value.is_not(None))).all()
        return {user: decode(value) for user, value in found if not (stored.is_audience and value == "false")}

    def read(self, key: str, gone: str | None) -> dict[str, Json]:
        """Return the same, as the plain reading gives it for what is stored."""
        wanted = next(one for one in self.wanted if one.key == key)
        referred = {other: self.recorded(other) for other in ("a", "c") if key == "b" and other != gone}
        found: dict[str, Json] = {}
        for user, profile in self.people().items():
            traits = dict(profile.traits)
            for other, values in referred.items():
                traits[other] = values.get(user, False if other == "a" else None)
            answer = answered(wanted, Profile(traits=traits, events=profile.events), self.now)
            if answer is True if wanted.kind is Kind.AUDIENCE else answer is not None:
                found[user] = answer
        return found

    def people(self) -> dict[str, Profile]:
        with self.store.reading() as connection:
            rows = connection.execute(select(profiles).where(profiles.c.user_id.is_not(None))).all()
            return {row.user_id: Profile(traits=row.traits, events=events_of(connection, row.id)) for row in rows}


def answered(wanted: Definition, profile: Profile, now: datetime) -> Json:
    if wanted.kind is Kind.AUDIENCE:
        return reading.member(parse_audience(wanted.query), profile, now)
    return reading.value(parse_computed_trait(wanted.query), profile, now)


def events_of(connection: Any, profile_id: int) -> tuple[Event, ...]:
    theirs = select(calls).where(calls.c.profile_id == profile_id, calls.c.event.is_not(None))
    return tuple(
        Event(
            name=row.event, timestamp=row.timestamp, order=row.id, properties=row.properties, context=row.context, source=row.source
        )
        for row in connection.execute(theirs)
    )


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_incremental_rebuilt_and_read_are_one(store: Store) -> None:
    run_machine(store, EXAMPLES)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_incremental_rebuilt_and_read_are_one_on_postgresql(store: Store) -> None:
    run_machine(store, max(1, EXAMPLES // 4))


def run_machine(store: Store, examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]
    chosen = settings(max_examples=examples, stateful_step_count=10, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(type("MachineOnThisStore", (Machine,), {"store": store}), settings=chosen)
