"""What is due, as items of requests: all that is owed about one user, from queue and ledger alike, in one document."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy import Connection

from sync.delivery import Accepted, AllRefused, KeyRefused, Lane, Later, Outcome, Rejected, State, Unknown
from sync.json_value import Json, decode
from sync.payload import BATCH_BYTES, BATCH_ITEMS, Computation, ComputationClass, Mapping, bodies, merge, telling
from sync.send.known_types import KnownTypes
from sync.store import Store, audiences, debts, next_deliveries, queue
from sync.store.leases import Lease
from sync.store.wanted import Held, Places, Wanted


class Destination(Protocol):
    """Whoever takes batches; Moesif's collector, or a function in a test."""

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], may_send: Callable[[], bool]) -> Outcome:
        """Send one batch, once; never raises for anything the network or the other side may do.

        `may_send` is asked at the last moment before anything leaves, since a process may have been stopped for a while.
        """


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing owed: a forwarded call, or one value of the ledger. A struct, like the parcel, since there are millions."""

    document: dict[str, Json]
    delivery_id: int | None = None
    in_doubt: bool = False
    """Whether Moesif may have taken the call already; that it did not take it again changes nothing about that."""
    replayed: bool = False
    """Whether it can wait for others."""
    update: debts.Update | None = None


class Parcel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One item of a request: all that is owed about one subject, oldest first, as one document."""

    subject: str
    parts: tuple[Part, ...]
    document: dict[str, Json]
    deliveries: tuple[int, ...] = ()
    """The ids of the forwarded calls among its parts, of which most have none: not looked for part by part each time."""

    @classmethod
    def of(cls, subject: str, part: Part) -> Parcel:
        deliveries = () if part.delivery_id is None else (part.delivery_id,)
        return cls(subject=subject, parts=(part,), document=part.document, deliveries=deliveries)

    def followed_by(self, newer: Parcel) -> Parcel:
        """Return one that tells what a newer one does, too."""
        return Parcel(
            subject=self.subject,
            parts=(*self.parts, *newer.parts),
            # Never in place: what several users are told is the same object.
            document=merge(self.document, newer.document),
            deliveries=(*self.deliveries, *newer.deliveries),
        )

    @property
    def can_wait(self) -> bool:
        """Whether it only says again what was sent before."""
        return all(part.replayed for part in self.parts)

    def apart(self) -> list[Parcel]:
        """Return one parcel for each part, in order."""
        return [Parcel.of(self.subject, part) for part in self.parts]


Result = tuple[Sequence[Parcel], Outcome]
"""Parcels of which the same became."""


class Busy:
    """Who and what is on the way, or waits for a connection: nobody is to be in two requests at once."""

    def __init__(self, parcels: Sequence[Parcel] = ()) -> None:
        self.subjects: set[str] = set()
        self.called: set[str] = set()
        """The subjects with a forwarded call."""
        self.deliveries: set[int] = set()
        self.add(parcels)

    def add(self, parcels: Sequence[Parcel]) -> None:
        self.subjects.update([parcel.subject for parcel in parcels])
        forwarding = [parcel for parcel in parcels if parcel.deliveries]
        self.called.update([parcel.subject for parcel in forwarding])
        self.deliveries.update(_delivery_ids(forwarding))

    def has_any(self, parcels: Sequence[Parcel]) -> bool:
        """Whether a subject of these is among them already; actions are about none."""
        return not self.subjects.isdisjoint([parcel.subject for parcel in parcels if parcel.subject])

    def remove(self, parcels: Sequence[Parcel]) -> None:
        """Let parcels go that were added, whole."""
        subjects = [parcel.subject for parcel in parcels]
        self.subjects.difference_update(subjects)
        self.called.difference_update(subjects)
        self.deliveries.difference_update(_delivery_ids(parcels))


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """Where parcels are made up and answers are written down."""

    store: Store
    destination: Destination
    mapping: Mapping
    space_id: str
    clock: Callable[[], datetime]
    batch_items: int = BATCH_ITEMS
    batch_bytes: int = BATCH_BYTES
    draw: Callable[[], float] = random.random
    """Where the jitter of waits comes from: evenly from 0 to 1."""
    types: KnownTypes = field(default_factory=KnownTypes)
    """The types that metadata keys must have."""

    def is_waiting(self, connection: Connection, lane: Lane, *, on_the_way: bool = False) -> bool:
        """Whether anything is due on a lane, or, if that is asked too, on the way; changes nothing."""
        facts = queue.waiting(connection, lane, on_the_way=on_the_way)
        return facts or (lane is Lane.USERS and debts.waiting(connection, on_the_way=on_the_way))

    def claim(
        self,
        connection: Connection,
        lane: Lane,
        busy: Busy,
        places: Places | None = None,
        items: int | None = None,
        shares: frozenset[int] | None = None,
        lease: Lease | None = None,
        held: Held = Held(),  # noqa: B008 - it never changes
    ) -> list[Parcel]:
        """Take so many items, or what the next request may carry, of some shares or of all, leaving out whoever is in one already.

        `places` remembers how far this got before, so that it goes on from there; `lease` is one of the right to do this;
        what is `held` stays where it is.
        """
        limit = self.batch_items if items is None else items
        wanted = Wanted(lane=lane, limit=limit, shares=shares, places=places or Places(), held=held)
        subjects = busy.subjects if lane is not Lane.ACTIONS else set()
        facts = self._facts(connection, next_deliveries.take(connection, wanted, subjects, busy.deliveries))
        state = self._state(connection, busy, wanted, lease) if lane is Lane.USERS else []
        parcels = _by_subject([*facts, *state]) if lane is not Lane.ACTIONS else facts
        self.types.prepare(connection, lane, [parcel.document for parcel in parcels])
        return sorted(parcels, key=lambda parcel: parcel.can_wait) if facts else parcels

    def settle(self, connection: Connection, results: Iterable[Result]) -> None:
        """Write down what became of parcels."""
        audiences.hold(connection)
        for outcome, parcels in _by_outcome(results):
            deliveries, updates = _delivery_ids(parcels), _updates(parcels)
            match outcome:
                case Accepted():
                    queue.settle_accepted(connection, deliveries)
                    debts.settle_accepted(connection, updates, self.clock())
                case Rejected(reason=reason):
                    queue.settle(connection, deliveries, State.REJECTED, reason)
                    debts.settle_rejected(connection, updates, reason, self.clock())
                case Unknown(reason=reason):
                    queue.settle(connection, deliveries, State.UNKNOWN, reason)
                    debts.settle_back(connection, updates, State.UNKNOWN, reason)
                case Later(reason=reason) | KeyRefused(reason=reason) | AllRefused(reason=reason):
                    for state, ids in _not_taken(parcels):
                        queue.settle(connection, ids, state, reason)
                    debts.settle_back(connection, updates, State.OWED, reason)

    def put_back(self, connection: Connection, parcels: Sequence[Parcel]) -> None:
        """Owe again what was claimed and never sent."""
        if not parcels:
            return
        audiences.hold(connection)
        for state, ids in _not_taken(parcels):
            queue.put_back(connection, ids, state)
        debts.put_back(connection, _updates(parcels))

    def _facts(self, connection: Connection, deliveries: Sequence[next_deliveries.Delivery]) -> list[Parcel]:
        parcels = [
            Parcel.of(delivery.subject, _part(delivery, body.document))
            for delivery in deliveries
            for body in bodies(delivery.call, self.mapping)
            if body.lane is delivery.lane
        ]
        # A setting has changed since they were queued, and they are no longer forwarded.
        unwanted = {delivery.id for delivery in deliveries}.difference(_delivery_ids(parcels))
        queue.settle_accepted(connection, sorted(unwanted))
        return parcels

    def _state(self, connection: Connection, busy: Busy, wanted: Wanted, lease: Lease | None) -> list[Parcel]:
        # As many more as may have to be left out.
        due = debts.due_profiles(connection, replace(wanted, limit=wanted.limit + len(wanted.held)))
        # Whoever has a forwarded call on the way must wait, too: it is the same user at Moesif.
        passed = busy.called | wanted.held.subjects if wanted.held else busy.called
        free = debts.without_users(connection, due, passed)[: wanted.limit] if due and passed else due
        if not free:
            return []
        audiences.hold_off_runs(connection)
        # In the order in which they are due: what is unknown goes first.
        claimed = debts.claim(connection, free, lease, self.batch_items)
        said = self._tellings({one.claim: one for one in claimed})
        documents = [{"user_id": one.user_id, **said[one.claim]} for one in claimed]
        told = zip(claimed, documents, strict=True)
        return [
            Parcel(subject=one.user_id, parts=(Part(document=document, update=one),), document=document) for one, document in told
        ]

    def _tellings(self, claimed: dict[int, debts.Update]) -> dict[int, dict[str, Json]]:
        """Return what says the updates of each claim, but for whom it is about; of one value of an audience it is one object."""
        at = self.clock()
        alike = {(one.audience_id, one.value): one for one in claimed.values()}
        said = {of: self._telling(one, at) for of, one in alike.items()}
        return {claim: said[one.audience_id, one.value] for claim, one in claimed.items()}

    def _telling(self, update: debts.Update, at: datetime) -> dict[str, Json]:
        computation = Computation(
            kind=ComputationClass.AUDIENCE if update.kind == "audience" else ComputationClass.TRAIT,
            key=update.key,
            id=f"aud_{update.audience_id}",
            space_id=self.space_id,
        )
        return telling(computation, decode(update.value), at, self.mapping)


def _part(delivery: next_deliveries.Delivery, document: dict[str, Json]) -> Part:
    return Part(document=document, delivery_id=delivery.id, in_doubt=delivery.in_doubt, replayed=delivery.replayed)


def _not_taken(parcels: Sequence[Parcel]) -> list[tuple[State, list[int]]]:
    """Return the state that forwarded calls go back to, and their ids: what was unknown before still is."""
    parts = [part for parcel in parcels for part in parcel.parts]
    found = [
        (state, [part.delivery_id for part in parts if part.delivery_id is not None and part.in_doubt is in_doubt])
        for state, in_doubt in ((State.OWED, False), (State.UNKNOWN, True))
    ]
    return [(state, ids) for state, ids in found if ids]


def _by_subject(parcels: list[Parcel]) -> list[Parcel]:
    """Return one parcel for each subject, in the order in which they come first."""
    # As a rule nobody stands there twice.
    if len({parcel.subject for parcel in parcels}) == len(parcels):
        return parcels
    grouped: dict[str, Parcel] = {}
    for parcel in parcels:
        older = grouped.get(parcel.subject)
        grouped[parcel.subject] = parcel if older is None else older.followed_by(parcel)
    return [*grouped.values()]


def _by_outcome(results: Iterable[Result]) -> list[tuple[Outcome, list[Parcel]]]:
    grouped: dict[Outcome, list[Parcel]] = {}
    for parcels, outcome in results:
        grouped.setdefault(outcome, []).extend(parcels)
    return list(grouped.items())


def _delivery_ids(parcels: Iterable[Parcel]) -> list[int]:
    return [id for parcel in parcels for id in parcel.deliveries]


def _updates(parcels: Iterable[Parcel]) -> list[debts.Update]:
    return [part.update for parcel in parcels for part in parcel.parts if part.update is not None]
