"""kill -9 of each command at every step of its transactions: before and after a statement, before and after a commit (row 3).

A command dies at one step after another, in the same folder, with something new to do each time; then it is let run to its end.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from sqlalchemy import func, inspect, select

from sync.app import system_clock
from sync.call import Incoming
from sync.spool import Spool, look
from sync.standin import StandIn
from sync.store import Store, migrate
from sync.store import schema as t
from tests.crash import oracle
from tests.crash.kills import let_leases_end, wait_until
from tests.crash.life import Folder
from tests.make import identify, keep, rejected, track
from tests.spool.conftest import away

ENOUGH = 10_000
AT_ALL = os.environ.get("CRASH_AT_ALL_STEPS") == "1"
PARTS = 4
"""In which a command is looked at that has hundreds of steps, so that several processes can look at once."""


def deaths(
    folder: Folder, *command: str, every: int, part: int = 1, parts: int = 1, at_commits: bool = False, ends_with: int = 0
) -> Iterator[int]:
    """Let a command die at one step after another until it has no such step; yield after each death.

    At every n-th step only, unless the night asks for all of them; of those at one in so many, where others see to the other parts.
    With `at_commits` only those count that come before or after one.
    """
    apart = 1 if AT_ALL else every
    for step in range(1 + (part - 1) * apart, ENOUGH, parts * apart):
        code = folder.run(*[part.replace("STEP", str(step)) for part in command], dies_at=step, at_commits=at_commits)
        if code != -SIGKILL:
            assert code == ends_with, folder.log()[-2000:]
            assert step > 1, "it never died"
            return
        yield step


def order(user: str, id: str) -> dict[str, Any]:
    return {"messageId": id, "userId": user, "type": "track", "event": "Order Completed"}


def arrive(store: Store, *ids: str) -> None:
    """Let something new arrive, to be forwarded and computed."""
    now = system_clock()
    for id in ids:
        user = f"user-{len(id) % 3}-{id[-1]}"
        calls = (
            identify(user, {"on": len(id) % 2 == 0}, at=now, received_at=now),
            track(user, at=now, received_at=now, message_id=id),
        )
        keep(store, *calls, forward=True, now=now)


def numbers(store: Store, table: Any, column: Any = None) -> int:
    with store.reading() as connection:
        counted = func.count() if column is None else func.count(column.distinct())
        return int(connection.scalar(select(counted).select_from(table)) or 0)


def test_an_import_is_all_or_nothing_at_every_step_and_can_be_run_again(folder: Folder, store: Store) -> None:
    for number in range(1, 100):
        calls = [order(f"user-{one % 2}", f"{number}:{one}") for one in range(3)]
        (folder.path / f"{number}.jsonl").write_text("\n".join(json.dumps(call) for call in calls), encoding="utf-8")

    died = []
    for number in deaths(folder, "import", "STEP.jsonl", "--forward", every=1):
        died.append(number)
        assert numbers(store, t.calls) % 3 == 0, "a part of a file was stored"

    assert folder.run("import", *[f"{number}.jsonl" for number in died], "--forward") == 0
    # The last one, which did not die, included.
    assert numbers(store, t.calls) == 3 * (len(died) + 1)
    assert numbers(store, t.deliveries) == numbers(store, t.deliveries, t.deliveries.c.call_id) == numbers(store, t.calls)


def test_a_compute_is_whole_or_nothing_at_every_step(folder: Folder, store: Store) -> None:
    said: Counter[str] = Counter()
    order_more(store, said, "first")
    assert folder.run("compute", "orders") == 0
    order_more(store, said, "second")
    died, recorded, runs, before = 0, 0, 1, values(store)
    for step in deaths(folder, "compute", "orders", every=1):
        died += 1
        now = values(store)
        assert now in (before, said), "half of what was pending is in the ledger"
        recorded += now != before
        assert numbers(store, t.runs) == runs + (now != before), "a run without what it found, or the other way round"
        before, runs = now, numbers(store, t.runs)
        order_more(store, said, f"then-{step}")

    assert died > recorded > 0
    incremental = values(store)
    # The last of them did not die.
    assert incremental == said
    assert folder.run("compute", "orders", "--rebuild") == 0
    assert values(store) == incremental
    oracle.changes_lead_to_the_ledger(store)


def order_more(store: Store, said: Counter[str], name: str) -> None:
    """Let twenty users order once more, and ten order who are new: the rows of these are made, and not changed."""
    users = [*(f"known-{number}" for number in range(20)), *(f"{name}-{number}" for number in range(10))]
    keep(store, *(track(user) for user in users))
    said.update(users)


def values(store: Store) -> dict[str, int]:
    """Return how many orders everybody has by the ledger."""
    m = t.memberships.c
    statement = select(t.profiles.c.user_id, m.value).join(t.profiles, t.profiles.c.id == m.profile_id)
    with store.reading() as connection:
        return {user: int(value) for user, value in connection.execute(statement)}


@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_a_sync_that_dies_at_any_step_ends_with_moesif_as_the_ledger(
    folder: Folder, store: Store, standin: StandIn, part: int
) -> None:
    a_sync_that_dies_again_and_again(folder, store, standin, deaths(folder, "sync", every=17, part=part, parts=PARTS))


@pytest.mark.parametrize("part", range(1, PARTS + 1))
def test_a_sync_that_dies_before_or_after_any_commit_ends_with_moesif_as_the_ledger(
    folder: Folder, store: Store, standin: StandIn, part: int
) -> None:
    """All of them, since what is stored is another thing after each."""
    died = deaths(folder, "sync", every=1, part=part, parts=PARTS, at_commits=True)
    assert a_sync_that_dies_again_and_again(folder, store, standin, died) >= 5


def a_sync_that_dies_again_and_again(folder: Folder, store: Store, standin: StandIn, deaths: Iterator[int]) -> int:
    """Go through deaths, with something new to do after each, and return how many there were."""
    arrive(store, "first")
    died = 0
    for died, step in enumerate(deaths, 1):
        let_leases_end(store, standin)
        if died % 10 == 0:
            # So that no more is owed than a few have left, and the others have no more steps than the first.
            assert folder.run("sync") == 0
            moesif_is_as_the_ledger(store, standin)
        arrive(store, f"then-{step}")
    assert folder.run("sync") == 0
    moesif_is_as_the_ledger(store, standin)
    return died


def moesif_is_as_the_ledger(store: Store, standin: StandIn) -> None:
    """Nothing is owed, and Moesif has what the ledger has, and each action once."""
    held, users = oracle.ledger(store), standin.users()
    assert held == {user: {key: told(users, user, key) for key in row} for user, row in held.items()}
    assert len(standin.actions()) == numbers(store, t.calls) // 2
    assert oracle.nothing_is_queued(store)
    oracle.runs_balance(store)
    oracle.nothing_newer_was_overtaken(standin.history())


def told(users: Any, user: str, key: str) -> Any:
    return users[user]["metadata"].get(key)


@pytest.mark.parametrize(("every", "at_commits"), [(29, False), (1, True)], ids=["any step", "any commit"])
def test_a_replay_that_dies_doubles_nothing(folder: Folder, store: Store, standin: StandIn, every: int, at_commits: bool) -> None:
    arrive(store, "first", "second", "third")
    assert folder.run("sync") == 0
    standin.forget()
    for _ in deaths(folder, "replay", "--since", "2020-01-01", every=every, at_commits=at_commits):
        let_leases_end(store, standin)

    assert len(standin.actions()) == 3
    assert oracle.nothing_is_queued(store)


def test_a_door_that_dies_at_any_step_while_its_spool_is_drained_lists_everything_once(folder: Folder, store: Store) -> None:
    """Every single step, since only one is between the store's commit and the removal of the file."""
    folder.environ["SYNC_SPOOL"] = "spool"
    for step in range(1, ENOUGH):
        spooled(folder, Incoming(source="web", calls=(track("ann", message_id=f"at-{step}"),), rejected=(rejected(),)))
        if drained_alive(folder, dies_at=step):
            break

    assert numbers(store, t.calls) == numbers(store, t.rejected_calls) == step > 10


def spooled(folder: Folder, incoming: Incoming) -> None:
    """Leave something in the spool, as a process does whose store is away."""
    with Spool(folder.path / "spool", 1_000_000) as spool:
        spool.before(away)([incoming])


def drained_alive(folder: Folder, dies_at: int) -> bool:
    """Let a door drain the spool, and die at a step; whether it was done before that."""
    process = folder.start("serve", "--only", "web", dies_at=dies_at)
    wait_until(lambda: not (process.is_alive() and look(folder.path / "spool").bytes), "it neither drains nor dies")
    process.kill()
    process.join()
    return look(folder.path / "spool").bytes == 0


def test_a_purge_that_dies_at_any_step_has_thrown_away_nothing_else(folder: Folder, store: Store) -> None:
    folder.environ["SYNC_RETAIN_EVENTS"] = "400 days"
    (folder.path / "personas.yaml").write_text(
        "audiences: [{name: Buyers, query: event('Order Completed').within(30 days).count() >= 1, schedule: manual}]",
        encoding="utf-8",
    )
    arrive(store, "young")
    old = datetime(2021, 1, 1, tzinfo=UTC)
    for _ in deaths(folder, "purge", every=1):
        keep(store, track("ann", at=old, received_at=old))

    assert folder.run("purge") == 0
    with store.reading() as connection:
        left = connection.execute(select(t.calls.c.type, t.calls.c.timestamp)).all()
    assert sorted(row.type for row in left) == ["identify", "track"]
    assert all(row.timestamp > old for row in left)


@pytest.fixture
def bare_folder(tmp_path: Path, bare_database_url: str) -> Iterator[Folder]:
    """A store with nothing in it."""
    made = Folder.made(tmp_path / "folder", bare_database_url, "http://127.0.0.1:1")
    yield made
    made.end()


@pytest.fixture
def bare_store(bare_database_url: str) -> Iterator[Store]:
    opened = Store.at(bare_database_url)
    yield opened
    opened.close()


def test_a_first_migration_that_dies_at_any_step_leaves_no_half_a_schema(bare_folder: Folder, bare_store: Store) -> None:
    for _ in deaths(bare_folder, "db", "upgrade", every=9):
        with bare_store.reading() as connection:
            revision, tables = migrate.revision(connection), set(inspect(connection).get_table_names())
        assert revision == migrate.head() or tables <= {"alembic_version"}, tables
        if revision is not None:
            break

    assert bare_folder.run("db", "upgrade") == 0
    bare_store.require_current_schema()


def test_a_later_migration_that_dies_at_any_step_loses_no_row(bare_folder: Folder, bare_store: Store) -> None:
    """SQLite copies whole tables, to whose rows others refer."""
    migrate.upgrade(bare_store.engine)
    arrive(bare_store, "one", "two", "three")
    assert bare_folder.run("compute") == 0
    tables = (t.profiles, t.calls, t.deliveries, t.memberships, t.changes, t.runs)
    before = [numbers(bare_store, table) for table in tables]
    migrate.downgrade(bare_store.engine, "0001")

    for _ in deaths(bare_folder, "db", "upgrade", every=5):
        with bare_store.reading() as connection:
            # All of it or nothing; the last step is after the commit.
            assert migrate.revision(connection) in ("0001", migrate.head())

    bare_store.require_current_schema()
    assert [numbers(bare_store, table) for table in tables] == before
    assert all(before)
