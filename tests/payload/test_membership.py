"""An audience's update is a Segment call, and takes the road of any other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.call import dump
from sync.json_value import Json, encode
from sync.payload import Computation, ComputationClass, Mapping, bodies, membership_call, merge, size, telling, wanted

SINCE = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
BIG_SPENDER = Computation(kind=ComputationClass.AUDIENCE, key="big_spender", id="aud_1", space_id="spa_1")
ORDERS = Computation(kind=ComputationClass.TRAIT, key="orders_90d", id="tra_1", space_id="spa_1")

documents = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
).map(lambda value: value if isinstance(value, dict) else {"a": value})


def document(computation: Computation, value: Json) -> dict[str, Json]:
    call = membership_call(computation, user_id="u-5107", value=value, since=SINCE, at=SINCE)
    (body,) = bodies(call, Mapping())
    return body.document


@pytest.mark.parametrize("value", [True, False])
def test_an_entry_is_true_and_an_exit_false_flat_in_the_metadata(value: bool) -> None:
    assert document(BIG_SPENDER, value) == {
        "user_id": "u-5107",
        "modified_time": "2026-03-04T10:00:00.000Z",
        "metadata": {"big_spender": value},
    }


@pytest.mark.parametrize("value", [14, 14.0, "gold", ["a", "b"], False])
def test_a_computed_trait_is_its_value(value: Json) -> None:
    assert repr(document(ORDERS, value)["metadata"]) == repr({"orders_90d": value})


@given(documents, st.text("ab1@.", min_size=1), st.datetimes(timezones=st.just(UTC)), st.booleans())
def test_what_everybody_is_told_is_what_the_call_about_each_would_say(
    value: Json, user_id: str, at: datetime, anonymous: bool
) -> None:
    mapping = Mapping(forward_anonymous=anonymous)
    (body,) = bodies(membership_call(ORDERS, user_id=user_id, value=value, since=SINCE, at=at), mapping)

    assert {"user_id": user_id, **telling(ORDERS, value, at, mapping)} == body.document


def test_the_update_is_the_call_that_segment_would_have_sent() -> None:
    call = membership_call(BIG_SPENDER, user_id="u-5107", value=True, since=SINCE, at=SINCE)

    written = dump(call)
    message_id = str(written.pop("messageId"))

    assert message_id.startswith("personas_")
    assert len(message_id) <= 100
    assert written == {
        "type": "identify",
        "userId": "u-5107",
        "timestamp": "2026-03-04T10:00:00Z",
        "receivedAt": "2026-03-04T10:00:00Z",
        "traits": {"big_spender": True},
        "context": {
            "personas": {
                "computation_class": "audience",
                "computation_id": "aud_1",
                "computation_key": "big_spender",
                "namespace": "spa_1",
                "space_id": "spa_1",
            }
        },
        "integrations": {"All": False, "Moesif API Analytics": True},
    }
    assert wanted(call)


def test_what_is_told_again_is_the_same_message_and_what_differs_is_another() -> None:
    def message_id(
        computation: Computation = BIG_SPENDER, *, user_id: str = "ann", value: Json = True, since: datetime = SINCE
    ) -> str:
        at = SINCE + timedelta(days=1)
        return membership_call(computation, user_id=user_id, value=value, since=since, at=at).message_id

    again = membership_call(BIG_SPENDER, user_id="ann", value=True, since=SINCE, at=SINCE + timedelta(days=40)).message_id

    assert again == message_id()
    others = [
        message_id(user_id="bob"),
        message_id(value=False),
        message_id(value="true"),
        message_id(since=SINCE + timedelta(microseconds=1)),
        message_id(replace(BIG_SPENDER, key="small_spender")),
    ]
    assert len({again, *others}) == 6


def test_several_keys_of_one_user_go_in_one_update() -> None:
    merged = merge(document(BIG_SPENDER, False), document(ORDERS, 14))

    assert merged["metadata"] == {"big_spender": False, "orders_90d": 14}


def test_of_two_values_for_one_key_the_later_is_told() -> None:
    assert merge(document(BIG_SPENDER, True), document(BIG_SPENDER, False)) == document(BIG_SPENDER, False)


def test_arrays_are_replaced_whole_and_objects_at_every_depth_are_not() -> None:
    merged = merge({"m": {"tags": [1, 2], "a": {"x": 1, "y": 1}}}, {"m": {"tags": [3], "a": {"y": 2}}})

    assert merged == {"m": {"tags": [3], "a": {"x": 1, "y": 2}}}


@given(profile=documents, first=documents, second=documents)
def test_merging_two_updates_does_to_a_profile_what_they_do_in_turn(
    profile: dict[str, Json], first: dict[str, Json], second: dict[str, Json]
) -> None:
    before = encode([profile, first, second])

    at_once = merge(profile, merge(first, second))
    in_turn = merge(merge(profile, first), second)

    assert at_once == in_turn or _an_object_came_and_went(profile, first, second)
    assert encode([profile, first, second]) == before


def _an_object_came_and_went(*documents: dict[str, Json]) -> bool:
    """A scalar between two objects wipes the first; told at once nothing is wiped. Moesif's type lock forbids it anyway."""
    kinds: dict[tuple[str, ...], set[bool]] = {}

    def walk(value: Json, path: tuple[str, ...]) -> None:
        kinds.setdefault(path, set()).add(isinstance(value, dict))
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, (*path, key))

    for one in documents:
        walk(one, ())
    return any(len(found) == 2 for found in kinds.values())


def test_size_counts_the_bytes_that_travel() -> None:
    assert size({"a": "é€"}) == len('{"a":"é€"}'.encode())
