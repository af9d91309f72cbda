"""A statement that is written once is told values by name at each execution, and keeps its constants, on both databases."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy import BigInteger, Text, insert, literal, select, union_all

from sync.store import Store, listed
from sync.store.listed import IDS, LISTED_PAIRS, one_of
from sync.store.prepared import Prepared, told
from sync.store.schema import heartbeats
from sync.store.types import Instant
from tests.make import NOW, after

BEAT = Prepared(insert(heartbeats).values(name=told("who", Text()), at=told("instant", Instant()), detail="constant"))
SINCE = Prepared(
    select(heartbeats.c.name, heartbeats.c.detail)
    .where(heartbeats.c.at >= told("since", Instant()), heartbeats.c.name.in_(["a", "b"]))
    .order_by(heartbeats.c.name)
)


def beaten(store: Store, since: datetime) -> list[tuple[str, str]]:
    with store.reading() as connection:
        return [tuple(row) for row in SINCE.execute(connection, since=since)]


def test_values_are_told_and_constants_stay(store: Store) -> None:
    with store.writing() as connection:
        for name, at in (("a", NOW), ("b", after(days=1)), ("c", after(days=2))):
            BEAT.execute(connection, who=name, instant=at, unheard="of")

    assert beaten(store, NOW) == [("a", "constant"), ("b", "constant")]
    assert beaten(store, after(hours=1)) == [("b", "constant")]


def test_a_value_that_is_not_told_is_an_error(store: Store) -> None:
    with store.reading() as connection, pytest.raises(KeyError, match="since"):
        SINCE.execute(connection)


@pytest.mark.parametrize("ids", [[], [3], [1, 2**40]])
def test_ids_are_listed_as_one_parameter(store: Store, ids: list[int]) -> None:
    numbers = union_all(*(select(literal(number, BigInteger()).label("number")) for number in (0, 3, 1, 2**40))).subquery()
    found = Prepared(select(numbers.c.number).where(one_of(numbers.c.number, IDS)).order_by(numbers.c.number))

    with store.reading() as connection:
        assert found.execute(connection, ids=listed.values(ids)).scalars().all() == ids


def test_pairs_keep_values_that_are_json_themselves_or_nothing(store: Store) -> None:
    rows = [(1, "true"), (2, None), (3, '"a \\"quoted\\" ü"'), (2**40, "10000000000000000000000.0")]
    statement = Prepared(select(LISTED_PAIRS).where(LISTED_PAIRS.c.profile_id > told("above", BigInteger())))

    with store.reading() as connection:
        found = statement.execute(connection, pairs=listed.pairs(rows), above=0).all()

    assert [tuple(row) for row in found] == rows
