"""Forget: erase a user here, take in nothing more about them, and have Moesif delete them too where that is asked.

    here    wait until nothing about the user is in a request, then in one transaction: erase, suppress, write a receipt
    there   ask Moesif, which nothing that is sent later can undo; add its answer to the receipt

The wait is what makes the order right: an update that arrived at Moesif after the deletion would make the user anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import Connection

from sync.errors import NotFound
from sync.moesif import Answered, Deletion
from sync.send import LEASE, SENDING
from sync.store import Store, erase, leases, lookup, receipts, suppressions
from sync.store.lookup import Person
from sync.store.receipts import Receipt

PATIENCE: Final = LEASE + timedelta(seconds=15)
"""How long to wait for a request that carries something about the user: longer than one can take, repeats of its parts aside."""

POLL: Final = 0.2


class Deletes(Protocol):
    """Whoever deletes users elsewhere; Moesif's Management API, or a function in a test."""

    def delete_user(self, user_id: str) -> Answered:
        """Delete a user, once; never raises for anything the network or the other side may do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """What was done."""

    receipt: Receipt
    before: bool
    """Whether the user had been forgotten already, of which this is the receipt."""
    answered: Answered | None
    """What Moesif answered now; None where it was not asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejects:
    """The rejected calls that name somebody, as far as they have been looked through."""

    found: Sequence[int] = ()
    last: int = 0
    """The last that was looked at."""


def find(store: Store, user_id: str) -> Person | Receipt:
    """Return who is to be forgotten, or the receipt of one who was. Raises NotFound for one who is neither."""
    with store.reading() as connection:
        try:
            return lookup.person(connection, user_id)
        except NotFound:
            return _receipt_of(connection, user_id)


def forget(
    store: Store,
    user_id: str,
    moesif: Deletes | None,
    clock: Callable[[], datetime],
    *,
    patience: timedelta = PATIENCE,
    waiting: Callable[[], None] = lambda: None,
) -> Forgotten:
    """Forget a user for good. Raises NotFound for one who is not known and was never forgotten.

    Repeating it does no harm, and is how to ask Moesif again. `waiting` is called while a request with something about the user is
    on its way, which is waited for up to so long; after that they are erased all the same.
    """
    receipt, before = _forget_here(store, user_id, clock, patience, waiting)
    if moesif is None:
        return Forgotten(receipt=receipt, before=before, answered=None)
    answered = moesif.delete_user(user_id)
    if (receipt.in_moesif or "").startswith(Deletion.DELETED):
        # That Moesif knows nobody of this id any more says less than that it deleted them.
        return Forgotten(receipt=receipt, before=before, answered=answered)
    store.write(lambda connection: receipts.note(connection, receipt.id, str(answered)))
    return Forgotten(receipt=replace(receipt, in_moesif=str(answered)), before=before, answered=answered)


def _forget_here(
    store: Store, user_id: str, clock: Callable[[], datetime], patience: timedelta, waiting: Callable[[], None]
) -> tuple[Receipt, bool]:
    rejects = _rejects_of(store, user_id)
    ends = time.monotonic() + patience.total_seconds()
    while True:
        insist = time.monotonic() >= ends

        def forgotten(connection: Connection, insist: bool = insist) -> tuple[Receipt, bool] | None:
            return _forgotten(connection, user_id, clock(), rejects, insist=insist)

        done = store.write(forgotten)
        if done is not None:
            return done
        waiting()
        time.sleep(POLL)


def _forgotten(
    connection: Connection, user_id: str, now: datetime, rejects: Rejects, *, insist: bool
) -> tuple[Receipt, bool] | None:
    """Forget a user, or return the receipt of one who was forgotten before; None where a request is on its way."""
    profile_id = erase.hold(connection, user_id)
    if profile_id is None:
        return _receipt_of(connection, user_id), True
    if not insist and erase.is_on_its_way(connection, profile_id) and leases.count_held(connection, SENDING, now):
        return None
    ids = erase.ids_of(connection, user_id, profile_id)
    suppressions.add(connection, ids, now)
    erased = erase.erase(connection, profile_id, now)
    erase.erase_types(connection, ids)
    # Those that came in since they were looked through, too.
    rejected = [*rejects.found, *_looked_through(connection, ids, rejects.last).found]
    erased |= {"rejected_calls": erase.erase_rejected(connection, rejected)}
    digest = suppressions.digest(connection, user_id)
    assert digest is not None, "it was suppressed above"
    return receipts.write(connection, now, digest, erased), False


def _receipt_of(connection: Connection, user_id: str) -> Receipt:
    digest = suppressions.digest(connection, user_id)
    receipt = None if digest is None else receipts.latest(connection, digest)
    if receipt is None:
        raise NotFound(f"there is no user {user_id!r}, and none of this id was forgotten; ids are compared letter by letter")
    return receipt


def _rejects_of(store: Store, user_id: str) -> Rejects:
    """Look through the rejected calls, which no index can find by what is in them, before anybody is kept waiting."""
    with store.reading() as connection:
        try:
            ids = erase.ids_of(connection, user_id, lookup.person(connection, user_id).profile_id)
        except NotFound:
            return Rejects()
        return _looked_through(connection, ids, 0)


def _looked_through(connection: Connection, ids: frozenset[str], after: int) -> Rejects:
    found: list[int] = []
    while (page := erase.rejected_about(connection, ids, after)) is not None:
        found += page[0]
        after = page[1]
    return Rejects(found=found, last=after)
