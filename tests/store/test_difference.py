"""What a run finds is the same whether the users concerned are listed, being few, or stand in a table."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import Connection, Table, inspect, select

from sync.compute import compute
from sync.language.parse import parse_audience, parse_computed_trait
from sync.store import Store, basis, difference
from sync.store.audiences import Stored
from sync.store.computation import Computation
from sync.store.difference import FEW, Difference
from sync.store.types import to_micros
from tests.make import after, again, audience, computed_trait, keep, standing_clock, track

RECENT = "event('Order Completed').within(30 days).count() >= 1"
LAST = "event('Order Completed').within(30 days).last(property('sku'))"


def happens(store: Store) -> None:
    """Let some enter, some leave, some stay, and some be looked at in vain."""
    keep(store, *(track(f"u{number}", at=after(days=5), properties={"sku": f"s{number}"}) for number in range(2, 6)))
    keep(store, *(track(f"v{number}", "Viewed", at=after(days=5)) for number in range(3)))


def stretches(stored: Stored, computation: Computation, at: datetime) -> dict[str, int]:
    """Return where a run would search."""
    then = basis.from_json(stored.basis)
    assert then is not None, "it was computed"
    assert stored.computed_at is not None, "it was computed"
    return computation.candidates.between(then, stored.computed_at, at)


def concerned(connection: Connection, stored: Stored, computation: Computation, at: datetime, few: int = FEW) -> Difference:
    """Find what a run would change, in lists where no more than a few are concerned."""
    told = stretches(stored, computation, at)
    ids = difference.few_in([one.rows(connection) for one in computation.searching(told, few + 1)], few)
    return difference.of_concerned(connection, stored, computation, to_micros(at), told, ids)


def told_of(found: Difference) -> tuple[int, int, int, int]:
    return found.before, found.entered, found.exited, found.changed


@pytest.mark.parametrize(
    ("make", "query", "parse"), [(audience, RECENT, parse_audience), (computed_trait, LAST, parse_computed_trait)]
)
def test_few_and_many_users_give_the_same_difference(store: Store, make, query: str, parse) -> None:
    keep(store, *(track(f"u{number}", at=after(days=-20), properties={"sku": "s0"}) for number in range(4)))
    stored = make(store, query=query)
    compute(store, stored, after(), standing_clock())
    happens(store)
    stored, at, computation = again(store, stored), after(days=15), Computation.of(parse(query), {})

    with store.reading() as connection:
        few, digests = [], []
        for most in (1000, 0):
            found = concerned(connection, stored, computation, at, most)
            few.append((found.rows is difference.LISTED_PAIRS, told_of(found)))
            digests.append(difference.digest(connection, found))

    assert [is_listed for is_listed, _ in few] == [True, False]
    assert few[0][1] == few[1][1] == (4, 2, 2, 6 if make is computed_trait else 4)
    assert digests[0] == digests[1]


def test_nobody_concerned_is_no_difference(store: Store) -> None:
    keep(store, track("ann"))
    stored = audience(store, query=RECENT)
    compute(store, stored, after(), standing_clock())
    stored, computation = again(store, stored), Computation.of(parse_audience(RECENT), {})

    with store.reading() as connection:
        found = concerned(connection, stored, computation, after(days=1))

    assert (found.rows, told_of(found)) == (None, (1, 0, 0, 0))


def test_the_table_of_a_difference_has_its_key(store: Store) -> None:
    """Or PostgreSQL goes through a hundred thousand users for each of a hundred thousand, once one run has looked at everyone."""
    keep(store, track("ann", at=after(days=-20)))
    stored, computation = audience(store, query=RECENT), Computation.of(parse_audience(RECENT), {})

    with store.reading() as connection:
        found = difference.of_everyone(connection, stored, computation.of_everyone, to_micros(after()))

        assert isinstance(found.rows, Table)
        assert inspect(connection).get_pk_constraint(found.rows.name)["constrained_columns"] == ["profile_id"]


def test_what_a_look_at_everyone_finds_lies_in_the_order_in_which_it_is_recorded(store: Store) -> None:
    """Or PostgreSQL reads a large table here and there, twice, which takes as long as half of what is written."""
    keep(store, *(track(f"u{number}", at=after(days=-20)) for number in range(4)))
    stored = audience(store, query=RECENT)
    compute(store, stored, after(), standing_clock())
    happens(store)
    stored, computation = again(store, stored), Computation.of(parse_audience(RECENT), {})

    with store.reading() as connection:
        found = difference.of_everyone(connection, stored, computation.of_everyone, to_micros(after(days=15)))
        assert isinstance(found.rows, Table)
        as_they_lie = list(connection.scalars(select(found.rows.c.profile_id)))

    assert len(as_they_lie) == 4
    assert as_they_lie == sorted(as_they_lie)


def test_a_connection_that_looks_at_everyone_then_at_many_and_at_everyone_again_finds_each_time_what_differs(store: Store) -> None:
    keep(store, *(track(f"u{number}", at=after(days=-20)) for number in range(4)))
    stored = audience(store, query=RECENT)
    compute(store, stored, after(), standing_clock())
    happens(store)
    stored, at, computation = again(store, stored), after(days=15), Computation.of(parse_audience(RECENT), {})

    with store.reading() as connection:
        found = [
            difference.of_everyone(connection, stored, computation.of_everyone, to_micros(at)),
            concerned(connection, stored, computation, at, few=0),
            difference.of_everyone(connection, stored, computation.of_everyone, to_micros(at)),
        ]

    assert [told_of(one) for one in found] == [(4, 2, 2, 4)] * 3
