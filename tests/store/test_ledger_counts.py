"""The counts of runs, and what a resync or a retirement owes."""

from __future__ import annotations

from sync.membership import Outcome
from sync.store import Store, difference, ledger, runs
from sync.store.audiences import Stored
from tests.make import after, record, run_of
from tests.store.owing import accept, claim, close, deliver, lose, put_back, reject


def test_a_run_that_ends_early_says_what_became_of_everything(store: Store, buyers: Stored) -> None:
    run = record(store, buyers, {"ann", "bob", "cid"})
    first, second, _third = claim(store)
    accept(store, first)
    lose(store, second)

    ended = close(store, run)

    assert (ended.owed, ended.accepted, ended.unknown, ended.held, ended.outcome) == (3, 1, 1, 1, Outcome.INCOMPLETE)
    assert ended.balanced


def test_a_run_that_ended_early_goes_on_when_what_it_held_is_delivered(store: Store, buyers: Stored) -> None:
    run = record(store, buyers, {"ann", "bob"})
    close(store, run)

    deliver(store)

    now = run_of(store, run)
    assert (now.accepted, now.held, now.unknown, now.outcome, now.balanced) == (2, 0, 0, Outcome.DONE, True)


def test_a_run_that_ended_early_and_goes_on_can_end_early_again(store: Store, buyers: Stored) -> None:
    run = record(store, buyers, {"ann", "bob"})
    close(store, run)
    first, second = claim(store)
    accept(store, first)
    put_back(store, second)

    ended = close(store, run)

    assert (ended.accepted, ended.held, ended.outcome, ended.balanced) == (1, 1, Outcome.INCOMPLETE, True)


def test_the_size_history_follows_the_runs(store: Store, buyers: Stored) -> None:
    for day, members in enumerate([{"ann"}, {"ann", "bob", "cid"}, {"cid"}]):
        record(store, buyers, members, after(days=day))

    with store.reading() as connection:
        history = runs.size_history(connection, buyers.id, 10)

    assert history == ((after(), 1), (after(days=1), 3), (after(days=2), 1))


def test_states_count_what_is_not_settled(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann", "bob", "cid"})
    first, second, _ = claim(store)
    reject(store, first)
    lose(store, second)

    with store.reading() as connection:
        assert ledger.states(connection) == {("buyers", "rejected"): 1, ("buyers", "unknown"): 1, ("buyers", "sending"): 1}


# ── resync and retirement ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_resync_tells_members_true_and_everyone_else_who_was_ever_in_false(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann", "bob"})
    deliver(store)
    record(store, buyers, {"bob"}, after(days=1))
    deliver(store)

    run = record(store, buyers, {"bob", "cid"}, after(days=2), resync=True)

    assert (run.entered, run.owed) == (1, 3)
    assert deliver(store) == {"ann": False, "bob": True, "cid": True}
    assert run_of(store, run).outcome is Outcome.DONE


def test_a_resync_with_something_on_the_way_counts_it_once(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann", "bob"})
    sent = claim(store)

    run = record(store, buyers, {"ann", "bob"}, after(days=1), resync=True)
    accept(store, *sent)
    deliver(store)

    now = run_of(store, run)
    assert (now.owed, now.accepted, now.balanced) == (2, 2, True)


def test_a_resync_leaves_the_run_before_it_as_it_was(store: Store, buyers: Stored) -> None:
    first = record(store, buyers, {"ann", "bob"})
    accept(store, claim(store)[0])

    record(store, buyers, {"ann", "bob"}, after(days=1), resync=True)

    before = run_of(store, first)
    assert (before.owed, before.accepted, before.held, before.outcome) == (2, 1, 1, Outcome.INCOMPLETE)


def test_a_resync_tells_a_member_who_left_and_returned_before_anything_was_sent(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann"})
    deliver(store)
    record(store, buyers, (), after(days=1))

    record(store, buyers, {"ann"}, after(days=2), resync=True)

    assert deliver(store) == {"ann": True}


def test_a_retired_audience_tells_its_members_false(store: Store, buyers: Stored) -> None:
    record(store, buyers, {"ann", "bob"})
    deliver(store)
    record(store, buyers, {"ann"}, after(days=1))
    deliver(store)

    with store.writing() as connection:
        found = difference.of_retired(connection, buyers)
        run_id, _ = ledger.apply(connection, buyers, found, after(days=2), after(days=2), after(days=2))
        run = runs.by_id(connection, run_id)

    assert (run.members, run.exited, run.owed) == (0, 1, 1)
    assert deliver(store) == {"ann": False}


def test_a_retired_computed_trait_just_stops(store: Store, orders: Stored) -> None:
    record(store, orders, {"ann": 3})
    deliver(store)

    with store.writing() as connection:
        found = difference.of_retired(connection, orders)
        run_id, _ = ledger.apply(connection, orders, found, after(days=1), after(days=1), after(days=1))
        run = runs.by_id(connection, run_id)

    assert (run.owed, run.outcome) == (0, Outcome.DONE)
    assert claim(store) == []
