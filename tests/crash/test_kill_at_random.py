"""kill -9 at random moments of ingest, compute and delivery, all at once."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from sync.standin import StandIn, Taken
from sync.store import Store
from sync.store import schema as t
from tests.crash.doubles import CONNECTIONS, Death, no_more_than_connections, only_what_was_in_hand
from tests.crash.kills import kill_often
from tests.crash.life import BATCH, Folder
from tests.crash.oracle import Received, nothing_is_claimed
from tests.make import audience, people, record

KILLS = 50


def test_a_service_that_is_killed_again_and_again_loses_nothing_and_claims_nothing(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    tally = kill_often(folder, store, standin, kills=KILLS, seed=1)

    assert tally.answered > KILLS
    assert tally.invalid > 0
    assert tally.senders is not None
    assert tally.senders >= 30
    # Not so few that what is held of doubles is held of nothing.
    assert tally.sent_twice > BATCH


def took(*ids: str, at: float) -> Taken:
    return Taken(lane="actions", documents=tuple({"transaction_id": id} for id in ids), arrived=at - 0.1, taken=at)


def test_what_the_ledger_claims_although_it_was_never_received_is_noticed(store: Store) -> None:
    people(store, "ann")
    record(store, audience(store), {"ann"})
    with store.writing() as connection:
        connection.execute(update(t.memberships).values(accepted="true"))

    def told(value: bool) -> Taken:
        return Taken(lane="users", documents=({"user_id": "ann", "metadata": {"buyers": value}},), arrived=1, taken=1)

    received = Received()
    with pytest.raises(AssertionError, match="never received"):
        nothing_is_claimed(store, received.by([told(value=False)]))
    nothing_is_claimed(store, received.by([told(value=False), told(value=True)]))


def test_what_is_told_again_after_a_death_although_it_was_in_nobodys_hand_is_noticed() -> None:
    history = [took("a", "b", at=1), took("a", at=3)]

    only_what_was_in_hand(history, [Death(at=2, in_hand={"a": True}, taken=1)], lost=0, batch=BATCH)
    with pytest.raises(AssertionError, match="although nobody had them in hand"):
        only_what_was_in_hand(history, [Death(at=2, in_hand={"b": True}, taken=1)], lost=0, batch=BATCH)


def test_what_one_that_lives_tells_again_although_no_answer_was_lost_is_noticed() -> None:
    history = [took("a", at=1), took("a", at=2)]

    only_what_was_in_hand(history, [], lost=1, batch=BATCH)
    with pytest.raises(AssertionError, match="1 told again by a process that lived, 0 answers were lost"):
        only_what_was_in_hand(history, [], lost=0, batch=BATCH)


def test_more_requests_of_a_dead_process_than_it_has_connections_are_noticed() -> None:
    ids = [f"{number}" for number in range(CONNECTIONS + 1)]
    late = [took(id, at=3) for id in ids]

    assert no_more_than_connections(late[1:], [Death(at=2, in_hand=dict.fromkeys(ids, True), taken=CONNECTIONS)]) == CONNECTIONS
    with pytest.raises(AssertionError, match="more on its way than connections"):
        no_more_than_connections(late, [Death(at=2, in_hand=dict.fromkeys(ids, True), taken=CONNECTIONS + 1)])


def test_an_answer_that_is_not_written_down_although_later_ones_are_is_noticed() -> None:
    ids = [f"{number}" for number in range(CONNECTIONS)]
    history = [*(took(id, at=1) for id in ids), took("later", at=2)]
    died = Death(at=3, in_hand=dict.fromkeys(ids, True), taken=len(history))

    with pytest.raises(AssertionError, match="in doubt that came before one that was written down"):
        no_more_than_connections(history, [died])
    # A tried one may be in doubt for longer: its answer was lost.
    assert no_more_than_connections(history, [Death(at=3, in_hand=dict.fromkeys(ids, False), taken=len(history))]) == 0
