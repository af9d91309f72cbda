"""Transactions: all or nothing, one writer at a time where there can be only one, and faults in words that help."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from sync.apply import apply_within
from sync.errors import StoreBusy, Unreachable
from sync.store import Store, queue
from sync.store.audiences import hold
from sync.store.bulk import Question, answers, together
from sync.store.engine import has_mended_log, open_engine
from sync.store.prepared import Prepared, told
from sync.store.schema import audiences, deliveries, heartbeats, identifiers, profiles
from tests.make import NOW, audience, definition, identify, keep
from tests.meeting import met, several_writers


def beat(connection, name: str, detail: str = "") -> None:
    connection.execute(insert(heartbeats).values(name=name, at=NOW, detail=detail))


def names(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(select(heartbeats.c.name).order_by(heartbeats.c.name)))


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as connection:
        beat(connection, "a")
        raise ZeroDivisionError

    assert names(store) == []


def test_work_is_done_again_where_another_writer_was_faster(store: Store) -> None:
    tries: list[int] = []

    def work(connection) -> str:
        tries.append(1)
        if len(tries) == 1:
            # What another writer does between our look and our writing.
            raise IntegrityError("INSERT", {}, Exception("unique"))
        beat(connection, "a")
        return "done"

    assert store.write(work) == "done"
    assert names(store) == ["a"]


def test_work_that_can_never_be_done_is_given_up_in_the_end(store: Store) -> None:
    with store.writing() as connection:
        beat(connection, "a")
    tries: list[int] = []

    def work(connection) -> None:
        tries.append(1)
        beat(connection, "a")

    with pytest.raises(IntegrityError):
        store.write(work)
    assert 1 < len(tries) < 20


def test_no_update_is_lost_among_threads(store: Store) -> None:
    with store.writing() as connection:
        beat(connection, "counter", "0")

    def add() -> None:
        for _ in range(500):
            store.write(_add_one)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.reading() as connection:
        assert connection.scalars(select(heartbeats.c.detail)).one() == "4000"


def _add_one(connection) -> None:
    found = connection.scalars(select(heartbeats.c.detail).where(heartbeats.c.name == "counter").with_for_update()).one()
    connection.execute(update(heartbeats).values(detail=str(int(found) + 1)))


def test_readers_go_on_while_somebody_writes(store: Store) -> None:
    with store.writing() as connection:
        beat(connection, "a")

        assert names(store) == []


def test_what_people_are_told_is_all_of_one_instant(store: Store) -> None:
    """A delivery that was taken between two statements of a list stood in neither of its two states."""
    keep(store, identify("ann", {"plan": "pro"}), forward=True)
    with store.snapshot() as told:
        before = queue.states(told)
        with store.writing() as sender:
            sender.execute(update(deliveries).values(state="sending"))
        after = queue.states(told)

    assert before == after == {("users", "owed"): 1}


def test_a_row_that_refers_to_nobody_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError), store.writing() as connection:
        connection.execute(text("INSERT INTO identifiers (type, value, profile_id) VALUES ('anonymous_id', 'a', 4711)"))


def test_statements_told_together_are_done_in_their_order(store: Store) -> None:
    with store.writing() as connection:
        with together(connection):
            beat(connection, "a", "first")
            connection.execute(update(heartbeats).values(detail="second"))

        assert connection.scalars(select(heartbeats.c.detail)).all() == ["second"]


def test_one_of_statements_told_together_that_is_refused_is_refused_with_the_others(store: Store) -> None:
    with pytest.raises(IntegrityError), store.writing() as connection, together(connection):
        beat(connection, "a")
        connection.execute(text("INSERT INTO identifiers (type, value, profile_id) VALUES ('anonymous_id', 'a', 4711)"))
        beat(connection, "b")

    assert names(store) == []


def test_records_have_the_programs_own_values_by_the_names_of_the_columns(store: Store) -> None:
    traits = {"plan": "pro", "seats": 3, "share": 1e22}
    keep(store, identify("ann", traits, at=NOW, received_at=NOW))
    everybody = Prepared(select(profiles.c.user_id, profiles.c.traits, profiles.c.created_at.label("made")))
    with store.reading() as connection:
        [found] = everybody.records(connection)

    assert found._asdict() == {"user_id": "ann", "traits": traits, "made": NOW}


def test_questions_are_answered_each_in_the_order_in_which_they_were_asked(store: Store) -> None:
    number = Prepared(select(told("number", BigInteger())).where(told("number", BigInteger()) > 0))
    with store.reading() as connection:
        found = answers(connection, *(Question(number, {"number": one}) for one in (2, 0, 1)))

    assert found == [[(2,)], [], [(1,)]]


def test_one_of_several_questions_that_is_refused_is_refused_as_alone(store: Store) -> None:
    row = {"type": "anonymous_id", "value": "a", "profile_id": 4711}
    refused = Question(Prepared(insert(identifiers).values(row).returning(identifiers.c.value)), {})
    with pytest.raises(IntegrityError), store.writing() as connection:
        answers(connection, refused, Question(Prepared(select(heartbeats.c.name)), {}))

    assert names(store) == []


def test_an_error_shows_no_value_that_was_bound(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(insert(profiles).values(user_id="ann@secret.test", traits={}, traits_at={}, created_at=NOW))

    with pytest.raises(IntegrityError) as caught, store.writing() as connection:
        connection.execute(insert(profiles).values(user_id="ann@secret.test", traits={"p": "secret"}, traits_at={}, created_at=NOW))

    assert "[SQL parameters hidden" in str(caught.value)


def test_a_locked_file_is_said_to_be_busy(sqlite_store: Store) -> None:
    path = str(sqlite_store.engine.url.database)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with sqlite_store.connected() as session, session.reading() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=10")
        with pytest.raises(StoreBusy, match="locked by another process; nothing was done, try again"), sqlite_store.writing():
            pass
    finally:
        other.close()


def test_a_program_that_has_all_its_connections_in_use_is_busy_and_not_broken(store: Store) -> None:
    with store.once_more(0.2) as hurried, ExitStack() as held, pytest.raises(StoreBusy, match="all its connections"):
        for _ in range(100):
            held.enter_context(hurried.reading())


def test_a_file_that_is_no_database_is_said_to_be_unusable(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello " * 1000)
    store = Store.at(f"sqlite:///{tmp_path / 'notes.txt'}")

    with pytest.raises(Unreachable, match="cannot be used: file is not a database"):
        store.require_current_schema()


def test_a_folder_that_does_not_exist_is_said_to_be_unusable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="unable to open database file"):
        Store.at(f"sqlite:///{tmp_path / 'none' / 'personas.db'}").require_current_schema()


def test_a_server_that_is_not_there_is_unreachable_and_its_password_unsaid() -> None:
    store = Store.at("postgresql+psycopg://us:secret-word@127.0.0.1:1/none")

    with pytest.raises(Unreachable) as caught:
        store.require_current_schema()

    assert "secret-word" not in str(caught.value)


def test_sqlite_writes_what_was_promised_through_to_the_disk(sqlite_store: Store) -> None:
    with sqlite_store.reading() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert settings == ["wal", 2, 1]


def test_a_new_sqlite_file_and_what_belongs_to_it_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Store.at(f"sqlite:///{tmp_path / 'new.db'}").writing() as connection:
            connection.exec_driver_sql("CREATE TABLE t (a)")
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)

    assert modes == {"new.db": 0o600, "new.db-wal": 0o600, "new.db-shm": 0o600}


def test_the_mode_that_a_user_gave_a_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    path.touch(mode=0o640)
    path.chmod(0o640)

    with Store.at(f"sqlite:///{path}").writing() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a)")

    assert path.stat().st_mode & 0o777 == 0o640


@several_writers
def test_who_applies_definitions_and_who_writes_answers_down_never_wait_for_each_other(store: Store) -> None:
    keys = ("a", "b", "c")
    for key in keys:
        audience(store, key)
    # In the order of the file.
    wanted = [definition(key, description="changed") for key in reversed(keys)]

    failures = met(
        store,
        select(audiences.c.id).where(audiences.c.key == "b"),
        lambda connection: apply_within(connection, wanted, NOW),
        hold,
    )

    assert failures == []


@pytest.mark.parametrize("patience", [10.0, 2.0])
def test_a_server_that_the_network_no_longer_reaches_is_given_up_within_half_a_minute(patience: float) -> None:
    """What only a network that is cut could show; a server that is stopped still answers these by its system."""
    engine = open_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", patience)
    options: dict[str, Any] = {"keepalives_count": 2}

    for connecting in engine.dialect.dispatch.do_connect:
        connecting(engine.dialect, None, [], options)

    assert options["keepalives_idle"] + options["keepalives_count"] * options["keepalives_interval"] <= 25
    assert options["tcp_user_timeout"] <= 25_000
    # What the URL says goes before it.
    assert options["keepalives_count"] == 2
    assert options["keepalives"] == 1


@pytest.mark.parametrize(
    ("version", "is_mended"),
    [
        *(((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 6), False)),
        *(((3, 50, 7), True), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 52, 0), True), ((4, 0, 0), True)),
    ],
)
def test_it_is_known_which_releases_of_sqlite_may_damage_a_file(version: tuple[int, int, int], is_mended: bool) -> None:
    assert has_mended_log(version) is is_mended
