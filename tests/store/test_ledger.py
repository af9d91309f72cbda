"""The ledger owes what differs from what Moesif took, and every run's counts add up whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from sync.delivery import Lane, State
from sync.json_value import Json, decode
from sync.membership import Outcome, Run
from sync.store import Store, claims, debts, difference, ledger, runs
from sync.store.audiences import Stored, hold
from sync.store.schema import changes
from tests.make import after, audience, computed_trait, people, record, run_of, told


@pytest.fixture
def buyers(store: Store) -> Stored:
    people(store, "ann", "bob", "cid")
    return audience(store)


@pytest.fixture
def orders(store: Store) -> Stored:
    people(store, "ann", "bob")
    return computed_trait(store)


def due_of(limit: int) -> claims.Wanted:
    return claims.Wanted(lane=Lane.USERS, limit=limit)


def claim(store: Store) -> list[debts.Update]:
    """Take all that is owed."""
    with store.writing() as connection:
        due = debts.due_profiles(connection, due_of(100))
        return debts.claim(connection, due) if due else []


def accept(store: Store, *updates: debts.Update) -> None:
    with store.writing() as connection:
        hold(connection)
        debts.settle_accepted(connection, updates, after(seconds=1))


def reject(store: Store, *updates: debts.Update) -> None:
    with store.writing() as connection:
        hold(connection)
        debts.settle_rejected(connection, updates, "400", after(seconds=1))


def put_back(store: Store, *updates: debts.Update) -> None:
    with store.writing() as connection:
        debts.settle_back(connection, updates, State.OWED, "503")


def lose(store: Store, *updates: debts.Update) -> None:
    """The answer never came."""
    with store.writing() as connection:
        debts.settle_back(connection, updates, State.UNKNOWN, "no answer")


def die(store: Store, *_: debts.Update) -> None:
    """The sender is no more; another one finds what it left."""
    with store.writing() as connection:
        debts.abandon(connection, "died", after())


def deliver(store: Store) -> dict[str, Json]:
    """Deliver all that is owed, and return what was said about whom."""
    sent = claim(store)
    accept(store, *sent)
    return said(sent)


def said(updates: list[debts.Update]) -> dict[str, Json]:
    return {update.user_id: decode(update.value) for update in updates}


def close(store: Store, run: Run) -> Run:
    with store.writing() as connection:
        return runs.close(connection, runs.by_id(connection, run.id), after(minutes=1))


def state(store: Store, user: str = "ann", key: str = "buyers") -> str:
    return str(told(store, user)[key].state)


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


# ── while something is on the way ────────────────────────────────────────────────────────────────────────────────────────


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
        wanted = [row.profile_id for row in connection.execute(select(changes).order_by(changes.c.id).limit(1))]

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


# ── counts ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


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
        run_id = runs.open_run(connection, buyers.id, after(days=2), after(days=2))
        ledger.apply(connection, buyers, difference.of_retired(connection, buyers), after(days=2), run_id, after(days=2))
        run = runs.by_id(connection, run_id)

    assert (run.members, run.exited, run.owed) == (0, 1, 1)
    assert deliver(store) == {"ann": False}


def test_a_retired_computed_trait_just_stops(store: Store, orders: Stored) -> None:
    record(store, orders, {"ann": 3})
    deliver(store)

    with store.writing() as connection:
        run_id = runs.open_run(connection, orders.id, after(days=1), after(days=1))
        ledger.apply(connection, orders, difference.of_retired(connection, orders), after(days=1), run_id, after(days=1))
        run = runs.by_id(connection, run_id)

    assert (run.owed, run.outcome) == (0, Outcome.DONE)
    assert claim(store) == []


# ── computed traits ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_computed_trait_tells_new_and_changed_values(store: Store, orders: Stored) -> None:
    first = record(store, orders, {"ann": 1, "bob": 2.5})
    assert deliver(store) == {"ann": 1, "bob": 2.5}

    second = record(store, orders, {"ann": 2, "bob": 2.5}, after(days=1))

    assert (first.members, first.changed, first.entered, first.owed) == (2, 2, 0, 2)
    assert (second.members, second.changed, second.owed) == (2, 1, 1)
    assert deliver(store) == {"ann": 2}


@pytest.mark.parametrize("value", [0, 1.0, "", "true", True, False, [], ["a", 1], {"a": {"b": None}}, 2**70, 1e22])
def test_a_computed_value_of_any_type_is_told_as_it_is(store: Store, orders: Stored, value: Json) -> None:
    record(store, orders, {"ann": value})

    assert repr(deliver(store)) == repr({"ann": value})


def test_values_of_other_types_are_other_values(store: Store, orders: Stored) -> None:
    record(store, orders, {"ann": 1})
    deliver(store)

    assert record(store, orders, {"ann": 1.0}, after(days=1)).changed == 1
    assert record(store, orders, {"ann": "1"}, after(days=2)).changed == 1
    assert record(store, orders, {"ann": True}, after(days=3)).changed == 1


def test_a_value_that_vanishes_is_not_told_since_nothing_can_be_unset(store: Store, orders: Stored) -> None:
    record(store, orders, {"ann": 1})
    deliver(store)

    run = record(store, orders, {}, after(days=1))

    assert (run.members, run.changed, run.owed, run.outcome) == (0, 1, 0, Outcome.DONE)
    assert told(store, "ann")["orders"].value is None
    assert claim(store) == []


def test_a_value_that_vanishes_and_returns_as_it_was_owes_nothing(store: Store, orders: Stored) -> None:
    record(store, orders, {"ann": 1})
    deliver(store)
    record(store, orders, {}, after(days=1))

    assert record(store, orders, {"ann": 1}, after(days=2)).owed == 0
    assert record(store, orders, {"ann": 2}, after(days=3)).owed == 1


@pytest.mark.parametrize("fate", [accept, reject, put_back, lose, die])
def test_a_value_that_vanishes_on_the_way_leaves_nothing_owed(store: Store, orders: Stored, fate: Callable[..., None]) -> None:
    first = record(store, orders, {"ann": 1, "bob": 1})
    sent = claim(store)
    second = record(store, orders, {"bob": 1}, after(days=1))

    fate(store, *sent)
    deliver(store)

    assert state(store, key="orders") == "settled"
    assert run_of(store, first).balanced
    now = close(store, second)
    assert (now.owed, now.balanced) == (1, True)


@pytest.mark.parametrize("fate", [lose, die])
def test_a_value_that_may_have_arrived_and_vanished_is_told_when_the_old_one_returns(
    store: Store, orders: Stored, fate: Callable[..., None]
) -> None:
    record(store, orders, {"ann": 1})
    deliver(store)
    record(store, orders, {"ann": 2}, after(days=1))
    sent = claim(store)
    record(store, orders, {}, after(days=2))
    fate(store, *sent)

    record(store, orders, {"ann": 1}, after(days=3))

    assert deliver(store) == {"ann": 1}


def test_a_resync_of_a_computed_trait_tells_every_value_that_there_is(store: Store, orders: Stored) -> None:
    record(store, orders, {"ann": 1, "bob": 2})
    deliver(store)

    run = record(store, orders, {"bob": 2}, after(days=1), resync=True)

    assert run.owed == 1
    assert deliver(store) == {"bob": 2}


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
