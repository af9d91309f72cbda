"""Who a call is about, and what is known of them, whatever the order in which calls arrive."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from sync.call import Call, CallType
from sync.compute import compute
from sync.membership import IN
from sync.profile import known
from sync.store import Store
from sync.store.audiences import Stored
from sync.store.profiles import ANONYMOUS_ID
from sync.store.schema import calls, identifiers, memberships, metadata, profiles
from tests.make import NOW, after, again, alias, audience, call, identify, keep, standing_clock, track, traits


def users_of_events(store: Store) -> dict[str, str | None]:
    """Return whose each event is."""
    with store.reading() as connection:
        rows = connection.execute(
            select(calls.c.event, profiles.c.user_id)
            .join(profiles, profiles.c.id == calls.c.profile_id)
            .where(calls.c.event.is_not(None))
        ).all()
    return {row.event: row.user_id for row in rows}


def everybody(store: Store) -> list[tuple[str | None, dict[str, Any], tuple[str, ...], tuple[str, ...]]]:
    """Return (user id, traits, anonymous ids, message ids) of every profile, in an order that no id decides."""
    with store.reading() as connection:
        found = []
        for row in connection.execute(select(profiles)):
            theirs = select(identifiers.c.value).where(identifiers.c.profile_id == row.id, identifiers.c.type == ANONYMOUS_ID)
            said = select(calls.c.message_id).where(calls.c.profile_id == row.id)
            found.append(
                (
                    row.user_id,
                    known(row.traits),
                    tuple(sorted(connection.scalars(theirs))),
                    tuple(sorted(connection.scalars(said))),
                )
            )
    return sorted(found, key=repr)


def forget_all(store: Store) -> None:
    with store.writing() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))


# ── traits ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_newest_statement_about_a_trait_wins_in_any_order_of_arrival(store: Store, order: tuple[int, ...]) -> None:
    said = [identify("ann", {"plan": plan}, at=after(days=day)) for day, plan in enumerate(["free", "silver", "gold"])]

    for position in order:
        keep(store, said[position])

    assert traits(store, "ann") == {"plan": "gold"}


def test_each_trait_is_decided_by_itself(store: Store) -> None:
    keep(store, identify("ann", {"plan": "gold", "city": "Rome"}, at=after(days=1)))

    keep(store, identify("ann", {"plan": "free", "age": 7}, at=NOW))

    assert traits(store, "ann") == {"plan": "gold", "city": "Rome", "age": 7}


def test_an_object_is_one_trait_and_replaced_whole(store: Store) -> None:
    keep(store, identify("ann", {"address": {"city": "Rome", "street": "Via"}}))

    keep(store, identify("ann", {"address": {"city": "Oslo"}}, at=after(days=1)))

    assert traits(store, "ann") == {"address": {"city": "Oslo"}}


def test_of_two_statements_with_one_instant_the_later_to_arrive_wins(store: Store) -> None:
    keep(store, identify("ann", {"plan": "free"}), identify("ann", {"plan": "gold"}))
    keep(store, identify("ann", {"plan": "silver"}))

    assert traits(store, "ann") == {"plan": "silver"}


def test_a_trait_that_was_taken_away_is_not_brought_back_by_an_older_statement(store: Store) -> None:
    keep(store, identify("ann", {"plan": None}, at=after(days=1)))

    keep(store, identify("ann", {"plan": "gold"}, at=NOW))

    assert known(traits(store, "ann")) == {}


def test_a_trait_that_was_taken_away_can_be_said_again_later(store: Store) -> None:
    keep(store, identify("ann", {"plan": None}, at=after(days=1)))

    keep(store, identify("ann", {"plan": "gold"}, at=after(days=2)))

    assert traits(store, "ann") == {"plan": "gold"}


@pytest.mark.parametrize(("first", "second"), [(1, 1.0), (1, True), (1, "1"), (0, False), ([1], [1.0]), ({"a": 1}, {"a": True})])
def test_a_value_that_python_calls_equal_is_still_another_value(store: Store, first: Any, second: Any) -> None:
    keep(store, identify("ann", {"v": first}))

    keep(store, identify("ann", {"v": second}))

    assert repr(traits(store, "ann")["v"]) == repr(second)


def test_traits_of_group_and_track_calls_are_not_the_persons(store: Store) -> None:
    keep(store, track("ann", properties={"plan": "x"}), call(CallType.GROUP, user_id="ann", group_id="g", properties={"plan": "y"}))

    assert traits(store, "ann") == {}


def test_a_user_known_from_a_track_call_alone_has_a_profile(store: Store) -> None:
    keep(store, track("ann"))

    assert [(user, known) for user, known, _, _ in everybody(store)] == [("ann", {})]


# ── joining ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

LINKS = {
    "identify": identify("ann", {}, anonymous_id="a", message_id="link"),
    "track": track("ann", "Linked", anonymous_id="a", message_id="link"),
    "page": call(CallType.PAGE, user_id="ann", anonymous_id="a", event="Page Viewed", message_id="link"),
    "alias": alias("ann", "a", message_id="link"),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
@pytest.mark.parametrize("one_batch", [True, False], ids=["in one batch", "in two"])
def test_an_anonymous_visitor_becomes_the_user_that_a_call_links_them_to(store: Store, link: Call, one_batch: bool) -> None:
    before = (identify(None, {"city": "Rome"}, anonymous_id="a"), track(None, "Before", anonymous_id="a"))
    batches = [(*before, link)] if one_batch else [before, (link,)]

    for batch in batches:
        keep(store, *batch)
    keep(store, track(None, "Afterwards", anonymous_id="a"))

    owners = users_of_events(store)
    assert (owners["Before"], owners["Afterwards"]) == ("ann", "ann")
    assert traits(store, "ann") == {"city": "Rome"}
    assert len(everybody(store)) == 1


def test_traits_of_the_visitor_and_of_the_user_are_joined_by_their_instants(store: Store) -> None:
    keep(store, identify("ann", {"plan": "gold", "city": "Oslo"}, at=after(days=1)))
    keep(store, identify(None, {"plan": "free", "age": 7}, anonymous_id="a", at=NOW))
    keep(store, identify(None, {"city": "Rome"}, anonymous_id="a", at=after(days=2)))

    keep(store, track("ann", anonymous_id="a"))

    assert traits(store, "ann") == {"plan": "gold", "city": "Rome", "age": 7}


def test_what_the_visitor_took_away_stays_away_for_the_user(store: Store) -> None:
    keep(store, identify("ann", {"plan": "gold"}, at=NOW))
    keep(store, identify(None, {"plan": None}, anonymous_id="a", at=after(days=1)))

    keep(store, track("ann", anonymous_id="a"))
    keep(store, identify("ann", {"plan": "silver"}, at=after(hours=1)))

    assert known(traits(store, "ann")) == {}


def test_a_user_may_have_many_anonymous_ids(store: Store) -> None:
    for id in "abc":
        keep(store, track(None, f"Before {id}", anonymous_id=id))

    keep(store, *(track("ann", anonymous_id=id) for id in "abc"))

    assert everybody(store)[0][2] == ("a", "b", "c")
    assert set(users_of_events(store).values()) == {"ann"}


def test_two_users_are_never_merged_by_a_shared_device(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}, anonymous_id="a"))

    keep(store, identify("bob", {"n": 2}, anonymous_id="a"), track("bob", "Bobs", anonymous_id="a"))

    assert (traits(store, "ann"), traits(store, "bob")) == ({"n": 1}, {"n": 2})
    assert users_of_events(store) == {"Bobs": "bob"}


def test_an_anonymous_id_stays_with_the_user_it_was_first_seen_with(store: Store) -> None:
    keep(store, identify("ann", {}, anonymous_id="a"))
    keep(store, identify("bob", {}, anonymous_id="a"))

    keep(store, track(None, "Whose", anonymous_id="a"))

    assert users_of_events(store) == {"Whose": "ann"}


def test_an_alias_from_one_user_to_another_merges_nobody(store: Store) -> None:
    keep(store, identify("old", {"n": 1}), identify("new", {"n": 2}))

    keep(store, alias("new", "old"))

    assert (traits(store, "old"), traits(store, "new")) == ({"n": 1}, {"n": 2})


@pytest.mark.parametrize("one_batch", [True, False])
def test_an_alias_whose_previous_id_is_a_user_of_the_same_batch_merges_nobody(store: Store, one_batch: bool) -> None:
    batch = [identify("old", {"n": 1}), alias("new", "old"), track(None, "Anonymous", anonymous_id="old")]

    for some in [batch] if one_batch else [[one] for one in batch]:
        keep(store, *some)

    assert traits(store, "new") == {}
    assert traits(store, "old") == {"n": 1}


def test_an_alias_to_oneself_does_nothing(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}), alias("ann", "ann"))

    assert [user for user, *_ in everybody(store)] == ["ann"]


def test_an_alias_of_a_visitor_nobody_has_seen_names_them_in_advance(store: Store) -> None:
    keep(store, alias("ann", "later"))

    keep(store, track(None, "Late", anonymous_id="later"))

    assert users_of_events(store) == {"Late": "ann"}


def test_a_chain_of_visitors_ends_with_the_user(store: Store) -> None:
    keep(store, track(None, "First", anonymous_id="a"), track(None, "Second", anonymous_id="b"))
    keep(store, alias("ann", "a"))

    keep(store, alias("ann", "b"))

    assert users_of_events(store) == {"First": "ann", "Second": "ann"}


def test_a_thousand_visitors_become_one_user_who_has_all_their_events(store: Store) -> None:
    visitors = [f"visitor {number}" for number in range(1000)]
    keep(store, *(track(None, f"of {one}", anonymous_id=one) for one in visitors))

    keep(store, *(alias("ann", one) for one in visitors))

    assert users_of_events(store) == {f"of {one}": "ann" for one in visitors}
    assert [user for user, *_ in everybody(store)] == ["ann"]


def test_each_merge_into_a_user_of_a_thousand_visitors_and_that_of_a_visitor_of_a_thousand_events_takes_less_than_a_second(
    store: Store,
) -> None:
    """By the clock on the wall, since PostgreSQL works in a process of its own; the last ones, which should cost most."""
    visitors = [f"visitor {number}" for number in range(1000)]
    keep(store, *(track(None, f"of {one}", anonymous_id=one) for one in visitors))
    keep(store, *(track(None, f"busy {number}", anonymous_id="busy") for number in range(1000)))
    keep(store, *(alias("ann", one) for one in visitors[:-30]))

    merges = [*(alias("ann", one) for one in visitors[-30:]), track("ann", "Link", anonymous_id="busy")]
    slowest = max(seconds(store, one) for one in merges)

    assert slowest < 1
    assert list(Counter(users_of_events(store).values()).items()) == [("ann", 2001)]


def seconds(store: Store, call: Call) -> float:
    """Return how long it takes to keep a call."""
    began = time.perf_counter()
    keep(store, call)
    return time.perf_counter() - began


def test_a_visitor_and_a_user_of_one_name_are_two_people(store: Store) -> None:
    keep(store, track("x", "Users"), track(None, "Visitors", anonymous_id="x"))

    assert users_of_events(store) == {"Users": "x", "Visitors": None}


def test_two_visitors_linked_in_one_batch_bring_the_right_events_along(store: Store) -> None:
    keep(store, track(None, "A", anonymous_id="a"), track(None, "B", anonymous_id="b"))

    keep(
        store,
        track(None, "A2", anonymous_id="a"),
        track("bob", "Link b", anonymous_id="b"),
        track("ann", "Link a", anonymous_id="a"),
        track(None, "B2", anonymous_id="b"),
    )

    assert users_of_events(store) == {"A": "ann", "A2": "ann", "Link a": "ann", "B": "bob", "B2": "bob", "Link b": "bob"}


def test_ids_are_taken_as_they_are_written(store: Store) -> None:
    keep(store, *(track(id, f"of {id}") for id in ("ann", "Ann", "ann ", "é", "e\u0301", "0", "00")))

    assert {user for user, *_ in everybody(store)} == {"ann", "Ann", "ann ", "é", "e\u0301", "0", "00"}


# ── any order ────────────────────────────────────────────────────────────────────────────────────────────────────────────

# Each anonymous id is linked to one user only: to whom a shared device belongs is decided by who came first.
EXAMPLES = int(os.environ.get("ORDER_EXAMPLES", "40"))
"""More in the night: see docs/contributing.md."""

owners = {"a": "ann", "b": "ann", "c": "bob"}


@st.composite
def histories(draw: st.DrawFn) -> list[Call]:
    made: list[Call] = []
    apart = draw(st.sampled_from([timedelta(minutes=1), timedelta(days=40)]))
    for number in range(draw(st.integers(2, 7))):
        anonymous = draw(st.sampled_from("abc"))
        user = draw(st.sampled_from([None, owners[anonymous]]))
        at = after() + number * apart
        said = draw(st.dictionaries(st.sampled_from(["p", "q"]), st.sampled_from([None, 1, "x"]), max_size=2))
        id = f"h{number}"
        made.append(
            draw(
                st.sampled_from(
                    [
                        identify(user, said, at=at, anonymous_id=anonymous, message_id=id),
                        track(user, f"E{number}", at=at, anonymous_id=anonymous, message_id=id),
                        alias(owners[anonymous], anonymous, timestamp=at, message_id=id),
                    ]
                )
            )
        )
    return made


@given(history=histories(), data=st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_arrival_makes_no_difference(store: Store, history: list[Call], data: st.DataObject) -> None:
    """Nor does what comes twice, or long after it happened."""
    forget_all(store)
    keep(store, *history)
    as_it_happened = (everybody(store), computed(store, audience(store, query=QUERY)))
    forget_all(store)

    members = audience(store, query=QUERY)
    twice = data.draw(st.lists(st.sampled_from(history), max_size=2))
    shuffled = data.draw(st.permutations([*history, *twice]))
    first, *others = cut(shuffled, data.draw(st.integers(1, 3)))
    keep(store, *first)
    computed(store, members)
    for some in others:
        keep(store, *some)

    assert (everybody(store), computed(store, again(store, members))) == as_it_happened


QUERY = "event('E1').count() >= 1 AND NOT trait('p') = 1 OR event('E3').within(200 days).count() >= 1"
"""So that who is in depends on what is known of somebody, on what a visitor did whom they turned out to be, and on when."""


def computed(store: Store, members: Stored) -> list[str]:
    """Return who is in after a run, which looks only at those concerned where it is not the first one."""
    compute(store, members, after(days=300), standing_clock(after(days=300)))
    its = (memberships.c.audience_id == members.id, memberships.c.value == IN)
    with store.reading() as connection:
        statement = select(profiles.c.user_id).join(memberships, memberships.c.profile_id == profiles.c.id).where(*its)
        return sorted(connection.scalars(statement))


def cut(items: Iterable[Call], size: int) -> list[list[Call]]:
    items = list(items)
    return [items[start : start + size] for start in range(0, len(items), size)]
