"""What a run finds is the same whether the users concerned are listed, being few, or stand in a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Table, event, inspect, select

from sync.compute import compute
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.tree import Query
from sync.store import Store, basis, bulk, difference
from sync.store.audiences import Stored
from sync.store.computation import AT_ONCE, Computation
from sync.store.difference import FEW, Difference
from sync.store.types import to_micros
from tests.make import after, again, audience, computed_trait, keep, standing_clock, track

RECENT = "event('Order Completed').within(30 days).count() >= 1"
LAST = "event('Order Completed').within(30 days).last(property('sku'))"


def happens(store: Store) -> None:
    """Let some enter, some leave, some stay, and some be looked at in vain."""
    keep(store, *(track(f"u{number}", at=after(days=5), properties={"sku": f"s{number}"}) for number in range(2, 6)))
    keep(store, *(track(f"v{number}", "Viewed", at=after(days=5)) for number in range(3)))


def written(store: Store, query: str, parse: Callable[[str], Query] = parse_audience) -> Computation:
    return Computation.of(parse(query), {}, store.engine.dialect.name)


def stretches(stored: Stored, computation: Computation, at: datetime) -> dict[str, int]:
    """Return where a run would search."""
    then = basis.from_json(stored.basis)
    assert then is not None, "it was computed"
    assert stored.computed_at is not None, "it was computed"
    return computation.candidates.between(then, stored.computed_at, at)


def concerned(connection: Connection, stored: Stored, computation: Computation, at: datetime, few: int = FEW) -> Difference:
    """Find what a run would change, in lists where no more than a few are concerned."""
    told = stretches(stored, computation, at)
    answers = bulk.answers(connection, *computation.asking(told, few + 1, stored.id, to_micros(at)))
    return difference.of_concerned(connection, stored, computation, to_micros(at), told, answers, few)


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
    stored, at, computation = again(store, stored), after(days=15), written(store, query, parse)

    with store.reading() as connection:
        few, digests = [], []
        for most in (1000, 0):
            found = concerned(connection, stored, computation, at, most)
            few.append((found.rows is difference.LISTED_PAIRS, told_of(found)))
            digests.append(difference.digest(connection, found))

    assert [is_listed for is_listed, _ in few] == [True, False]
    assert few[0][1] == few[1][1] == (4, 2, 2, 6 if make is computed_trait else 4)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("entering", [1, AT_ONCE, AT_ONCE + 1])
def test_so_few_users_that_all_is_asked_at_once_and_more_give_what_happened(store: Store, entering: int) -> None:
    keep(store, track("ann"))
    stored = audience(store, query=RECENT)
    compute(store, stored, after(), standing_clock())
    # Twice each, by which whoever searches finds them several times.
    keep(store, *(track(f"u{number}", at=after(days=day)) for number in range(entering) for day in (1, 2)))
    stored, computation = again(store, stored), written(store, RECENT)

    with store.reading() as connection:
        found = concerned(connection, stored, computation, after(days=3))

    assert found.rows is difference.LISTED_PAIRS
    assert told_of(found) == (1, entering, 0, entering)


def test_nobody_concerned_is_no_difference(store: Store) -> None:
    keep(store, track("ann"))
    stored = audience(store, query=RECENT)
    compute(store, stored, after(), standing_clock())
    stored, computation = again(store, stored), written(store, RECENT)

    with store.reading() as connection:
        found = concerned(connection, stored, computation, after(days=1))

    assert (found.rows, told_of(found)) == (None, (1, 0, 0, 0))


def test_the_table_of_a_difference_has_its_key(store: Store) -> None:
    """Or PostgreSQL goes through a hundred thousand users for each of a hundred thousand, once one run has looked at everyone."""
    keep(store, track("ann", at=after(days=-20)))
    stored, computation = audience(store, query=RECENT), written(store, RECENT)

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
    stored, computation = again(store, stored), written(store, RECENT)

    with store.reading() as connection:
        found = difference.of_everyone(connection, stored, computation.of_everyone, to_micros(after(days=15)))
        assert isinstance(found.rows, Table)
        as_they_lie = list(connection.scalars(select(found.rows.c.profile_id)))

    assert len(as_they_lie) == 4
    assert as_they_lie == sorted(as_they_lie)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_look_at_everyone_is_shared_among_processes_where_hardly_anybody_differs(store: Store) -> None:
    """What another process finds costs something to hand over, so that none is asked where many are expected to differ."""
    keep(store, *(track(f"u{number}", at=after(days=-20)) for number in range(3000)))
    stored, computation, seen = audience(store, query=RECENT), written(store, RECENT), list[str]()
    compute(store, stored, after(), standing_clock())

    def explained(_connection: Connection, cursor: Any, statement: str, told: Any, *_: Any) -> None:
        if statement.startswith("CREATE TEMPORARY TABLE"):
            cursor.connection.execute("ANALYZE")
            for name in ("parallel_setup_cost", "min_parallel_table_scan_size", "min_parallel_index_scan_size"):
                cursor.connection.execute(f"SET LOCAL {name} = 0")
            seen.extend(line for (line,) in cursor.connection.execute(f"EXPLAIN {statement}", told))

    with store.reading() as connection:
        event.listen(store.engine, "before_cursor_execute", explained)
        found = difference.of_everyone(connection, again(store, stored), computation.of_everyone, to_micros(after()))

    assert found.changed == 0
    assert any("Parallel Hash Full Join" in line for line in seen), seen


def test_a_connection_that_looks_at_everyone_then_at_many_and_at_everyone_again_finds_each_time_what_differs(store: Store) -> None:
    keep(store, *(track(f"u{number}", at=after(days=-20)) for number in range(4)))
    stored = audience(store, query=RECENT)
    compute(store, stored, after(), standing_clock())
    happens(store)
    stored, at, computation = again(store, stored), after(days=15), written(store, RECENT)

    with store.reading() as connection:
        found = [
            difference.of_everyone(connection, stored, computation.of_everyone, to_micros(at)),
            concerned(connection, stored, computation, at, few=0),
            difference.of_everyone(connection, stored, computation.of_everyone, to_micros(at)),
        ]

    assert [told_of(one) for one in found] == [(4, 2, 2, 4)] * 3
