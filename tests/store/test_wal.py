"""SQLite's write-ahead log has room unless it is long and somebody reads what stands in it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from sync.errors import LogFull
from sync.store import Store
from tests.make import keep, track

MOST = 256 * 1024


def log_of(store: Store) -> Path:
    return Path(f"{store.engine.url.database}-wal")


@contextmanager
def reading(store: Store) -> Iterator[ExitStack]:
    """Read, and go on doing so until the end, or until what is yielded is closed."""
    with ExitStack() as stack:
        stack.enter_context(store.reading()).exec_driver_sql("SELECT count(*) FROM calls").all()
        yield stack


def write(store: Store, batches: int) -> None:
    for _ in range(batches):
        keep(store, *(track("ann", properties={"x": "x" * 10_000}) for _ in range(10)))


def test_a_log_that_nobody_reads_is_cut_to_nothing_when_it_is_long(sqlite_store: Store) -> None:
    write(sqlite_store, 5)
    assert log_of(sqlite_store).stat().st_size > MOST

    sqlite_store.require_room(MOST)

    assert log_of(sqlite_store).stat().st_size == 0


def test_a_long_log_has_no_room_for_as_long_as_somebody_reads(sqlite_store: Store) -> None:
    with reading(sqlite_store):
        sqlite_store.require_room(MOST)
        write(sqlite_store, 5)
        with pytest.raises(LogFull, match="has grown beyond 256 kB, and cannot begin anew while somebody reads"):
            sqlite_store.require_room(MOST)

    sqlite_store.require_room(MOST)


def test_a_log_of_which_all_has_been_written_back_has_no_room_while_somebody_reads_what_stands_in_it(sqlite_store: Store) -> None:
    """What is written then goes to its end all the same, again and again where one reader follows the other."""
    write(sqlite_store, 5)
    with reading(sqlite_store) as first, ExitStack() as second:
        with pytest.raises(LogFull):
            sqlite_store.require_room(MOST)
        # Who begins now needs nothing of the log any more, and is not in the way.
        second.enter_context(reading(sqlite_store))
        first.close()
        sqlite_store.require_room(MOST)


def test_a_log_that_has_begun_anew_has_room_however_large_its_file_is(sqlite_store: Store) -> None:
    write(sqlite_store, 5)
    with closing(sqlite3.connect(str(sqlite_store.engine.url.database))) as other:
        assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
    keep(sqlite_store, track("ann"))
    with reading(sqlite_store):
        keep(sqlite_store, track("ann"))

        sqlite_store.require_room(MOST)
        assert log_of(sqlite_store).stat().st_size > MOST


def test_the_log_is_found_beside_the_file_itself_whatever_leads_there(sqlite_store: Store, tmp_path: Path) -> None:
    link = tmp_path / "folder" / "link.db"
    link.parent.mkdir()
    link.symlink_to(str(sqlite_store.engine.url.database))
    write(sqlite_store, 5)
    with reading(sqlite_store):
        for url in (f"sqlite:///{link}", f"sqlite:///file:{link}?uri=true"):
            linked = Store.at(url)
            with pytest.raises(LogFull):
                linked.require_room(MOST)
            linked.close()


def test_whoever_writes_at_that_moment_is_not_in_the_way(sqlite_store: Store) -> None:
    write(sqlite_store, 5)
    writing, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        with sqlite_store.writing():
            writing.set()
            go_on.wait(5)

    other = threading.Thread(target=slowly)
    other.start()
    writing.wait(5)
    threading.Timer(0.1, go_on.set).start()
    sqlite_store.require_room(MOST)
    other.join()


def test_whoever_writes_afterwards_waits_for_others_as_long_as_ever(sqlite_store: Store) -> None:
    write(sqlite_store, 5)
    sqlite_store.require_room(MOST)

    with sqlite_store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == sqlite_store.patience * 1000


def test_where_there_is_no_such_log_there_is_always_room(store: Store) -> None:
    if not store.on_sqlite:
        keep(store, track("ann"))

    store.require_room(0)
