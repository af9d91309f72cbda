"""A user is forgotten while a sender has them in a request: it is waited for, and if not, its answer does no harm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from sync.delivery import Accepted, KeyRefused, Later, Rejected, Unknown
from sync.delivery import Outcome as Answer
from sync.forget import Forgotten, forget
from sync.json_value import Json
from sync.membership import Outcome
from sync.store import Store
from tests.forget.conftest import Post, Told, everything, tables_that_name
from tests.make import NOW, audience, identify, keep, people, record, run_of, standing_clock, told, track

Forget = Callable[..., Forgotten]

ANSWERS = (Accepted(), Rejected(reason="400"), Unknown(reason="no answer"), Later(reason="503"), KeyRefused(reason="401"))


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_an_answer_about_an_erased_user_changes_nothing_of_theirs_and_settles_the_others(
    store: Store, forgotten: Forget, post: Post, answer: Answer
) -> None:
    people(store, "ann", "bob")
    run = record(store, audience(store), ["ann", "bob"])
    post.take_right()
    parcels = post.claim()
    assert {parcel.subject for parcel in parcels} == {"ann", "bob"}
    forgotten("ann")

    post.settle(parcels, answer)

    assert tables_that_name(store, "ann") == []
    assert run_of(store, run).owed == 1
    assert run_of(store, run).balanced
    assert set(everything(store)["memberships"]) == set(everything(store)["memberships"][:1])
    if isinstance(answer, Accepted):
        assert run_of(store, run).outcome is Outcome.DONE
        assert told(store, "bob")["buyers"].accepted == "true"


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_an_answer_about_an_erased_call_does_not_touch_one_that_has_its_number_now(
    store: Store, forgotten: Forget, post: Post, answer: Answer
) -> None:
    """SQLite gives the id of the last row to the next one once it has been erased."""
    keep(store, identify("ann", {"plan": "pro"}), forward=True)
    post.take_right()
    erased = post.claim()
    forgotten("ann")
    keep(store, identify("bob", {"plan": "pro"}), forward=True)
    before = everything(store)["deliveries"]

    assert post.claim(busy=erased) == [] or not store.on_sqlite
    post.settle(erased, answer)

    assert len(before) == 1
    if store.on_sqlite:
        assert everything(store)["deliveries"] == before
        assert [parcel.subject for parcel in post.claim()] == ["bob"]


def test_a_request_that_carries_the_user_is_waited_for(store: Store, told: Told, post: Post) -> None:
    people(store, "ann")
    run = record(store, audience(store), ["ann"])
    began, go_on = threading.Event(), threading.Event()

    def slowly(documents: Sequence[dict[str, Json]]) -> Answer:
        began.set()
        go_on.wait(10)
        return Accepted()

    told.answer = slowly
    sending = threading.Thread(target=post.drain)
    sending.start()
    assert began.wait(10)
    waits: list[None] = []
    done: list[Forgotten] = []

    def wait() -> None:
        waits.append(None)
        # The others are not kept waiting meanwhile.
        keep(store, track("bob"))
        go_on.set()

    forgetting = threading.Thread(target=lambda: done.append(forget(store, "ann", None, standing_clock(), waiting=wait)))
    forgetting.start()
    forgetting.join(20)
    sending.join(20)

    assert waits
    assert not done[0].before
    assert tables_that_name(store, "ann") == []
    assert run_of(store, run).outcome is Outcome.DONE
    assert run_of(store, run).accepted == 1, "it was told before they were forgotten"


def test_a_user_whose_request_never_ends_is_erased_when_patience_does(store: Store, post: Post) -> None:
    people(store, "ann")
    record(store, audience(store), ["ann"])
    post.take_right()
    post.claim()
    waits: list[None] = []

    forget(store, "ann", None, standing_clock(), patience=timedelta(seconds=0.3), waiting=lambda: waits.append(None))

    assert waits
    assert tables_that_name(store, "ann") == []


def test_nobody_waits_for_a_sender_that_died(store: Store, post: Post) -> None:
    people(store, "ann")
    record(store, audience(store), ["ann"])
    post.take_right(until=timedelta(seconds=1))
    post.claim()

    def no_wait() -> None:
        raise AssertionError("its lease has run out")

    later = standing_clock(NOW + timedelta(seconds=2))
    done = forget(store, "ann", None, later, patience=timedelta(minutes=1), waiting=no_wait)

    assert not done.before
    assert tables_that_name(store, "ann") == []


def test_nothing_more_is_sent_once_a_user_is_forgotten(store: Store, told: Told, post: Post, forgotten: Forget) -> None:
    keep(store, identify("ann", {"plan": "pro"}), track("ann"), identify("bob"), forward=True)
    record(store, audience(store), ["ann", "bob"])

    forgotten("ann")
    post.drain()

    assert {document.get("user_id") for document in told.sent} == {"bob"}
