"""A mark never passes what another writer commits late, and means nothing on another server."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from sync.store import Store, arrivals
from sync.store.arrivals import Mark
from sync.store.schema import calls, dates, profiles
from tests.make import after, alias, identify, keep, track


def mark(store: Store) -> Mark:
    with store.reading() as connection:
        return arrivals.mark_in(connection, arrivals.mark_wanted(connection).rows(connection))


def arrived_since(store: Store, since: Mark) -> set[str]:
    with store.reading() as connection:
        return set(connection.scalars(select(calls.c.message_id).where(calls.c.arrival >= since.number)))


def test_what_came_before_a_mark_lies_before_it_and_what_comes_after_does_not(store: Store) -> None:
    keep(store, track("ann", message_id="before"))
    between = mark(store)

    keep(store, track("ann", message_id="after"))

    assert arrived_since(store, between) == {"after"}


def test_a_mark_in_an_empty_store_is_before_everything(store: Store) -> None:
    beginning = mark(store)

    keep(store, track("ann", message_id="first"))

    assert arrived_since(store, beginning) == {"first"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_writer_that_began_first_and_commits_last_is_not_passed(store: Store) -> None:
    with store.writing() as slow:
        number = arrivals.number(slow)
        keep(store, track("ann", message_id="fast"))
        between = mark(store)

    assert between.number <= number


def test_a_mark_of_another_server_means_nothing() -> None:
    earlier = Mark(origin="one/db", number=5)

    assert Mark(origin="one/db", number=7).holds_after(earlier)
    assert not Mark(origin="two/db", number=7).holds_after(earlier)
    assert not Mark(origin="one/db", number=4).holds_after(earlier)


def about(connection: Connection, user_id: str) -> tuple[int, int]:
    row = connection.execute(select(profiles).where(profiles.c.user_id == user_id)).one()
    return row.arrival, row.traits_arrival


def arrival_of(store: Store, user_id: str) -> tuple[int, int]:
    with store.reading() as connection:
        return about(connection, user_id)


def test_a_profile_carries_the_arrival_of_its_last_new_trait(store: Store) -> None:
    keep(store, identify("ann", {"plan": "free"}))
    made, learned = arrival_of(store, "ann")
    keep(store, identify("ann", {"plan": "free"}, at=after(hours=1)))
    repeated = arrival_of(store, "ann")
    keep(store, identify("ann", {"plan": "pro"}, at=after(hours=2)))

    assert repeated == (made, learned)
    assert arrival_of(store, "ann")[0] == made
    assert arrival_of(store, "ann")[1] > learned


def test_a_profile_that_is_given_anothers_calls_has_arrived_anew(store: Store) -> None:
    keep(store, identify("ann"), track(None, anonymous_id="visitor"))
    before = arrival_of(store, "ann")

    keep(store, alias("ann", "visitor"))

    assert arrival_of(store, "ann") > before


def dates_of(store: Store, user_id: str) -> list[tuple[str, str, str]]:
    with store.reading() as connection:
        theirs = select(dates.c.place, dates.c.event, dates.c.key).join(profiles, profiles.c.id == dates.c.profile_id)
        return [tuple(row) for row in connection.execute(theirs.where(profiles.c.user_id == user_id).order_by(*dates.primary_key))]


def test_dates_are_found_wherever_they_stand(store: Store) -> None:
    keep(store, identify("ann", {"trial": {"ends": ["2026-03-04", "soon"]}, "name": "Ann 2026-03-04"}))
    keep(store, track("ann", "Booked", properties={"from": "2026-03-04T10:00:00+01:00"}, context={"seen": "2026-03-05"}))

    assert dates_of(store, "ann") == [("context", "Booked", "seen"), ("property", "Booked", "from"), ("trait", "", "trial")]


def test_a_trait_that_changes_takes_its_dates_with_it(store: Store) -> None:
    keep(store, identify("ann", {"trial": "2026-03-04", "born": "1999-01-01"}))

    keep(store, identify("ann", {"trial": "never"}, at=after(hours=1)))

    assert dates_of(store, "ann") == [("trait", "", "born")]


def test_dates_go_with_an_anonymous_visitor_to_the_user(store: Store) -> None:
    keep(
        store,
        identify(None, {"trial": "2026-03-04"}, anonymous_id="visitor"),
        track(None, "Booked", properties={"from": "2026-03-05"}, anonymous_id="visitor"),
    )

    keep(store, alias("ann", "visitor"))

    assert dates_of(store, "ann") == [("property", "Booked", "from"), ("trait", "", "trial")]


def test_a_key_that_no_index_could_hold_is_cut(store: Store) -> None:
    keep(store, identify("ann", {"\N{GRINNING FACE}" * 3000: "2026-03-04"}))

    assert dates_of(store, "ann") == [("trait", "", "\N{GRINNING FACE}" * 100)]
