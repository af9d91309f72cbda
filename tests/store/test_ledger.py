"""The ledger owes what differs from what Moesif took, and every run's counts add up whatever happens on the way."""

from __future__ import annotations

from sync.membership import Outcome
from sync.store import Store, ledger
from sync.store.audiences import Stored
from tests.make import after, audience, record, run_of, told
from tests.store.owing import claim, deliver

# ── what a run finds ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_first_run_owes_every_member(store: Store, buyers: Stored) -> None:
    run = record(store, buyers, {"ann", "bob"})

    assert (run.members, run.entered, run.exited, run.owed, run.outcome) == (2, 2, 0, 2, Outcome.DELIVERING)
    assert deliver(store) == {"ann": True, "bob": True}


def test_a_later_run_owes_only_what_changed(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann", "bob"})
    deliver(store)

    run = record(store, buyers, {"bob", "cid"}, after(days=1))

    assert (run.members, run.entered, run.exited, run.changed, run.owed) == (2, 1, 1, 2, 2)
    assert deliver(store) == {"ann": False, "cid": True}


def test_a_run_that_changes_nothing_is_done_at_once(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    deliver(store)

    run = record(store, buyers, {"ann"}, after(days=1))

    assert (run.members, run.changed, run.owed, run.outcome) == (1, 0, 0, Outcome.DONE)


def test_a_run_over_nobody_is_done_at_once(store: Store, buyers: Stored) -> None:
    run = record(store, buyers, ())

    assert (run.members, run.owed, run.outcome, run.balanced) == (0, 0, Outcome.DONE, True)


def test_a_user_who_leaves_and_returns_is_entered_twice(store: Store, buyers: Stored) -> None:
    found = [record(store, buyers, members, after(days=day)) for day, members in enumerate([{"ann"}, (), {"ann"}])]

    assert [(run.entered, run.exited) for run in found] == [(1, 0), (0, 1), (1, 0)]


def test_since_is_the_instant_of_the_last_change(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    record(store, buyers, {"ann"}, after(days=1))

    assert told(store, "ann")["buyers"].since == after()


def test_audiences_are_told_apart(store: Store, buyers: Stored) -> None:
    other = audience(store, "other")
    record(store, buyers, {"ann"})

    run = record(store, other, {"ann", "bob"})

    assert (run.entered, run.owed) == (2, 2)
    assert {(update.key, update.user_id) for update in claim(store)} == {("buyers", "ann"), ("other", "ann"), ("other", "bob")}


# ── before anything is delivered ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_user_who_enters_and_leaves_before_anything_is_sent_is_told_false_and_never_true(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})

    run = record(store, buyers, (), after(days=1))

    assert (run.exited, run.owed) == (1, 1)
    assert deliver(store) == {"ann": False}


def test_a_member_who_leaves_and_returns_before_anything_is_sent_owes_nothing(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    deliver(store)
    record(store, buyers, (), after(days=1))

    run = record(store, buyers, {"ann"}, after(days=2))

    assert (run.entered, run.owed, run.outcome) == (1, 0, Outcome.DONE)
    assert claim(store) == []


def test_a_new_run_answers_for_what_earlier_ones_left(store: Store, buyers: Stored) -> None:
    first = record(store, buyers, {"ann", "bob"})

    second = record(store, buyers, {"ann", "bob", "cid"}, after(days=1))

    before = run_of(store, first)
    assert (before.outcome, before.owed, before.held, before.balanced) == (Outcome.INCOMPLETE, 2, 2, True)
    assert second.owed == 3
    deliver(store)
    assert (run_of(store, second).outcome, run_of(store, second).accepted) == (Outcome.DONE, 3)
    assert run_of(store, first) == before


# ── looking back ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_changes_replayed_give_the_membership_at_every_instant(store: Store, buyers: Stored) -> None:
    history = [{"ann"}, {"ann", "bob"}, set(), {"cid"}, {"ann", "cid"}]
    for day, members in enumerate(history):
        record(store, buyers, members, after(days=day))

    with store.reading() as connection:
        found = [{user for user, _, _ in ledger.members_at(connection, buyers, after(days=day))} for day in range(5)]
        between = {user for user, _, _ in ledger.members_at(connection, buyers, after(days=1, hours=12))}
        before = list(ledger.members_at(connection, buyers, after(days=-1)))
        now = {user for _, user, _, _ in ledger.members(connection, buyers, 0, 10)}

    assert found == history
    assert (between, before, now) == ({"ann", "bob"}, [], {"ann", "cid"})


def test_two_runs_of_one_instant_leave_the_later_ones_membership(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    record(store, buyers, {"bob"})

    with store.reading() as connection:
        assert [user for user, _, _ in ledger.members_at(connection, buyers, after())] == ["bob"]


def test_values_of_the_past_can_be_looked_up(store: Store, orders: Stored) -> None:
    for day, values in enumerate([{"ann": 1}, {"ann": 2, "bob": 5}, {"bob": 5}]):
        record(store, orders, values, after(days=day))

    with store.reading() as connection:
        found = [{user: value for user, _, value in ledger.members_at(connection, orders, after(days=day))} for day in range(3)]

    assert found == [{"ann": "1"}, {"ann": "2", "bob": "5"}, {"bob": "5"}]


def test_members_are_read_in_pages(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann", "bob", "cid"})

    with store.reading() as connection:
        first = ledger.members(connection, buyers, 0, 2)
        rest = ledger.members(connection, buyers, first[-1][0], 2)

    assert [user for _, user, _, _ in (*first, *rest)] == ["ann", "bob", "cid"]
