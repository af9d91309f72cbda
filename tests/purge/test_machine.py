"""Whatever is thrown away and whoever is forgotten: memberships are what they would be with all of history, and so is the past.

A machine lets calls arrive, time pass, history be purged and users be forgotten, computes now and then, and holds the ledger to the
plain reading of the language over everything that was ever sent, and `members --at` to what it said before the purge.
"""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import func, select

from sync.apply import apply
from sync.audience import Definition, Kind
from sync.call import Call
from sync.compute import compute
from sync.errors import InputError, NotFound
from sync.forget import forget
from sync.json_value import Json, decode
from sync.language import reading, tree
from sync.language.depth import DEEPEST, depth
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reach import reach
from sync.language.reading import Event, Profile
from sync.language.text import text_of
from sync.purge import Retention, purge
from sync.store import Store, audiences, ledger, purges
from sync.store.schema import calls, memberships, metadata, profiles
from tests import strategies
from tests.make import definition, keep, standing_clock, track

EXAMPLES = int(os.environ.get("PURGE_EXAMPLES", "40"))
"""How many histories are tried on SQLite; a quarter as many on PostgreSQL."""

USERS = ("ann", "bob")

users = st.sampled_from(USERS)
documents = strategies.documents()
ticks = st.sampled_from([timedelta(hours=hours) for hours in (0.5, 1, 2, 22, 24, 25, 48, 72)])
ages = st.sampled_from([timedelta(hours=hours) for hours in (0, 0.5, 1, 2, 23, 24, 25, 48, 49, 100, -1)])


def bounded(part: Any, span: timedelta) -> Any:
    """Give each stream of a query that looks back for ever a window."""
    if isinstance(part, tuple):
        return tuple(bounded(one, span) for one in part)
    if not is_dataclass(part):
        return part
    made: Any = replace(part, **{field.name: bounded(getattr(part, field.name), span) for field in fields(part)})  # type: ignore[type-var]
    if isinstance(made, tree.Stream) and reach(tree.Count(stream=replace(made, filters=windows_of(made)))) is None:
        return replace(made, filters=(*made.filters, tree.Within(span=span)))
    return made


def windows_of(stream: tree.Stream) -> tuple[tree.Filter, ...]:
    return tuple(one for one in stream.filters if isinstance(one, tree.Within | tree.Between))


def counted(stream: tree.Stream, number: int) -> tree.Condition:
    return tree.Compare(left=tree.Count(stream=stream), operator=tree.Operator.AT_LEAST, right=tree.Number(value=number))


@st.composite
def plain(draw: st.DrawFn) -> tree.Condition:
    """Draw a query that users enter and leave as time passes, as most that are drawn blindly are not."""
    near, far = sorted([draw(strategies.spans()), draw(strategies.spans())])
    window = draw(st.sampled_from([tree.Within(span=far), tree.Between(near=near, far=far)]))
    after = tree.Stream(event="B", filters=(tree.Within(span=near, of_parent=True),))
    funnel = tree.Where(condition=counted(after, 1))
    narrowed = draw(st.sampled_from([(window,), (window,), (window, funnel)]))
    return counted(tree.Stream(event="A", filters=narrowed), draw(st.integers(1, 2)))


@st.composite
def definitions(draw: st.DrawFn) -> list[Definition]:
    span = draw(strategies.spans())
    condition = bounded(draw(strategies.weighted((2, plain()), (1, strategies.audiences()))), span)
    value = bounded(draw(strategies.computed_traits()), span)
    assume(max(depth(condition), depth(value)) <= DEEPEST)
    return [
        definition("a", query=text_of(condition)),
        definition("c", kind=Kind.COMPUTED_TRAIT, query=text_of(value)),
    ]


class Machine(RuleBasedStateMachine):
    store: Store

    @initialize(wanted=definitions(), longer=st.sampled_from([timedelta(), timedelta(hours=3), timedelta(days=3)]))
    def begin(self, wanted: list[Definition], longer: timedelta) -> None:
        with self.store.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        self.now = strategies.NOW
        self.wanted = {one.key: one for one in wanted}
        spans = [span for one in wanted if (span := reach(parsed(one))) is not None]
        assert len(spans) == len(wanted), "none looks back for ever"
        self.retain = max(*spans, timedelta(hours=1)) + longer
        self.sent: list[Call] = []
        self.forgotten: set[str] = set()
        self.past: list[tuple[datetime, frozenset[str]]] = []
        apply(self.store, wanted, self.now)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(who=users, name=st.sampled_from(["A", "B"]), age=ages, said=documents, context=documents)
    def a_call_arrives(self, who: str, name: str, age: timedelta, said: dict[str, Json], context: dict[str, Json]) -> None:
        call = track(who, name, at=self.now - age, properties=said, context=context)
        kept = keep(self.store, call)
        assert kept.suppressed == (who in self.forgotten)
        if who not in self.forgotten:
            self.sent.append(call)

    @rule(passed=ticks)
    def time_passes(self, passed: timedelta) -> None:
        self.now += passed

    @rule(key=st.sampled_from(["a", "c"]))
    def one_is_computed(self, key: str) -> None:
        self.compute(key, rebuild=False)

    @rule()
    def everything_is_computed_anew(self) -> None:
        for key in self.wanted:
            self.compute(key, rebuild=True)

    @rule(steps=st.none() | st.integers(0, 2), changes=st.sampled_from([timedelta(hours=1), timedelta(hours=30)]))
    def history_is_purged(self, steps: int | None, changes: timedelta) -> None:
        """Sometimes it is interrupted."""
        going = purge(self.store, Retention(events=self.retain, changes=changes), self.now, lambda seconds: None)
        for taken, _ in enumerate(going):
            if taken == steps:
                return

    @rule(passed=ticks)
    def time_passes_and_history_is_purged(self, passed: timedelta) -> None:
        self.now += passed
        self.history_is_purged(steps=None, changes=timedelta(hours=30))

    @rule(who=users, sure=st.integers(0, 3))
    def a_user_is_forgotten(self, who: str, sure: int) -> None:
        if sure:
            # Rarely, since a world without anybody shows little.
            return
        known = any(call.user_id == who for call in self.sent) or who in self.forgotten
        try:
            forget(self.store, who, None, standing_clock(self.now))
        except NotFound:
            assert not known
            return
        self.forgotten.add(who)
        self.sent = [call for call in self.sent if call.user_id != who]

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────────

    def compute(self, key: str, *, rebuild: bool) -> None:
        with self.store.reading() as connection:
            stored = audiences.by_key(connection, key)
        run = compute(self.store, stored, self.now, standing_clock(self.now), rebuild=rebuild)
        values = self.recorded(key)
        assert values == self.read(key), stored.definition.query
        assert run.members == len(values)
        if key == "a":
            self.past = [one for one in self.past if one[0] != self.now] + [(self.now, frozenset(values))]

    @precondition(lambda self: hasattr(self, "past"))
    @invariant()
    def the_past_is_as_it_was_as_far_as_it_can_be_told(self) -> None:
        with self.store.reading() as connection:
            stored = audiences.by_key(connection, "a")
            until = purges.horizon(connection, purges.CHANGES)
            for at, members in self.past:
                if until is not None and at < until:
                    with pytest.raises(InputError):
                        purges.require_changes(connection, at)
                else:
                    purges.require_changes(connection, at)
                    assert {user for user, _, _ in ledger.members_at(connection, stored, at)} == members - self.forgotten

    @precondition(lambda self: hasattr(self, "past"))
    @invariant()
    def members_are_counted(self) -> None:
        with self.store.reading() as connection:
            for key in self.wanted:
                assert audiences.by_key(connection, key).members == len(self.recorded(key))
            known = set(connection.scalars(select(profiles.c.user_id)))
            assert known == {call.user_id for call in self.sent}
            assert connection.scalars(select(func.count()).select_from(calls)).one() <= len(self.sent)

    def recorded(self, key: str) -> dict[str, Json]:
        m = memberships.c
        with self.store.reading() as connection:
            stored = audiences.by_key(connection, key)
            rows = select(profiles.c.user_id, m.value).join(profiles, profiles.c.id == m.profile_id)
            found = connection.execute(rows.where(m.audience_id == stored.id, m.value.is_not(None))).all()
        return {user: decode(value) for user, value in found if not (stored.is_audience and value == "false")}

    def read(self, key: str) -> dict[str, Json]:
        """Return who is in or has a value, and which, by everything that was ever sent."""
        wanted = self.wanted[key]
        found: dict[str, Json] = {}
        for user in {call.user_id for call in self.sent if call.user_id}:
            events = tuple(event(order, call) for order, call in enumerate(self.sent) if call.user_id == user)
            answer = answered(wanted, Profile(traits={}, events=events), self.now)
            if answer is True if wanted.kind is Kind.AUDIENCE else answer is not None:
                found[user] = answer
        return found


def event(order: int, call: Call) -> Event:
    return Event(
        name=call.event or "", timestamp=call.timestamp, order=order, properties=call.properties, context=call.context, source="web"
    )


def parsed(one: Definition) -> tree.Query:
    return parse_audience(one.query) if one.kind is Kind.AUDIENCE else parse_computed_trait(one.query)


def answered(wanted: Definition, profile: Profile, now: datetime) -> Json:
    if wanted.kind is Kind.AUDIENCE:
        return reading.member(parse_audience(wanted.query), profile, now)
    return reading.value(parse_computed_trait(wanted.query), profile, now)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_nothing_that_counts_is_thrown_away(store: Store) -> None:
    run_machine(store, EXAMPLES)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_that_counts_is_thrown_away_on_postgresql(store: Store) -> None:
    run_machine(store, max(1, EXAMPLES // 4))


def run_machine(store: Store, examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]
    chosen = settings(max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(type("MachineOnThisStore", (Machine,), {"store": store}), settings=chosen)
