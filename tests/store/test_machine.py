"""Whatever happens in whatever order: runs balance, and when nothing is owed Moesif holds exactly what the ledger says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from sync.delivery import Accepted, KeyRefused, Lane, Later, Outcome, Rejected, State, Unknown
from sync.json_value import Json, decode
from sync.membership import Outcome as RunOutcome
from sync.payload import Mapping
from sync.send import LEASE, SENDING, Desk, Sender
from sync.send.parcels import Busy
from sync.send.right import names
from sync.store import Store, leases, ledger, queue, runs
from sync.store.audiences import Stored, all_stored
from sync.store.retry import Selection, retry
from sync.store.schema import changes, memberships, metadata, profiles
from tests.make import after, audience, computed_trait, identify, keep, people, record, track

# Few of each, so that what happens happens to the same ones.
USERS = ("ann", "bob")
KEYS = ("a",)

users = st.sampled_from(USERS)
members = st.sets(users)
said = st.dictionaries(users, st.sampled_from([1, 2, 1.0, "x", False]))
fates = st.lists(st.sampled_from(["accept", "lost after", "later", "lost before", "key", "change"]), max_size=4)

poisons = st.none() | st.tuples(users, st.sampled_from([*KEYS, "n"]))

Held = dict[str, dict[str, Json]]


class Moesif:
    """Takes batches as a script of fates says, and well when the script has ended."""

    def __init__(self) -> None:
        self.held: Held = {user: {} for user in USERS}
        self.script: list[str] = []
        self.poison: tuple[str, str] | None = None
        self.meanwhile: Callable[[], None] = lambda: None

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], _may_send: object = None) -> Outcome:
        fate = self.script.pop(0) if self.script else "accept"
        if fate == "change":
            self.meanwhile()
        if fate == "later":
            return Later(reason="503")
        if fate == "key":
            return KeyRefused(reason="401")
        if fate == "lost before":
            return Unknown(reason="no answer")
        if lane is Lane.USERS and self.is_poisoned(documents):
            return Rejected(reason="400")
        if lane is Lane.USERS:
            self.take(documents)
        return Unknown(reason="no answer") if fate == "lost after" else Accepted()

    def is_poisoned(self, documents: Iterable[dict[str, Json]]) -> bool:
        return any((document["user_id"], key) == self.poison for document in documents for key in metadata_of(document))

    def take(self, documents: Iterable[dict[str, Json]]) -> None:
        for document in documents:
            self.held[str(document["user_id"])] |= metadata_of(document)


def metadata_of(document: dict[str, Json]) -> dict[str, Json]:
    found = document.get("metadata", {})
    assert isinstance(found, dict)
    return found


class Machine(RuleBasedStateMachine):
    store: Store

    @initialize()
    def begin(self) -> None:
        with self.store.writing() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        people(self.store, *USERS)
        self.stored: dict[str, Stored] = {key: audience(self.store, key) for key in KEYS} | {"n": computed_trait(self.store, "n")}
        self.moesif = Moesif()
        self.now = after()
        self.said: dict[str, Json] = {}
        desk = Desk(
            store=self.store, destination=self.moesif, mapping=Mapping(), space_id="s", clock=lambda: self.now, batch_items=1
        )
        self.sender = Sender(desk=desk, owner="one", connections=2)

    def later(self) -> None:
        self.now += timedelta(hours=1)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(user=users, value=st.integers(0, 3))
    def a_user_identifies(self, user: str, value: int) -> None:
        self.later()
        keep(self.store, identify(user, {"p": value}, at=self.now), track(user, at=self.now), forward=True)
        self.said[user] = value

    @rule(key=st.sampled_from(KEYS), members=members, resync=st.booleans())
    def an_audience_is_computed(self, key: str, members: set[str], resync: bool) -> None:
        self.later()
        record(self.store, self.stored[key], members, self.now, resync=resync)

    @rule(values=said, resync=st.booleans())
    def a_trait_is_computed(self, values: dict[str, Json], resync: bool) -> None:
        self.later()
        record(self.store, self.stored["n"], values, self.now, resync=resync)

    @rule(
        script=fates, poison=st.none() | st.tuples(users, st.sampled_from([*KEYS, "n"])), key=st.sampled_from(KEYS), members=members
    )
    def a_sender_does_what_it_can(self, script: list[str], poison: tuple[str, str] | None, key: str, members: set[str]) -> None:
        self.later()
        self.moesif.script, self.moesif.poison = list(script), poison
        self.moesif.meanwhile = lambda: record(self.store, self.stored[key], members, self.now) and None
        self.sender.drain(timedelta(0))
        self.moesif.script, self.moesif.poison = [], None

    @rule(arrived=st.booleans(), lane=st.sampled_from([Lane.USERS, Lane.ACTIONS]))
    def a_sender_dies(self, arrived: bool, lane: Lane) -> None:
        self.later()
        with self.store.writing() as connection:
            leases.take_some(connection, names(self.store), "dead", self.now, LEASE, 99)
            parcels = self.sender.desk.claim(connection, lane, Busy())
        if arrived and lane is Lane.USERS:
            self.moesif.take([parcel.document for parcel in parcels])
        self.later()

    @rule()
    def somebody_retries_what_was_rejected(self) -> None:
        with self.store.writing() as connection:
            retry(connection, Selection())

    @rule(key=st.sampled_from([*KEYS, "n"]))
    def somebody_stops_waiting_for_a_run(self, key: str) -> None:
        with self.store.writing() as connection:
            for run in runs.recent(connection, key, 1):
                if run.outcome is RunOutcome.DELIVERING:
                    runs.close(connection, run.id, self.now)

    @rule()
    def all_goes_well(self) -> None:
        for _ in range(20):
            if not self.is_due():
                break
            self.later()
            self.sender.drain(timedelta(0))
        assert not self.is_due()
        self.everything_was_told()

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────────

    def is_due(self) -> bool:
        with self.store.reading() as connection:
            return any(self.sender.desk.is_waiting(connection, lane, on_the_way=True) for lane in Lane)

    def everything_was_told(self) -> None:
        with self.store.reading() as connection:
            m = memberships.c
            rows = connection.execute(
                select(m.audience_id, profiles.c.user_id, m.value, m.accepted, m.state).join(
                    profiles, profiles.c.id == m.profile_id
                )
            ).all()
        keys = {stored.id: key for key, stored in self.stored.items()}
        for row in rows:
            assert row.state in (State.SETTLED, State.REJECTED)
            if row.state == State.SETTLED and row.value is not None:
                assert row.accepted == row.value
                assert repr(self.moesif.held[row.user_id][keys[row.audience_id]]) == repr(decode(row.value))
        for user, value in self.said.items():
            assert self.moesif.held[user]["p"] == value

    @invariant()
    def runs_that_have_ended_balance(self) -> None:
        with self.store.reading() as connection:
            for run in runs.recent(connection, None, 1000):
                assert run.outcome is not RunOutcome.UNBALANCED
                assert run.balanced or run.outcome is RunOutcome.DELIVERING

    @invariant()
    def the_latest_run_answers_for_all_that_is_owed(self) -> None:
        with self.store.reading() as connection:
            for stored in all_stored(connection):
                latest = runs.recent(connection, stored.key, 1)
                expected = latest[0].owed - latest[0].accepted - latest[0].rejected if latest else 0
                assert ledger.debt(connection, stored.id).owed == expected

    @invariant()
    def the_changes_replayed_give_the_ledger(self) -> None:
        with self.store.reading() as connection:
            replayed: dict[tuple[int, int], str | None] = {}
            for row in connection.execute(select(changes).order_by(changes.c.run_id)):
                replayed[row.audience_id, row.profile_id] = row.value
            m = memberships.c
            recorded = {(row[0], row[1]): row[2] for row in connection.execute(select(m.audience_id, m.profile_id, m.value))}
        assert replayed == recorded

    @invariant()
    def nothing_is_on_the_way_when_nobody_sends(self) -> None:
        with self.store.reading() as connection:
            if leases.count_held(connection, SENDING, self.now) == 0:
                return
            states = {state for _, state in queue.states(connection)} | {state for _, state in ledger.states(connection)}
        assert states <= {"owed", "unknown", "rejected", "sending"}

    def teardown(self) -> None:
        if hasattr(self, "moesif"):
            self.all_goes_well()


EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "0"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whatever_happens_moesif_ends_with_what_the_ledger_says(store: Store) -> None:
    run_machine(store, EXAMPLES or 20)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_whatever_happens_moesif_ends_with_what_the_ledger_says_on_postgresql(store: Store) -> None:
    run_machine(store, EXAMPLES or 5)


def run_machine(store: Store, examples: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(max_examples=examples, stateful_step_count=12, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(type("MachineOnThisStore", (Machine,), {"store": store}), settings=chosen)
