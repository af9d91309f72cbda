"""A metadata key keeps the JSON type that was accepted first; what clashes with it is rejected here, before anything is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, true

from sync.delivery import Accepted, Lane, Later, Rejected, State
from sync.payload import Mapping
from sync.send.known_types import KnownTypes
from sync.standin import StandIn
from sync.store import Store, leases, metadata_types, queue
from sync.store.retry import Selection, retry
from tests.make import NOW, computed_trait, group, identify, keep, people, record, told, track


def forward(store: Store, *calls: Any) -> None:
    keep(store, *calls, forward=True)


def rejected(store: Store) -> list[tuple[str, str | None]]:
    with store.reading() as connection:
        return [(row.subject or row.message_id, row.reason) for row in queue.listed(connection, State.REJECTED, 100)]


def types(store: Store, lane: Lane) -> dict[str, str]:
    with store.reading() as connection:
        return {one.key: one.type for one in metadata_types.listed(connection, lane)}


def forget(store: Store, lane: Lane, key: str) -> int:
    with store.writing() as connection:
        return metadata_types.forget(connection, lane, key)


def test_the_types_that_moesif_took_are_kept_for_each_lane(store: Store, road) -> None:
    forward(store, identify("ann", {"plan": "gold", "address": {"zip": 150}}), track("ann", properties={"plan": 3}))
    forward(store, group("ann", "acme", {"plan": True}))

    road.drain()

    assert types(store, Lane.USERS) == {"plan": "string", "address": "object", "address.zip": "number"}
    assert (types(store, Lane.ACTIONS), types(store, Lane.COMPANIES)) == ({"plan": "number"}, {"plan": "boolean"})


def test_a_clash_is_rejected_unsent_with_its_reason_and_the_others_go(store: Store, road, standin: StandIn) -> None:
    forward(store, identify("ann", {"age": 40}))
    road.drain()
    before = standin.requests["users"].requests

    forward(store, identify("bob", {"age": "forty-one"}), identify("cem", {"age": 42}))
    road.drain()

    assert rejected(store) == [("bob", "metadata key age: string found, number wanted, since Moesif holds a key to its first type")]
    assert (set(standin.users()), standin.requests["users"].requests - before) == ({"ann", "cem"}, 1)


def test_no_request_goes_out_where_everything_clashes(store: Store, road, standin: StandIn) -> None:
    forward(store, track("ann", properties={"n": 1}))
    road.drain()
    before = standin.requests["actions"].requests

    forward(store, track("ann", properties={"n": "1"}), track("bob", properties={"n": [True]}))
    drain = road.drain()

    assert (len(rejected(store)), drain.requests, standin.requests["actions"].requests) == (2, 0, before)


def test_of_what_is_owed_about_one_user_only_the_clash_is_rejected(store: Store, road, standin: StandIn) -> None:
    forward(store, identify("ann", {"age": 40}))
    road.drain()

    forward(store, identify("ann", {"plan": "gold"}), identify("ann", {"age": "old"}), identify("ann", {"city": "Oslo"}))
    road.drain()

    assert standin.users()["ann"]["metadata"] == {"age": 40, "plan": "gold", "city": "Oslo"}
    assert len(rejected(store)) == 1


def test_of_two_that_go_out_together_the_first_gives_a_new_key_its_type(store: Store, road, standin: StandIn) -> None:
    forward(store, identify("ann", {"age": 40}), identify("bob", {"age": "old"}))

    road.drain()

    assert [subject for subject, _ in rejected(store)] == ["bob"]
    assert (types(store, Lane.USERS), set(standin.users())) == ({"age": "number"}, {"ann"})


def test_a_membership_that_clashes_is_rejected_in_the_ledger(store: Store, road, standin: StandIn) -> None:
    people(store, "ann", "bob")
    forward(store, identify("cem", {"orders": "many"}))
    road.drain()
    record(store, computed_trait(store), {"ann": 3})

    road.drain()

    row = told(store, "ann")["orders"]
    assert (row.state, row.accepted) == (State.REJECTED, None)
    assert set(standin.users()) == {"cem"}


def test_what_was_rejected_goes_once_the_type_is_forgotten_and_it_is_retried(store: Store, road, standin: StandIn) -> None:
    forward(store, identify("ann", {"age": 40}))
    road.drain()
    forward(store, identify("bob", {"age": "old"}))
    road.drain()

    assert forget(store, Lane.USERS, "age") == 1
    with store.writing() as connection:
        retry(connection, Selection(reason="metadata key age"))
    road.drain()

    assert (rejected(store), standin.users()["bob"]["metadata"]) == ([], {"age": "old"})
    assert types(store, Lane.USERS) == {"age": "string"}


def test_retried_without_mending_it_is_rejected_again(store: Store, road) -> None:
    forward(store, identify("ann", {"age": 40}))
    road.drain()
    forward(store, identify("bob", {"age": "old"}))
    road.drain()
    with store.writing() as connection:
        assert queue.retry(connection, true()) == 1

    road.drain()

    assert [subject for subject, _ in rejected(store)] == ["bob"]


def test_forgetting_an_object_forgets_what_lies_within_it_and_no_more(store: Store, road) -> None:
    forward(store, identify("ann", {"a": {"b": {"c": 1}}, "ab": 1, "a_": 2}))
    road.drain()

    assert forget(store, Lane.USERS, "a") == 3

    assert types(store, Lane.USERS) == {"ab": "number", "a_": "number"}


def test_a_value_that_moesif_refused_gives_its_key_no_type(store: Store, fake_road, told: Any) -> None:
    told.answer = lambda lane, documents: Rejected(reason="400") if documents[0]["user_id"] == "ann" else Accepted()
    forward(store, identify("ann", {"age": "?"}))
    fake_road.drain()

    forward(store, identify("bob", {"age": 40}))
    fake_road.drain()

    assert ([subject for subject, _ in rejected(store)], types(store, Lane.USERS)) == (["ann"], {"age": "number"})


def test_another_process_knows_what_this_one_learned(store: Store, road, standin: StandIn) -> None:
    other = road.with_(owner="two").over(types=KnownTypes())
    forward(store, identify("ann", {"age": 40}))
    road.drain()

    forward(store, identify("bob", {"age": "old"}))
    other.drain()

    assert [subject for subject, _ in rejected(store)] == ["bob"]


def answer(store: Store, known: KnownTypes, document: Any, outcome: Any) -> None:
    """Write down what came back for one user, as a lane does."""
    with store.writing() as connection:
        learned = known.answered(connection, Lane.USERS, [(document, outcome)], NOW)
    if learned is not None:
        known.remember(learned)


def test_a_type_that_could_not_be_written_down_is_learned_when_the_answer_is(store: Store) -> None:
    known, document = KnownTypes(), {"metadata": {"n": 1}}
    known.clashes(store, Lane.USERS, [document])
    with pytest.raises(KeyError), store.writing() as connection:
        known.answered(connection, Lane.USERS, [(document, Accepted())], NOW)
        raise KeyError
    assert types(store, Lane.USERS) == {}

    answer(store, known, document, Accepted())

    assert types(store, Lane.USERS) == {"n": "number"}


@pytest.mark.parametrize("outcome", [Later(reason="503"), Rejected(reason="400")], ids=["later", "rejected"])
def test_a_type_binds_nobody_once_the_answer_was_no(store: Store, outcome: Any) -> None:
    known, number, text = KnownTypes(), {"metadata": {"n": 1}}, {"metadata": {"n": "1"}}
    assert known.clashes(store, Lane.USERS, [number, text])[1] is not None

    answer(store, known, number, outcome)

    assert known.clashes(store, Lane.USERS, [text]) == [None]


def test_what_is_rejected_here_does_not_open_a_lane_that_waits(store: Store, fake_road, told: Any) -> None:
    """The one request that finds out whether Moesif is back is still to be made."""
    with store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"age": "number"}, NOW)
        leases.pause(connection, leases.Pause(lane=Lane.USERS, until=NOW, reason="503", failures=3, key_refused=False))
    told.answer = lambda lane, documents: Later(reason="503", after=timedelta(minutes=5))
    forward(store, identify("ann", {"age": "old"}), identify("bob", {"age": 41}), identify("cem", {"age": 42}))

    fake_road.over(batch_items=1).drain(patience=1.0)

    with store.reading() as connection:
        pause = leases.pauses(connection)[Lane.USERS]
    assert ([subject for subject, _ in rejected(store)], len(told.posts), pause.failures) == (["ann"], 1, 4)


def test_a_lane_with_very_many_keys_learns_no_more_of_them(store: Store) -> None:
    with store.writing() as connection:
        for number in range(5):
            metadata_types.learn(connection, Lane.USERS, {f"k{number}": "number"}, NOW, most=3)
        metadata_types.learn(connection, Lane.ACTIONS, {"k": "number"}, NOW, most=3)

    assert (len(types(store, Lane.USERS)), len(types(store, Lane.ACTIONS))) == (3, 1)


def test_what_is_known_is_not_asked_of_the_store_again(store: Store) -> None:
    seconds = [0.0]
    known, document = KnownTypes(lambda: seconds[0]), {"metadata": {"n": 1}}
    with store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"n": "number"}, NOW)
    known.clashes(store, Lane.USERS, [document])
    forget(store, Lane.USERS, "n")
    store.close()

    assert known.clashes(store, Lane.USERS, [document] * 3) == [None] * 3
    with store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"n": "string"}, NOW)
    seconds[0] = 31.0
    assert known.clashes(store, Lane.USERS, [document])[0] is not None


def test_what_was_learned_is_not_asked_of_the_store_again(store: Store) -> None:
    known, document = KnownTypes(), {"metadata": {"n": 1}}
    known.clashes(store, Lane.USERS, [document])
    answer(store, known, document, Accepted())
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *seen: asked.append(seen[2]))

    assert known.clashes(store, Lane.USERS, [document] * 3) == [None] * 3
    assert asked == []


def test_what_another_process_had_learned_before_is_what_counts(store: Store) -> None:
    known, document = KnownTypes(), {"metadata": {"n": 1}}
    known.clashes(store, Lane.USERS, [document])
    with store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"n": "string"}, NOW)
    answer(store, known, document, Accepted())

    assert known.clashes(store, Lane.USERS, [document])[0] is not None


def test_a_new_key_is_not_looked_up_again_until_its_answer_comes(store: Store) -> None:
    known, document = KnownTypes(), {"metadata": {"n": 1}}
    known.clashes(store, Lane.USERS, [document])
    with store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"n": "string"}, NOW)

    assert known.clashes(store, Lane.USERS, [document]) == [None]
    answer(store, known, document, Later(reason="503"))
    assert known.clashes(store, Lane.USERS, [document])[0] is not None


def test_what_was_claimed_together_is_looked_up_together(store: Store) -> None:
    known, documents = KnownTypes(), [{"metadata": {"n": number, "s": "x"}} for number in range(3)]
    with store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, {"n": "number"}, NOW)
        known.prepare(connection, Lane.USERS, documents)
        metadata_types.forget(connection, Lane.USERS, "n")
        metadata_types.learn(connection, Lane.USERS, {"n": "string", "s": "number"}, NOW)

    assert [known.clashes(store, Lane.USERS, [document]) for document in documents] == [[None]] * 3


def test_a_clash_that_was_seen_when_it_was_claimed_is_still_one(store: Store) -> None:
    known, documents = KnownTypes(), [{"metadata": {"n": 1}}, {"metadata": {"n": "1"}}]

    with store.reading() as connection:
        known.prepare(connection, Lane.USERS, documents)

    assert [clash is not None for clash in known.clashes(store, Lane.USERS, documents)] == [False, True]


def test_a_call_that_says_nothing_in_metadata_needs_no_types(store: Store, road, standin: StandIn) -> None:
    forward(store, identify("ann"))

    road.over(mapping=Mapping()).drain()

    assert (types(store, Lane.USERS), set(standin.users())) == ({}, {"ann"})
