"""Several statements that are told to PostgreSQL at once."""

from __future__ import annotations

import pytest
from sqlalchemy import BigInteger, Connection, column, literal, select

from sync.store import Store, bulk
from sync.store.bulk import Question
from sync.store.prepared import Prepared, told
from sync.store.schema import profiles
from tests.make import identify, keep

PLANS = ("plan_cache_mode", "enable_seqscan")


def settings_of(connection: Connection) -> list[object]:
    return [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in PLANS]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("way", [Store.reading, Store.glancing])
def test_what_is_set_for_a_statement_that_is_planned_once_is_set_for_it_alone(store: Store, way) -> None:
    during = Prepared(select(*(column(f"current_setting('{name}')", is_literal=True) for name in PLANS)), planned_once=True)

    with way(store) as connection:
        before = settings_of(connection)
        [[seen], [[one]]] = bulk.answers(connection, Question(during, {}), Question(Prepared(select(literal(1))), {}))
        after = settings_of(connection)

    assert (seen, one) == (("force_generic_plan", "off"), 1)
    assert after == before != list(seen)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_statement_that_is_planned_once_never_reads_a_whole_table_of_which_it_finds_little(store: Store) -> None:
    """The plan for whatever it is told expects a third of the table, and a table that small is read as a whole for that."""
    keep(store, *(identify(f"u{number}", {"n": 1}) for number in range(500)))
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE profiles")
    since = told("since", BigInteger())
    search = select(profiles.c.id).where(profiles.c.traits_arrival >= since)
    explaining = Prepared(search, before="EXPLAIN ", planned_once=True)

    with store.reading() as connection:
        [plan, _] = bulk.answers(connection, Question(explaining, {"since": 1}), Question(Prepared(select(literal(1))), {}))

    assert "ix_profiles_traits_arrival" in str(plan), plan
    assert "Seq Scan" not in str(plan), plan
