"""Which types metadata keys must have, as this process remembers them, so that a clash is found before anything is sent.

The store has the types of what was accepted, for all processes. A key that is not remembered with the type that it has is looked
up there, all such keys of a claim in one statement when it is claimed; what is remembered is forgotten after a while, because
somebody may take a type out of the store. A key that nobody has had accepted yet is held to the type with which it goes out first,
and is not looked up again, until the answer comes. Two processes that send a new key at the same time with two types find no clash:
the store keeps the one that is written down first.
"""

from __future__ import annotations

import threading
import time
from collections import ChainMap, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from sync.delivery import Accepted, Lane, Outcome
from sync.json_value import Json
from sync.payload import Clash, fits, typed_keys, weighed
from sync.store import Store, metadata_types

REMEMBERED: Final = 30.0
"""Seconds."""

MOST: Final = 100_000
"""Keys. There are more only where ids were made keys; then each claim looks up its own."""

Document = Mapping[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """What came of new keys of a lane."""

    lane: Lane
    types: Mapping[str, str]
    """As the store has them."""
    keys: Collection[str]
    """All whose fate is known now, those included that were not accepted."""


class KnownTypes:
    """The types of the keys of all lanes. Safe to share among threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, *, watching: bool = True) -> None:
        """`watching` is whether anything is compared and learned at all."""
        self._watching = watching
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._since = monotonic()
        self._known: dict[Lane, dict[str, str]] = defaultdict(dict)
        self._new: dict[Lane, dict[str, str]] = defaultdict(dict)
        """Keys that nobody has had accepted yet, with the types with which they went out."""

    def clashes(self, store: Store, lane: Lane, documents: Sequence[Document]) -> list[Clash | None]:
        """Return for each document what is wrong with it. Raises Unreachable where the store must be asked and cannot be."""
        known = self._remembered(lane)
        odd = self._odd(lane, known, documents)
        if odd:
            with store.reading() as connection:
                self._look_up(connection, lane, known, odd.values())
        found = self._weigh(lane, known, odd)
        return [found.get(number) for number in range(len(documents))]

    def prepare(self, connection: Connection, lane: Lane, documents: Sequence[Document]) -> None:
        """Look up for several requests what each would look up by itself, on a connection of its own, before it leaves."""
        known = self._remembered(lane)
        odd = self._odd(lane, known, documents)
        if odd:
            self._look_up(connection, lane, known, odd.values())
            self._weigh(lane, known, odd)

    def answered(
        self, connection: Connection, lane: Lane, answers: Iterable[tuple[Document, Outcome]], now: datetime
    ) -> Learned | None:
        """Keep the types of new keys that Moesif took; those of the others bind nobody. None where no new key was on its way.

        What is returned is to be remembered once it is committed, and at once then, since many more users with such keys may be on
        their way, each of whom would be looked at.
        """
        fates = self._fates(lane, answers)
        if not fates:
            return None
        accepted = {key: found for key, found in fates.items() if found is not None}
        metadata_types.learn(connection, lane, accepted, now)
        kept = metadata_types.known(connection, lane, accepted) if accepted else {}
        return Learned(lane=lane, types=kept, keys=frozenset(fates))

    def remember(self, learned: Learned) -> None:
        """Remember what the store has now."""
        with self._lock:
            self._known[learned.lane].update(learned.types)
            for key in learned.keys:
                self._new[learned.lane].pop(key, None)

    def _fates(self, lane: Lane, answers: Iterable[tuple[Document, Outcome]]) -> dict[str, str | None]:
        """Return the new keys whose first answer is among these: their types, or None where it was no."""
        with self._lock:
            left = dict(self._new[lane])
        fates: dict[str, str | None] = {}
        for document, outcome in answers if left else ():
            for key, found in typed_keys(document):
                if left.get(key) == found:
                    del left[key]
                    fates[key] = found if isinstance(outcome, Accepted) else None
            if not left:
                break
        return fates

    def _odd(self, lane: Lane, known: dict[str, str], documents: Sequence[Document]) -> dict[int, Document]:
        """Return the documents, by number, that have a key whose type is not known to be the one that it has."""
        if not self._watching:
            return {}
        new = self._new[lane]
        return _unfit(documents, ChainMap(new, known) if new else known)

    def _weigh(self, lane: Lane, known: dict[str, str], documents: Mapping[int, Document]) -> dict[int, Clash]:
        """Hold new keys to the types that they have; return what clashes, by number."""
        clashes: dict[int, Clash] = {}
        with self._lock:
            new, fitting = self._new[lane], _Fitting()
            for number, document in documents.items():
                if fitting.has(document):
                    continue
                found = weighed(document, ChainMap(new, known))
                if isinstance(found, Clash):
                    clashes[number] = found
                else:
                    new.update(found)
                    fitting.note(document)
        return clashes

    def _remembered(self, lane: Lane) -> dict[str, str]:
        with self._lock:
            if self._monotonic() - self._since > REMEMBERED or len(self._known[lane]) > MOST:
                self._known.clear()
                # Some may be of requests that nobody will settle any more; what is on its way just now is learned the next time.
                self._new.clear()
                self._since = self._monotonic()
            return self._known[lane]

    def _look_up(self, connection: Connection, lane: Lane, known: dict[str, str], documents: Iterable[Document]) -> None:
        different = {id(document.get("metadata")): document for document in documents}.values()
        keys = {key for document in different for key, found in typed_keys(document) if known.get(key) != found}
        found = metadata_types.known(connection, lane, keys)
        with self._lock:
            for key in keys:
                known.pop(key, None)
            known.update(found)


def _unfit(documents: Sequence[Document], known: Mapping[str, str]) -> dict[int, Document]:
    found: dict[int, Document] = {}
    fitting = _Fitting()
    for number, document in enumerate(documents):
        if fitting.has(document):
            continue
        if fits(document, known):
            fitting.note(document)
        else:
            found[number] = document
    return found


class _Fitting:
    """The metadata that was found to fit last: of users who are told the same it is the same object, and need not be looked at."""

    def __init__(self) -> None:
        self._metadata: Json = None

    def has(self, document: Document) -> bool:
        metadata = document.get("metadata")
        return metadata is self._metadata and metadata is not None

    def note(self, document: Document) -> None:
        self._metadata = document.get("metadata")
