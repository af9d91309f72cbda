"""What becomes of what the ledger owes: claimed, and then accepted, refused, put back, or never heard of again."""

from __future__ import annotations

from sync.delivery import Lane, State
from sync.json_value import Json, decode
from sync.membership import Run
from sync.store import Store, debts, runs
from sync.store.audiences import hold
from sync.store.wanted import Wanted
from tests.make import after, told


def due_of(limit: int) -> Wanted:
    return Wanted(lane=Lane.USERS, limit=limit)


def claim(store: Store) -> list[debts.Update]:
    """Take all that is owed."""
    with store.writing() as connection:
        due = debts.due_profiles(connection, due_of(100))
        return debts.claim(connection, due) if due else []


def accept(store: Store, *updates: debts.Update) -> None:
    with store.writing() as connection:
        hold(connection)
        debts.settle_accepted(connection, updates, after(seconds=1))


def reject(store: Store, *updates: debts.Update) -> None:
    with store.writing() as connection:
        hold(connection)
        debts.settle_rejected(connection, updates, "400", after(seconds=1))


def put_back(store: Store, *updates: debts.Update) -> None:
    with store.writing() as connection:
        debts.settle_back(connection, updates, State.OWED, "503")


def lose(store: Store, *updates: debts.Update) -> None:
    """The answer never came."""
    with store.writing() as connection:
        debts.settle_back(connection, updates, State.UNKNOWN, "no answer")


def die(store: Store, *_: debts.Update) -> None:
    """The sender is no more; another one finds what it left."""
    with store.writing() as connection:
        debts.abandon(connection, "died", after())


def deliver(store: Store) -> dict[str, Json]:
    """Deliver all that is owed, and return what was said about whom."""
    sent = claim(store)
    accept(store, *sent)
    return said(sent)


def said(updates: list[debts.Update]) -> dict[str, Json]:
    return {update.user_id: decode(update.value) for update in updates}


def close(store: Store, run: Run) -> Run:
    with store.writing() as connection:
        return runs.close(connection, run.id, after(minutes=1))


def state(store: Store, user: str = "ann", key: str = "buyers") -> str:
    return str(told(store, user)[key].state)
