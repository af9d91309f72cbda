"""PostgreSQL that goes down again and again, and connections that are cut in the middle of a COMMIT (rows 38 and 39)."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import OperationalError
from sqlalchemy import Connection, ExceptionContext, event, func, select, text, update

from sync.call import Call
from sync.errors import Unreachable
from sync.send import LEASE
from sync.spool import look
from sync.standin import StandIn
from sync.store import Store, audiences, calls, ledger
from sync.store import schema as t
from sync.store.silent import end_silent
from tests.crash import oracle
from tests.crash.life import Folder
from tests.faults.kills import restart_often
from tests.faults.places import Server, emptied
from tests.faults.test_store_away import drained, post
from tests.make import NOW, audience, identify, keep, people, track


@pytest.fixture
def place(own_postgresql: Server) -> Iterator[Server]:
    with emptied(own_postgresql) as server:
        yield server


def test_a_server_that_restarts_again_and_again_loses_nothing_and_doubles_nothing(
    folder: Folder, place: Server, store: Store, standin: StandIn
) -> None:
    folder.environ.pop("SYNC_SPOOL")

    traffic, slowest = restart_often(folder, place, store, standin, restarts=3, seconds=0.3)

    assert set(traffic.statuses) <= {200, 503}
    assert slowest < 2, "it was not back in time"


def test_a_connection_that_is_cut_at_its_commit_leaves_the_whole_or_nothing(store: Store) -> None:
    """Whoever is told that it failed gives the same calls again, as senders do; the message ids tell."""
    dice, cut = random.Random(1), 0
    for number in range(100):
        calls = [track(f"user-{number % 7}", message_id=f"{number}-{one}") for one in range(3)]
        # Of ten one is cut before its COMMIT leaves, one when its COMMIT is done and not answered, and one long after, whatever
        # the machine; the others at about that time.
        delay = {0: None, 1: None, 2: 0.2}.get(number % 10, dice.random() * 0.002)
        failed = False
        with Cutting(store, delay, commits_first=number % 10 == 1):
            try:
                keep(store, *calls)
            except Unreachable:
                failed = True
        cut += failed
        there = stored(store, calls)
        if number % 10 < 2:
            assert (failed, there) == (True, 3 * (number % 10))
        assert (there, keep(store, *calls).accepted) in [(0, 3), (3, 0)]

    oracle.stored_once(store, {f"{number}-{one}": {} for number in range(100) for one in range(3)})
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.profiles)) == 7
    assert 20 <= cut <= 90


def stored(store: Store, batch: list[Call]) -> int:
    """Count those of the batch that are there."""
    ids = [one.message_id for one in batch]
    with store.reading() as connection:
        return len(connection.scalars(select(t.calls.c.id).where(t.calls.c.message_id.in_(ids))).all())


class Cutting:
    """Terminate the server's side of the connection about when the next COMMIT is on its way; without a delay, surely before it.

    Where it commits first the server has done what that COMMIT asks for, and nobody hears of it.
    """

    def __init__(self, store: Store, delay: float | None, *, commits_first: bool = False) -> None:
        self._store, self._delay, self._commits_first = store, delay, commits_first
        self._threads: list[threading.Thread] = []

    def _cut(self, pid: int) -> None:
        other = Store.at(self._store.engine.url.render_as_string(hide_password=False))
        with other.reading() as connection:
            connection.execute(text("SELECT 1"))
            if self._delay is not None:
                self._ready.set()
                time.sleep(self._delay)
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            self._ready.set()
        other.close()

    def _at_commit(self, connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if self._commits_first:
            driver.pgconn.exec_(b"COMMIT")
            # Without a transaction the driver would take its own COMMIT for needless, and say nothing to the server.
            driver.pgconn.exec_(b"BEGIN")
        self._ready = threading.Event()
        self._threads.append(threading.Thread(target=self._cut, args=(driver.info.backend_pid,)))
        self._threads[-1].start()
        self._ready.wait(5)

    def __enter__(self) -> None:
        event.listen(self._store.engine, "commit", self._at_commit)

    def __exit__(self, *_: object) -> None:
        event.remove(self._store.engine, "commit", self._at_commit)
        for thread in self._threads:
            thread.join()


READ_ONLY = "ALTER DATABASE postgres SET default_transaction_read_only"


@pytest.mark.parametrize(
    ("harm", "mending"),
    [
        (f"{READ_ONLY} = on", f"{READ_ONLY} = off"),
        ("ALTER TABLE calls RENAME TO other", "ALTER TABLE other RENAME TO calls"),
        ("ALTER TABLE calls RENAME COLUMN arrival TO other", "ALTER TABLE calls RENAME COLUMN other TO arrival"),
    ],
    ids=["a server that may only be read", "a table that is not there", "a column that is not there"],
)
def test_what_an_operator_has_to_mend_is_a_store_that_is_away(folder: Folder, place: Server, harm: str, mending: str) -> None:
    """And not a fault of the calls, which would be set aside one by one."""
    service = folder.serve("--only", "web")
    place.tell(harm)
    answers = [post(service.url, str(number)).status_code for number in range(3)]
    time.sleep(1)
    place.tell(mending)
    drained(folder)

    store = Store.at(place.url)
    oracle.stored_exactly(store, {str(number): {} for number in range(3)})
    store.close()
    assert answers == [200, 200, 200]
    assert look(folder.path / "spool").set_aside == 0


def test_writers_who_meet_the_same_people_in_opposite_orders_are_all_served(store: Store) -> None:
    """A thousand batches; PostgreSQL calls some of them a deadlock or a race, and they are done again (row 40)."""
    people = [f"user-{number}" for number in range(6)]

    def write(writer: int) -> None:
        dice = random.Random(writer)
        for number in range(250):
            met = dice.sample(people, 2)
            keep(store, *(identify(one, {f"by {writer}": number}, message_id=f"{writer}-{number}-{one}") for one in met))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, writer) for writer in range(4)]:
            done.result()
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.calls)) == 2000


def test_of_two_that_lock_in_opposite_orders_postgresql_ends_one_and_both_do_their_work_once(store: Store) -> None:
    """Row 40: a deadlock, 40P01."""
    rows = [audience(store, key).id for key in ("one", "two")]
    met, tries = threading.Barrier(2), Counter[int]()

    def work(connection: Connection, first: int, second: int) -> None:
        tries[first] += 1
        one_more(connection, first)
        if tries[first] == 1:
            met.wait(10)
        one_more(connection, second)

    with noted(store) as codes, ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(store.write, partial(work, first=one, second=other)) for one, other in (rows, reversed(rows))]:
            done.result(20)

    assert codes == ["40P01"]
    assert sum(tries.values()) == 3
    assert counted(store) == [2, 2]


def test_of_two_that_change_what_both_have_read_postgresql_ends_one_and_both_do_their_work_once(store: Store) -> None:
    """Row 40: a serialization failure, 40001, which takes a level of isolation that somebody may have made the database's own."""
    row = audience(store).id
    met, tries = threading.Barrier(2), Counter[int]()

    def work(connection: Connection, writer: int) -> None:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tries[writer] += 1
        connection.execute(select(t.audiences.c.members)).all()
        if tries[writer] == 1:
            met.wait(10)
        one_more(connection, row)

    with noted(store) as codes, ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(store.write, partial(work, writer=writer)) for writer in range(2)]:
            done.result(20)

    assert codes == ["40001"]
    assert sum(tries.values()) == 3
    assert counted(store) == [2]


@contextmanager
def noted(store: Store) -> Iterator[list[str]]:
    """Yield the codes of all that the server refuses from now on."""
    codes: list[str] = []

    def refused(context: ExceptionContext) -> None:
        codes.append(getattr(context.original_exception, "sqlstate", ""))

    event.listen(store.engine, "handle_error", refused)
    yield codes
    event.remove(store.engine, "handle_error", refused)


def one_more(connection: Connection, row: int) -> None:
    connection.execute(update(t.audiences).where(t.audiences.c.id == row).values(members=t.audiences.c.members + 1))


def counted(store: Store) -> list[int]:
    with store.reading() as connection:
        return list(connection.scalars(select(t.audiences.c.members)))


def test_writers_who_bring_new_people_and_talk_of_each_others_are_all_served(store: Store) -> None:
    """Whoever loses to one that brings a few of the same does not lose to the next one, and so on, until it gives up (row 40)."""
    dice, batches = random.Random(1), deque[list[Call]]()
    for number in range(40):
        people = [f"user-{dice.randrange(50 * (number + 1))}" for _ in range(500)]
        batches.append([dice.choice([track, identify])(one, message_id=f"{number}-{place}") for place, one in enumerate(people)])

    def write() -> None:
        while batches:
            keep(store, *batches.popleft())

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write) for _ in range(4)]:
            done.result()
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.calls)) == 20_000


def test_a_call_does_not_wait_for_whoever_learns_something_about_its_user(store: Store) -> None:
    """Or two who do both about each other's would wait for ever, and be called a deadlock after a second."""
    people(store, "ann")
    with store.writing() as learning:
        calls.keep(learning, [("web", identify("ann", {"plan": "pro"}))], lambda call: (), NOW)
        with ThreadPoolExecutor(1) as pool:
            kept = pool.submit(keep, store, track("ann")).result(10)

    assert kept.accepted == 1


def test_a_process_that_falls_silent_within_a_transaction_loses_its_locks_before_any_lease_ends(store: Store) -> None:
    setting = text("SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'")

    def allowed(connection: Connection) -> int:
        return int(connection.scalar(setting)) // 1000

    with store.writing() as connection:
        assert 0 < allowed(connection) < LEASE.total_seconds()
    with store.once_more(2) as hurried, hurried.writing() as connection:
        assert 0 < allowed(connection) < LEASE.total_seconds()
    members = audience(store)
    with store.reading() as connection:
        ledger.members_at(connection, members, NOW)
        assert allowed(connection) == 0, "a person may read the members of a past time as slowly as they like"


@contextmanager
def row_of_statements(driver: Any) -> Iterator[None]:
    with driver.pipeline():
        driver.execute("SELECT id FROM audiences ORDER BY id FOR NO KEY UPDATE")
        yield


@contextmanager
def copying(driver: Any) -> Iterator[None]:
    with driver.cursor() as cursor, cursor.copy("COPY audiences (key) FROM STDIN"):
        yield


@contextmanager
def being_told_much(driver: Any) -> Iterator[None]:
    # As one has that writes, or has locked a row.
    driver.execute("SELECT pg_current_xact_id()")
    with reading_much(driver):
        yield


@contextmanager
def reading_much(driver: Any) -> Iterator[None]:
    with driver.cursor() as cursor:
        rows = cursor.stream("SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
        next(rows)
        yield
        deque(rows, 0)


@pytest.mark.parametrize("telling", [row_of_statements, copying, being_told_much])
def test_a_process_that_falls_silent_in_the_middle_of_what_it_tells_or_is_told_loses_its_locks(
    store: Store, telling: Callable[[Any], AbstractContextManager[None]]
) -> None:
    with pytest.raises(Unreachable), store.writing() as connection, telling(connection.connection.driver_connection):
        time.sleep(0.2)
        with store.writing() as other:
            assert end_silent(other) == 0, "half a minute has not passed"
            other.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 100")
            assert end_silent(other) == 1
            audiences.hold(other)


def test_all_sessions_of_a_process_that_fell_silent_end_together_those_too_that_wait_for_its_own(store: Store) -> None:
    """Or each would be silent anew once it got what it waits for, and the time of each be waited for, one after the other."""
    lock = "SELECT pg_advisory_xact_lock(7)"
    with (
        ThreadPoolExecutor(2) as pool,
        connected(store, "one") as waiting,
        connected(store, "other") as another,
        pytest.raises(OperationalError),
        connected(store, "one") as silent,
        silent.pipeline(),
    ):
        silent.execute(lock)
        time.sleep(0.2)
        ended, goes_on = (pool.submit(one.execute, lock) for one in (waiting, another))
        time.sleep(0.1)
        with store.writing() as connection:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 100")
            assert end_silent(connection) == 2

        goes_on.result(10)
        assert isinstance(ended.exception(10), OperationalError)


@contextmanager
def connected(store: Store, process: str) -> Iterator[Any]:
    """Connect as a process of this program that has this name."""
    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg.connect(url, application_name=f"personas-sync {process}")
    try:
        yield connection
    finally:
        connection.close()


NAME = "SELECT current_setting('application_name')"

SAY_NAME = f"""
import sys
from sync.store import Store
with Store.at(sys.argv[1]).reading() as connection:
    print(connection.exec_driver_sql({NAME!r}).scalar())
"""


def test_all_that_a_process_has_open_has_one_name_which_no_other_process_has(store: Store) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    with store.reading() as connection, store.once_more(2) as again, again.reading() as another:
        names = {one.exec_driver_sql(NAME).scalar() for one in (connection, another)}
    other = subprocess.run([sys.executable, "-c", SAY_NAME, url], capture_output=True, text=True, check=True).stdout.strip()

    assert len(names) == 1
    assert all(name.startswith("personas-sync ") for name in (*names, other))
    assert other not in names


def test_a_process_that_reads_slowly_and_holds_up_nobody_is_not_taken_for_a_silent_one(store: Store) -> None:
    with store.reading() as connection, reading_much(connection.connection.driver_connection), store.writing() as other:
        time.sleep(0.2)
        other.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 100")
        assert end_silent(other) == 0


def test_a_process_that_waits_for_a_long_statement_is_not_taken_for_a_silent_one(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, store, "SELECT pg_sleep(1)")
        time.sleep(0.3)
        with store.writing() as other:
            other.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 100")
            assert end_silent(other) == 0
        asked.result()


def ask(store: Store, statement: str) -> None:
    with store.reading() as connection:
        connection.exec_driver_sql(statement).all()


def test_a_transaction_that_the_server_ended_is_a_store_that_was_away(store: Store) -> None:
    with pytest.raises(Unreachable, match="idle-in-transaction"), store.writing() as connection:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 20")
        time.sleep(0.2)

    with store.writing() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
