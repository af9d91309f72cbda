"""Claims and answers side by side: neither waits for the other on PostgreSQL, a run waits for both, and nobody is sent to twice."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import event, func, select

from sync.delivery import Accepted, Lane, Later, Outcome
from sync.errors import Unreachable
from sync.send.parcels import Busy, Parcel
from sync.store import Store, audiences
from sync.store.audiences import Stored
from sync.store.schema import claims
from tests.make import audience, identify, keep, people, record, run_of, track

several_writers = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
"""A SQLite file has one writer at a time."""

USERS = [f"u{number}" for number in range(4)]


@pytest.fixture
def buyers(store: Store) -> Stored:
    """An audience of which everybody is owed."""
    people(store, *USERS)
    stored = audience(store)
    record(store, stored, USERS)
    return stored


def subjects(parcels: list[Parcel]) -> set[str]:
    return {parcel.subject for parcel in parcels}


@several_writers
def test_others_are_claimed_while_answers_are_written_down(store: Store, fake_road, buyers: Stored) -> None:
    desk = fake_road.over(batch_items=2).desk
    with store.writing() as connection:
        first = desk.claim(connection, Lane.USERS, Busy())

    with store.writing() as settling, store.once_more(0.5) as impatient:
        desk.settle(settling, [(first, Accepted())])
        with impatient.writing() as claiming:
            others = desk.claim(claiming, Lane.USERS, Busy(first))

    assert (len(first), subjects(others)) == (2, set(USERS) - subjects(first))


@several_writers
def test_no_run_records_anything_while_somebody_claims(store: Store, fake_road, buyers: Stored) -> None:
    with store.writing() as claiming, store.once_more(0.2) as impatient:
        fake_road.desk.claim(claiming, Lane.USERS, Busy())

        with pytest.raises(Unreachable, match="lock timeout"), impatient.writing() as recording:
            audiences.locked(recording, buyers.id)


@several_writers
def test_no_run_records_anything_while_answers_are_written_down(store: Store, fake_road, buyers: Stored) -> None:
    with store.writing() as claiming:
        parcels = fake_road.desk.claim(claiming, Lane.USERS, Busy())

    with store.writing() as settling, store.once_more(0.2) as impatient:
        fake_road.desk.settle(settling, [(parcels, Accepted())])

        with pytest.raises(Unreachable, match="lock timeout"), impatient.writing() as recording:
            audiences.locked(recording, buyers.id)


@several_writers
def test_requests_go_on_leaving_while_answers_are_written_down(store: Store, fake_road, told) -> None:
    users = [f"u{number}" for number in range(120)]
    people(store, *users)
    record(store, audience(store), users)
    all_left = threading.Event()
    waited = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def settled(_connection, _cursor, statement: str, *_) -> None:
        if statement.startswith("UPDATE runs") and not waited:
            waited.append(all_left.wait(5))

    told.answer = lambda lane, documents: _noted(all_left, len(told.posts) == len(users))
    drain = fake_road.over(batch_items=1).with_(connections=1).drain()

    assert (waited, drain.accepted) == ([True], 120)


def _noted(all_left: threading.Event, is_last: bool) -> Outcome:
    if is_last:
        all_left.set()
    return Accepted()


def test_the_first_claim_is_of_few_so_that_they_leave_at_once(store: Store, fake_road, told) -> None:
    users = [f"u{number}" for number in range(900)]
    people(store, *users)
    record(store, audience(store), users)
    claimed: list[int] = []

    @event.listens_for(store.engine, "commit")
    def committed(connection) -> None:
        if (number := connection.scalars(select(func.sum(claims.c.number))).one()) and not told.posts:
            claimed.append(int(number))

    fake_road.over(batch_items=300).drain()

    assert claimed[0] == 300
    assert set(told.users) == set(users)


@pytest.mark.parametrize("owed", ["calls", "memberships"])
def test_what_was_put_back_waits_for_what_is_being_written_down(store: Store, fake_road, told, owed: str) -> None:
    users = [f"u{number}" for number in range(60)]
    people(store, *users)
    if owed == "calls":
        keep(store, *(identify(user, {"n": 1}) for user in users), forward=True)
    run = record(store, audience(store), users if owed == "memberships" else ())
    refused = iter([*[Accepted()] * 40, Later(reason="503")])
    told.answer = lambda lane, documents: next(refused, Accepted())
    road = fake_road.over(batch_items=1).with_(connections=1)

    road.drain()

    assert set(told.users) == set(users)
    assert run_of(store, run).balanced
    assert len(told.posts) == 61


def test_actions_which_are_about_nobody_are_never_in_each_others_way() -> None:
    busy = Busy([Parcel(subject="", parts=(), document={})])

    assert not busy.has_any([Parcel(subject="", parts=(), document={})])
    busy.add([Parcel(subject="ann", parts=(), document={})])
    assert busy.has_any([Parcel(subject="ann", parts=(), document={})])


def test_of_many_actions_each_is_sent_once(store: Store, fake_road, told) -> None:
    keep(store, *(track(f"u{number}", properties={"n": number}) for number in range(150)), forward=True)

    drain = fake_road.over(batch_items=1).drain()

    sent = [document["metadata"]["n"] for _, documents in told.posts for document in documents]
    assert (sorted(sent), drain.accepted) == (list(range(150)), 150)
