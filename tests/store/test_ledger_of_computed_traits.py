"""The ledger of values: told when they change, and never unset."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sync.json_value import Json
from sync.membership import Outcome
from sync.store import Store
from sync.store.audiences import Stored
from tests.make import after, record, run_of, told
from tests.store.owing import accept, claim, close, deliver, die, lose, put_back, reject, state


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
