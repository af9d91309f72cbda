"""What changes, fails or is refused while something is on its way to Moesif."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from sync.membership import Outcome
from sync.store import Store, debts
from sync.store.audiences import Stored
from sync.store.schema import changes
from tests.make import after, audience, record, run_of, told
from tests.store.owing import accept, claim, deliver, die, due_of, lose, put_back, reject, said, state


def test_a_value_that_changes_on_the_way_is_owed_again(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    sent = claim(store)
    run = record(store, buyers, (), after(days=1))

    accept(store, *sent)

    assert (told(store, "ann")["buyers"].accepted, state(store)) == ("true", "owed")
    assert deliver(store) == {"ann": False}
    assert (run_of(store, run).accepted, run_of(store, run).outcome) == (1, Outcome.DONE)


def test_a_value_that_changes_twice_on_the_way_needs_telling_once(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    sent = claim(store)
    record(store, buyers, (), after(days=1))
    run = record(store, buyers, {"ann"}, after(days=2))

    accept(store, *sent)

    assert claim(store) == []
    assert (run_of(store, run).accepted, run_of(store, run).outcome) == (1, Outcome.DONE)


def test_an_answer_is_for_the_audience_it_was_about(store: Store, buyers: Stored) -> None:
    other = audience(store, "other")
    record(store, buyers, {"ann"})
    record(store, other, {"ann"})
    first, second = claim(store)

    accept(store, first)
    put_back(store, second)

    assert (state(store, key="buyers"), state(store, key="other")) == ("settled", "owed")
    assert said(claim(store)) == {"ann": True}


def test_what_was_not_taken_is_owed_again(store: Store, buyers: Stored) -> None:
    run = record(store, buyers, {"ann"})

    put_back(store, *claim(store))

    assert run_of(store, run).outcome is Outcome.DELIVERING
    assert deliver(store) == {"ann": True}


@pytest.mark.parametrize("fate", [lose, die])
def test_what_may_have_arrived_goes_before_everything_else(store: Store, buyers: Stored, fate: Callable[..., None]) -> None:
    record(store, buyers, {"cid"})
    fate(store, *claim(store))
    record(store, buyers, {"ann", "bob", "cid"}, after(days=1))

    with store.reading() as connection:
        due = debts.due_profiles(connection, due_of(1))
        wanted = [row.profile_id for row in connection.execute(select(changes).order_by(changes.c.run_id).limit(1))]

    assert due == wanted


@pytest.mark.parametrize("fate", [lose, die])
def test_what_may_have_arrived_is_told_again_with_the_value_of_now(store: Store, buyers: Stored, fate: Callable[..., None]) -> None:
    record(store, buyers, {"ann"})
    fate(store, *claim(store))

    record(store, buyers, (), after(days=1))

    assert deliver(store) == {"ann": False}


@pytest.mark.parametrize("fate", [lose, die])
def test_a_change_that_may_have_arrived_is_undone_by_telling(store: Store, buyers: Stored, fate: Callable[..., None]) -> None:
    record(store, buyers, {"ann"})
    deliver(store)
    record(store, buyers, (), after(days=1))
    fate(store, *claim(store))

    run = record(store, buyers, {"ann"}, after(days=2))

    assert run.owed == 1
    assert deliver(store) == {"ann": True}


@pytest.mark.parametrize("fate", [lose, die])
def test_what_may_have_arrived_is_not_forgotten_when_the_second_attempt_fails(
    store: Store, buyers: Stored, fate: Callable[..., None]
) -> None:
    record(store, buyers, {"ann"})
    deliver(store)
    record(store, buyers, (), after(days=1))
    fate(store, *claim(store))
    put_back(store, *claim(store))

    record(store, buyers, {"ann"}, after(days=2))

    assert deliver(store) == {"ann": True}


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_rejected_is_not_sent_again(store: Store, buyers: Stored) -> None:
    run = record(store, buyers, {"ann", "bob"})
    first, second = claim(store)

    accept(store, first)
    reject(store, second)

    now = run_of(store, run)
    assert (now.accepted, now.rejected, now.outcome, now.balanced) == (1, 1, Outcome.INCOMPLETE, True)
    assert claim(store) == []
    assert told(store, second.user_id)["buyers"].reason == "400"


def test_a_rejected_user_whose_value_changes_is_owed_again(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    reject(store, *claim(store))

    run = record(store, buyers, (), after(days=1))

    assert run.owed == 1
    assert deliver(store) == {"ann": False}


def test_a_rejected_user_whose_value_stays_is_not_owed_by_later_runs(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    reject(store, *claim(store))

    run = record(store, buyers, {"ann"}, after(days=1))

    assert (run.owed, run.outcome) == (0, Outcome.DONE)


def test_a_rejection_of_what_has_changed_meanwhile_owes_the_new_value(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    sent = claim(store)
    run = record(store, buyers, (), after(days=1))

    reject(store, *sent)

    assert deliver(store) == {"ann": False}
    assert (run_of(store, run).accepted, run_of(store, run).rejected) == (1, 0)


def test_a_rejected_member_is_told_again_by_a_resync(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    reject(store, *claim(store))

    record(store, buyers, {"ann"}, after(days=1), resync=True)

    assert deliver(store) == {"ann": True}
