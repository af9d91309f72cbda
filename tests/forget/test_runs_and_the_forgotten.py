"""Runs count on without a user who was forgotten: they wait for nobody, and tell of nobody, who is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sync.compute import compute
from sync.delivery import Rejected, Unknown
from sync.membership import Outcome
from sync.store import Store
from tests.forget.conftest import Post
from tests.forget.lives import BUYERS, Forget, counts
from tests.make import NOW, after, again, audience, computed_trait, keep, people, record, run_of, standing_clock, track


def test_a_run_does_not_wait_for_a_user_who_was_forgotten(store: Store, forgotten: Forget, post: Post) -> None:
    people(store, "ann", "bob")
    run = record(store, audience(store), ["ann", "bob"])

    forgotten("ann")

    assert (run_of(store, run).outcome, run_of(store, run).owed) == (Outcome.DELIVERING, 1)
    post.drain()
    ended = run_of(store, run)
    assert (ended.outcome, ended.owed, ended.accepted) == (Outcome.DONE, 1, 1)
    assert ended.balanced


def test_a_run_ends_when_the_last_it_waits_for_is_forgotten(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    run = record(store, audience(store), ["ann"])

    forgotten("ann")

    ended = run_of(store, run)
    assert (ended.outcome, ended.owed) == (Outcome.DONE, 0)
    assert ended.balanced


def test_what_was_rejected_stays_counted_and_balanced(store: Store, forgotten: Forget, post: Post) -> None:
    people(store, "ann", "bob")
    run = record(store, audience(store), ["ann", "bob"])
    post.take_right()
    post.settle(post.claim(), Rejected(reason="400"))

    forgotten("ann")

    ended = run_of(store, run)
    assert (ended.outcome, ended.owed, ended.rejected) == (Outcome.INCOMPLETE, 2, 2)
    assert ended.balanced


def test_what_an_ended_run_held_or_did_not_know_is_counted_anew(store: Store, forgotten: Forget, post: Post) -> None:
    people(store, "ann", "bob")
    buyers = audience(store)
    run = record(store, buyers, ["ann", "bob"])
    post.take_right()
    post.settle(post.claim(), Unknown(reason="no answer"))

    forgotten("ann")

    open_still = run_of(store, run)
    assert (open_still.owed, open_still.unknown, open_still.held) == (1, 1, 0)
    assert open_still.balanced


def test_an_audience_counts_its_members_without_the_forgotten(store: Store, forgotten: Forget) -> None:
    people(store, "ann", "bob", "cid")
    buyers, others = audience(store), audience(store, "others")
    orders = computed_trait(store)
    record(store, buyers, ["ann", "bob"])
    record(store, others, ["ann"])
    record(store, others, ["bob"], at=after(hours=1))
    record(store, orders, {"ann": 3, "cid": 1})

    forgotten("ann")

    assert [again(store, stored).members for stored in (buyers, others, orders)] == [1, 1, 1]
    assert record(store, buyers, ["bob"], at=after(hours=2)).changed == 0


class Meanwhile:
    """A store in which something happens after a run has looked and before it writes down what it saw."""

    def __init__(self, store: Store, happens: Callable[[], object]) -> None:
        self._store = store
        self._happens = [happens]

    def run_ends(self) -> float | None:
        return self._store.run_ends()

    def connected(self, until: float | None = None) -> Any:
        outer = self

        class Sessions:
            def __enter__(self) -> Any:
                self._context = outer._store.connected(until)
                self._session = self._context.__enter__()
                return self

            def __exit__(self, *reason: Any) -> Any:
                return self._context.__exit__(*reason)

            def looking(self) -> Any:
                return self._session.looking()

            def writing(self) -> Any:
                while outer._happens:
                    outer._happens.pop()()
                return self._session.writing()

        return Sessions()


def test_a_run_that_was_looking_while_a_user_was_forgotten_looks_again(store: Store, forgotten: Forget) -> None:
    keep(store, track("ann"), track("bob"))
    buyers = audience(store, query=BUYERS)
    beside: Any = Meanwhile(store, lambda: forgotten("ann"))

    run = compute(beside, buyers, NOW, standing_clock())

    assert (run.members, run.entered) == (1, 1)
    assert counts(store)["memberships"] == counts(store)["changes"] == counts(store)["profiles"] == 1


def test_a_run_sees_a_user_forgotten_beside_it_in_the_generation_alone(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    buyers = audience(store)

    forgotten("ann")

    now = again(store, buyers)
    assert now.generation == buyers.generation + 1
    assert now.members == buyers.members


def test_the_next_run_tells_of_nobody_who_was_forgotten(store: Store, forgotten: Forget) -> None:
    keep(store, track("ann"), track("bob"))
    buyers = audience(store, query=BUYERS)
    compute(store, buyers, NOW, standing_clock())
    forgotten("ann")

    run = compute(store, again(store, buyers), after(hours=1), standing_clock(after(hours=1)), rebuild=True)

    assert (run.members, run.entered, run.exited) == (1, 0, 0)
    assert again(store, buyers).members == 1
