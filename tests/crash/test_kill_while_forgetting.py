"""kill -9 of the command that forgets a user, before and after each of its commits, with much owed about them (row 31)."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import func, select

from sync.app import system_clock
from sync.call import Incoming
from sync.ingest import accept
from sync.json_value import decode, encode
from sync.payload import Mapping
from sync.standin import Fault, StandIn
from sync.store import Store, suppressions
from sync.store import schema as t
from tests.crash import oracle
from tests.crash.kills import let_leases_end, wait_until
from tests.crash.life import Folder
from tests.crash.test_kill_at_every_step import deaths
from tests.forget.conftest import everything, tables_that_name
from tests.make import identify, keep, rejected, track

USERS: Final = [f"ann-{number}-" for number in range(1, 13)]
"""More than there are deaths, each of which is about another one."""


def visitor(user: str) -> str:
    return f"visitor-{user}"


def say_something(store: Store, users: list[str]) -> None:
    """Let calls about users arrive, to be forwarded and computed, and one about each that is not understood."""
    now = system_clock()
    said = [identify(user, {"on": True}, anonymous_id=visitor(user), at=now, received_at=now) for user in users]
    keep(store, *said, *(track(user, at=now, received_at=now) for user in users), forward=True, now=now)
    refused = [rejected(body=encode({"userId": user})) for user in users]
    accept(store, [Incoming(source="web", rejected=tuple(refused))], Mapping(), now)


def die_with_all_in_hand(folder: Folder, store: Store, standin: StandIn) -> None:
    """Let a sync claim what is owed and die before an answer comes."""
    standin.misbehave(Fault(delay_seconds=0.5, times=100))
    dying = folder.start("sync")
    wait_until(lambda: all(standin.requests[lane].requests for lane in ("users", "actions")), "it does not send")
    dying.kill()
    dying.join()
    standin.behave()
    let_leases_end(store, standin)


def held(store: Store) -> dict[str, list[str]]:
    return {name: sorted(rows) for name, rows in everything(store).items()}


def rows_of(store: Store, profile_id: int) -> int:
    """Count what is about somebody, also where it does not name them."""
    tables: list[Any] = [table for table in t.metadata.sorted_tables if "profile_id" in table.c]
    counts = [select(func.count()).select_from(table).where(table.c.profile_id == profile_id) for table in tables]
    with store.reading() as connection:
        claimed = [decode(text) for text in connection.scalars(select(t.claims.c.profiles))]
        return sum(connection.scalars(one).one() for one in counts) + sum(profile_id in ids for ids in claimed)


def is_forgotten(store: Store, user: str, profile_id: int, before: dict[str, list[str]]) -> bool:
    """Whether all of it has taken place; if not, nothing has."""
    with store.reading() as connection:
        suppressed = {suppressions.digest(connection, id) is not None for id in (user, visitor(user))}
    assert len(suppressed) == 1
    after = held(store)
    if suppressed == {False}:
        assert after == before
        return False
    assert (tables_that_name(store, user), rows_of(store, profile_id)) == ([], 0)
    assert len(after["receipts"]) == len(before["receipts"]) + 1
    return True


def test_forgetting_that_dies_around_any_commit_has_taken_place_or_not_and_then_nothing_is_sent(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    say_something(store, USERS)
    die_with_all_in_hand(folder, store, standin)
    with store.reading() as connection:
        ids = {row.user_id: row.id for row in connection.execute(select(t.profiles.c.user_id, t.profiles.c.id))}
    assert all(rows_of(store, ids[user]) > 5 for user in USERS)
    outcomes, before = [], held(store)
    for step in deaths(folder, "forget", "ann-STEP-", "--yes", every=1, at_commits=True):
        outcomes.append(is_forgotten(store, USERS[step - 1], ids[USERS[step - 1]], before))
        before = held(store)
    assert set(outcomes) == {False, True}, "it died before its commit only, or after it only"

    forgotten = {user for user, is_gone in zip(USERS, [*outcomes, True], strict=False) if is_gone}
    since = len(standin.history())
    say_something(store, USERS)
    assert folder.run("sync") == 0
    told = {str(document["user_id"]) for taken in standin.history()[since:] for document in taken.documents}
    assert told == set(USERS) - forgotten
    assert tables_that_name(store, *forgotten) == []
    assert sum(rows_of(store, ids[user]) for user in forgotten) == 0
    oracle.runs_balance(store)
