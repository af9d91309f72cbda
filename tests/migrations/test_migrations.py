"""The migrations make exactly the tables that the program uses, on both databases, and can be taken back."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, Table, event, inspect, select, text

from sync.errors import SchemaMismatch
from sync.store import Store, leases, migrate
from sync.store.schema import belongs_to, changes, dates, memberships, metadata, profiles
from sync.store.types import from_micros


@pytest.fixture
def bare(bare_database_url: str):
    store = Store.at(bare_database_url)
    yield store
    store.close()


@pytest.fixture
def sqlite(tmp_path: Path):
    """An empty database of the kind that foreign keys can be switched off in."""
    store = Store.at(f"sqlite:///{tmp_path / 'empty.db'}")
    yield store
    store.close()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def index_predicates(engine: Engine) -> dict[str, str]:
    """Return the condition of each partial index, without the spelling that the database adds."""
    if engine.dialect.name == "sqlite":
        statement = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        statement = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    with engine.connect() as connection:
        found = connection.execute(text(statement)).all()
    conditions = {name: sql.partition(" WHERE ")[2] for name, sql in found if " WHERE " in sql}
    return {name: re.sub(r"::\w+|[() ]", "", condition).lower() for name, condition in conditions.items()}


def test_the_migrations_go_up_down_and_up_again(bare: Store) -> None:
    migrate.upgrade(bare.engine)
    first = tables(bare.engine)

    migrate.downgrade(bare.engine, "base")
    between = tables(bare.engine)
    migrate.upgrade(bare.engine)

    assert (first, between) == (set(metadata.tables), set())
    assert tables(bare.engine) == first


def test_migrating_twice_changes_nothing(bare: Store) -> None:
    migrate.upgrade(bare.engine)

    migrate.upgrade(bare.engine)

    bare.require_current_schema()


def test_the_migrated_schema_is_the_one_that_the_program_declares(store: Store) -> None:
    database = store.engine.dialect.name

    def is_there(thing: Any, *_: Any) -> bool:
        return belongs_to(database, thing)

    told = {"target_metadata": metadata, "compare_type": True, "compare_server_default": True, "include_object": is_there}
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=told)
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_partial_indexes_have_the_declared_conditions(store: Store) -> None:
    dialect = store.engine.dialect
    declared = {}
    for table in metadata.tables.values():
        for index in table.indexes:
            condition = index.dialect_options[dialect.name].get("where")
            if condition is not None:
                declared[str(index.name)] = re.sub(r"[() ]", "", str(condition)).lower()

    assert declared
    assert index_predicates(store.engine) == declared


@pytest.mark.parametrize("table", [memberships, changes], ids=str)
def test_the_ledger_and_its_history_are_stored_in_the_order_of_their_keys_on_sqlite(sqlite: Store, table: Table) -> None:
    migrate.upgrade(sqlite.engine)
    with sqlite.engine.connect() as connection:
        made = connection.execute(text(f"SELECT sql FROM sqlite_master WHERE name = '{table}'")).scalar_one()

    assert "WITHOUT ROWID" in made
    assert table.dialect_options["sqlite"]["with_rowid"] is False


def test_a_store_without_tables_is_refused_with_the_command_that_makes_them(bare: Store) -> None:
    with pytest.raises(SchemaMismatch, match="no tables yet: run  personas-sync db upgrade"):
        bare.require_current_schema()


def test_an_older_schema_is_refused_with_the_command_that_upgrades_it(bare: Store) -> None:
    migrate.upgrade(bare.engine)
    set_revision(bare, "0000")

    with pytest.raises(SchemaMismatch, match=r"revision 0000, this program needs \d{4}: run  personas-sync db upgrade"):
        bare.require_current_schema()


def test_a_newer_schema_is_refused_with_the_advice_to_install_a_newer_program(bare: Store) -> None:
    migrate.upgrade(bare.engine)
    set_revision(bare, "9999")

    with pytest.raises(SchemaMismatch, match=r"revision 9999, newer .* install a newer personas-sync"):
        bare.require_current_schema()


def test_a_refusal_never_shows_the_password() -> None:
    store = Store.at("postgresql+psycopg://us:secret-word@127.0.0.1:1/none")

    assert "secret-word" not in store.name
    assert "secret-word" not in repr(store)


def test_foreign_keys_are_enforced_before_and_after_a_migration_on_the_same_store(sqlite: Store) -> None:
    migrate.upgrade(sqlite.engine)
    with sqlite.reading() as connection:
        before = connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one()

    migrate.downgrade(sqlite.engine, "base")
    migrate.upgrade(sqlite.engine)

    with sqlite.reading() as connection:
        after = connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one()
    assert (before, after) == (1, 1)


def test_foreign_keys_are_off_while_a_migration_runs(sqlite: Store) -> None:
    seen: list[str] = []

    @event.listens_for(sqlite.engine, "before_cursor_execute")
    def look(connection, cursor, statement, *_):
        if statement.lstrip().startswith("CREATE TABLE profiles"):
            seen.append(connection.connection.driver_connection.execute("PRAGMA foreign_keys").fetchone()[0])

    migrate.upgrade(sqlite.engine)

    assert seen == [0]


def test_a_failing_migration_leaves_nothing_behind(bare: Store) -> None:
    with bare.writing() as connection:
        connection.execute(text("CREATE TABLE runs (id integer)"))

    with pytest.raises(Exception, match="runs"):
        migrate.upgrade(bare.engine)

    assert tables(bare.engine) == {"runs"}
    with bare.reading() as connection:
        assert migrate.revision(connection) is None


def test_the_scripts_are_found_in_a_checkout() -> None:
    folder = migrate.scripts()

    assert folder == Path(migrate.__file__).resolve().parents[2] / "migrations"
    assert (folder / "env.py").exists()


def test_the_scripts_are_found_beside_the_package_in_a_wheel(tmp_path: Path) -> None:
    package, wheel = Path(migrate.__file__).resolve().parents[1], tmp_path / "sync"
    (wheel / "migrations").mkdir(parents=True)

    assert migrate.scripts(package) == package.parent / "migrations"
    assert migrate.scripts(wheel) == wheel / "migrations"


def test_the_wheel_carries_the_scripts() -> None:
    settings = tomllib.loads((Path(migrate.__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))

    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"migrations": "sync/migrations"}


def test_every_name_in_the_schema_follows_the_convention(store: Store) -> None:
    names = {name for table in metadata.tables.values() for index in table.indexes for name in [str(index.name)]}

    assert all(name.startswith("ix_") for name in names)
    for table in inspect(store.engine).get_table_names():
        for key in inspect(store.engine).get_foreign_keys(table):
            assert str(key["name"]).startswith(f"fk_{table}_")


def set_revision(store: Store, revision: str) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_a_store_of_the_first_revision_keeps_its_people_and_learns_its_dates(bare: Store) -> None:
    migrate.upgrade(bare.engine, "0001")
    with bare.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO profiles (id, user_id, traits, traits_at, created_at) VALUES (1, 'ann', :traits, '{}', 0)"),
            {"traits": '{"trial": "2026-03-04"}'},
        )
        connection.execute(
            text(
                "INSERT INTO calls (id, message_id, source, type, profile_id, event, timestamp, received_at, properties, context, "
                "integrations) VALUES (1, 'm', 'web', 'track', 1, 'Booked', 0, 0, :properties, '{}', '{}')"
            ),
            {"properties": '{"from": "2026-03-05"}'},
        )

    migrate.upgrade(bare.engine)

    with bare.engine.connect() as connection:
        found = connection.execute(select(dates.c.place, dates.c.event, dates.c.key).order_by(dates.c.place)).all()
        people = connection.execute(select(profiles.c.user_id, profiles.c.arrival)).all()
    assert [tuple(row) for row in found] == [("property", "Booked", "from"), ("trait", "", "trial")]
    assert [tuple(row) for row in people] == [("ann", 0)]


def test_what_a_former_release_had_on_its_way_is_unknown_and_nothing_else_changes(bare: Store) -> None:
    migrate.upgrade(bare.engine, "0007")
    rows = [(1, "true", "sending", "true"), (2, None, "sending", "true"), (3, "true", "owed", None), (4, "true", "settled", None)]
    with bare.engine.begin() as connection:
        for profile_id, value, state, sent in rows:
            connection.execute(
                text(
                    "INSERT INTO memberships (audience_id, profile_id, value, since, accepted, state, sent, attempts, run_id) "
                    "VALUES (1, :profile_id, :value, 0, 'false', :state, :sent, 1, 1)"
                ),
                {"profile_id": profile_id, "value": value, "state": state, "sent": sent},
            )

    migrate.upgrade(bare.engine)

    m = memberships.c
    with bare.engine.connect() as connection:
        found = connection.execute(select(m.profile_id, m.state, m.accepted).order_by(m.profile_id)).all()
    assert [tuple(row) for row in found] == [
        (1, "unknown", None),
        (2, "settled", None),
        (3, "owed", "false"),
        (4, "settled", "false"),
    ]


def test_the_release_before_adds_audiences_to_the_newer_tables_and_none_has_skipped_a_slot(bare: Store) -> None:
    add = text(
        "INSERT INTO audiences (key, kind, name, description, query, schedule, enabled, version, created_at, updated_at) "
        "VALUES (:key, 'audience', :key, '', '', '', true, 1, 0, 0)"
    )
    migrate.upgrade(bare.engine, "0011")
    with bare.engine.begin() as connection:
        connection.execute(add, {"key": "before"})
    migrate.upgrade(bare.engine, "0012")
    with bare.engine.begin() as connection:
        connection.execute(add, {"key": "beside"})
        found = connection.execute(text("SELECT key, slots_skipped FROM audiences ORDER BY id")).all()

    migrate.downgrade(bare.engine, "0011")

    assert [tuple(row) for row in found] == [("before", 0), ("beside", 0)]
    assert "slots_skipped" not in {column["name"] for column in inspect(bare.engine).get_columns("audiences")}


def test_the_release_before_pauses_lanes_of_the_newer_table_and_they_wait(bare: Store) -> None:
    pause = text("INSERT INTO lanes (lane, paused_until, reason, key_refused, failures) VALUES (:lane, 60000000, '503', false, 1)")
    migrate.upgrade(bare.engine, "0012")
    with bare.engine.begin() as connection:
        connection.execute(pause, {"lane": "users"})
    migrate.upgrade(bare.engine)
    with bare.engine.begin() as connection:
        connection.execute(pause, {"lane": "actions"})
        found = leases.pauses(connection)

    migrate.downgrade(bare.engine, "0012")

    begin = from_micros(0)
    assert [(one.since, one.left(begin)) for one in found.values()] == [(None, timedelta(minutes=1))] * 2
    assert "paused_at" not in {column["name"] for column in inspect(bare.engine).get_columns("lanes")}


def test_the_history_of_a_former_release_stays_and_can_be_taken_back(bare: Store) -> None:
    migrate.upgrade(bare.engine, "0009")
    history = [(1, 7, "true", 5, 1), (2, 7, "true", 6, 2), (1, 7, "false", 8, 3), (1, 3, "true", 8, 3), (1, 7, "true", 8, 4)]
    said = text("INSERT INTO changes (audience_id, profile_id, value, at, run_id) VALUES (:audience, :profile, :value, :at, :run)")
    with bare.engine.begin() as connection:
        for row in history:
            connection.execute(said, dict(zip(("audience", "profile", "value", "at", "run"), row, strict=True)))

    migrate.upgrade(bare.engine)

    names = "audience_id, profile_id, value, at, run_id"
    with bare.engine.connect() as connection:
        kept = connection.execute(text(f"SELECT {names} FROM changes ORDER BY run_id, profile_id DESC")).all()
    migrate.downgrade(bare.engine, "0009")
    with bare.engine.connect() as connection:
        taken_back = connection.execute(text(f"SELECT {names} FROM changes ORDER BY id")).all()
    assert [tuple(row) for row in kept] == history
    assert sorted(taken_back, key=lambda row: row.run_id) == taken_back
    assert sorted(map(tuple, taken_back)) == sorted(history)
