"""Forgetting while calls come in, and while somebody else forgets the same user."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from sync.forget import Forgotten
from sync.store import Store, calls, erase, suppressions
from tests.forget.conftest import everything, tables_that_name
from tests.forget.lives import Forget, a_life, counts
from tests.make import NOW, call, identify, keep, people, track
from tests.meeting import losing_at_first, several_writers


def in_a_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    done: list[Any] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001 - handed to whoever joins
            done.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done


def test_a_call_that_is_being_taken_in_is_erased_with_the_others(store: Store, forgotten: Forget) -> None:
    people(store, "ann")

    with store.writing() as connection:
        calls.keep(connection, [("web", track("ann", anonymous_id="a-9"))], lambda call: (), NOW)
        thread, done = in_a_thread(lambda: forgotten("ann"))
        thread.join(0.3)
        assert thread.is_alive(), "it waits for the call"
    thread.join()

    assert isinstance(done[0], Forgotten)
    assert tables_that_name(store, "ann", "a-9") == []
    assert keep(store, track(None, anonymous_id="a-9")).suppressed == 1


@pytest.mark.parametrize("late", [{"user_id": "ann"}, {"user_id": None, "anonymous_id": "a-1"}], ids=["user", "visitor"])
def test_a_call_that_comes_in_while_its_user_is_being_erased_is_dropped(store: Store, late: dict[str, Any]) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))

    with store.writing() as connection:
        profile_id = erase.hold(connection, "ann")
        assert profile_id is not None
        suppressions.add(connection, erase.ids_of(connection, "ann", profile_id), NOW)
        erase.erase(connection, profile_id, NOW)
        thread, done = in_a_thread(lambda: keep(store, call(event="Order Completed", **late)))
        thread.join(0.3)
    thread.join()

    assert (done[0].accepted, done[0].suppressed) == (0, 1)
    assert counts(store)["calls"] == counts(store)["profiles"] == 0


def test_two_who_forget_the_same_user_at_once_leave_one_receipt(store: Store, forgotten: Forget) -> None:
    a_life(store, "ann", "visitor-of-ann")

    found = [in_a_thread(lambda: forgotten("ann")) for _ in range(2)]
    for thread, _ in found:
        thread.join()

    assert sorted(done[0].before for _, done in found) == [False, True]
    assert counts(store)["receipts"] == 1


@several_writers
def test_who_forgets_and_loses_to_whoever_takes_calls_in_does_not_wait_for_them(store: Store, forgotten: Forget) -> None:
    people(store, "ann")

    with store.writing() as taking_in:
        calls.keep(taking_in, [("web", track("zoe"))], lambda call: (), NOW)
        with losing_at_first(store):
            thread, done = in_a_thread(lambda: forgotten("ann"))
            thread.join(5)
            assert not thread.is_alive(), "it waits for the call"

    assert isinstance(done[0], Forgotten)
    assert tables_that_name(store, "ann") == []


def test_a_user_with_very_many_calls_is_forgotten_in_one_go(store: Store, forgotten: Forget) -> None:
    for start in range(0, 6_000, 2_000):
        keep(store, *(track("ann", message_id=f"big-{start + number}") for number in range(2_000)), forward=True)

    done = forgotten("ann")

    assert (done.receipt.erased["calls"], done.receipt.erased["deliveries"]) == (6_000, 6_000)


def test_nothing_is_erased_where_it_cannot_all_be(store: Store, forgotten: Forget) -> None:
    a_life(store, "ann", "visitor-of-ann")
    before = everything(store)

    with pytest.raises(RuntimeError), store.writing() as connection:
        profile_id = erase.hold(connection, "ann")
        assert profile_id is not None
        erase.erase(connection, profile_id, NOW)
        raise RuntimeError

    assert everything(store) == before
