"""kill -9 of a sync while Moesif refuses one user among ten: while it looks for whom, and around each commit (row 3)."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace
from sqlalchemy import func, select

from sync.app import system_clock
from sync.json_value import decode
from sync.standin import Fault, StandIn
from sync.store import Store, runs
from sync.store import schema as t
from tests.crash import oracle
from tests.crash.kills import let_leases_end, wait_until
from tests.crash.life import BATCH, Folder
from tests.crash.test_kill_at_every_step import deaths
from tests.make import identify, keep, track

USERS: Final = [f"user-{number}" for number in range(BATCH)]
BAD: Final = USERS[3]

REFUSAL: Final = Fault(lane="users", when_user=BAD, status=400, body='{"message": "not this one"}')

SLOW: Final = 0.1
"""Seconds that Moesif takes for an answer, so that one can be killed while it waits for this one and not for the next."""


def news(store: Store, number: int) -> None:
    """Let there be something new to tell about everybody, of which one request may carry all."""
    now = system_clock()
    said = [identify(user, {"n": number, "on": number % 2 == 0}, at=now, received_at=now) for user in USERS]
    keep(store, *said, *(track(user, at=now, received_at=now) for user in USERS), forward=True, now=now)


def refused(standin: StandIn) -> int:
    counts = standin.requests["users"]
    return counts.requests - counts.accepted


def that_one_alone_is_rejected(store: Store, standin: StandIn) -> None:
    """With its reason; everybody else is told, nothing is claimed, and no run waits."""
    m, d, users = t.memberships.c, t.deliveries.c, standin.users()
    ledger = (
        select(t.profiles.c.user_id, t.audiences.c.key, m.value, m.accepted, m.state, m.reason)
        .join(t.profiles, t.profiles.c.id == m.profile_id)
        .join(t.audiences, t.audiences.c.id == m.audience_id)
    )
    with store.reading() as connection:
        rows = connection.execute(ledger).all()
        left = connection.execute(select(d.subject, d.lane, d.state, d.reason).distinct()).all()
        orders = connection.scalar(select(func.count()).select_from(t.calls).where(t.calls.c.type == "track"))
        latest = runs.recent(connection, None, 1_000_000)
    reasons = {row.reason for row in rows if row.user_id == BAD}
    assert len(reasons) == 1
    assert "not this one" in str(*reasons)
    assert {(row.accepted, row.state) for row in rows if row.user_id == BAD} == {(None, "rejected")}
    assert [tuple(row) for row in left] == [(BAD, "users", "rejected", *reasons)]
    told = {(row.user_id, row.key): row for row in rows if row.user_id != BAD}
    assert {user for user, _ in told} == set(USERS) - {BAD} == users.keys()
    for (user, key), row in told.items():
        metadata = users[user]["metadata"]
        assert isinstance(metadata, dict)
        assert (row.accepted, row.state, metadata[key]) == (row.value, "settled", decode(row.value))
    assert len(standin.actions()) == orders
    assert all(run.balanced and run.outcome != "delivering" for run in latest)
    oracle.nothing_newer_was_overtaken(standin.history())


def test_a_sync_that_dies_while_it_looks_for_the_one_that_is_refused_claims_nothing_and_tells_all_others(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    standin.misbehave(replace(REFUSAL, delay_seconds=SLOW), Fault(lane="users", delay_seconds=SLOW, times=10_000))
    received = oracle.Received()
    for number in (2, 3, 5):
        news(store, number)
        requests, before = standin.requests["users"].requests, refused(standin)
        dying = folder.start("sync")
        wait_until(lambda until=requests + number: standin.requests["users"].requests >= until, "it does not ask")
        dying.kill()
        dying.join()
        let_leases_end(store, standin)
        assert refused(standin) > before, "it was not looking for anybody"
        oracle.nothing_is_claimed(store, received.by(standin.history()))

    assert folder.run("sync") == 1
    that_one_alone_is_rejected(store, standin)


def test_a_sync_that_dies_around_a_commit_in_which_somebody_is_rejected_loses_neither_them_nor_the_others(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    standin.misbehave(REFUSAL)
    news(store, 1)
    received, rejected = oracle.Received(), 0
    for number in deaths(folder, "sync", every=1, part=1, parts=5, at_commits=True, ends_with=1):
        let_leases_end(store, standin)
        with store.reading() as connection:
            is_rejected = connection.scalars(select(t.deliveries.c.subject).where(t.deliveries.c.state == "rejected")).all()
        assert set(is_rejected) <= {BAD}
        rejected += bool(is_rejected)
        oracle.nothing_is_claimed(store, received.by(standin.history()))
        news(store, 1 + number)

    assert rejected, "it never died once somebody was rejected"
    that_one_alone_is_rejected(store, standin)
