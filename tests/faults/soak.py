"""The soak: processes under mixed traffic for as long as it is wanted, with what can go wrong going wrong all the time (row 52).

Moesif fails in every way, the store is away or cut off for moments, somebody reads for long, processes are killed, and stopped
for a while. Some live on, and are watched: their memory and their descriptors must stay flat. Used by a test for seconds, and by
`python -m tests.night soak` for hours.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from sync.spool import look
from sync.standin import StandIn
from sync.store import Store
from tests.crash.kills import bad_luck, hold_to_everything, settle, wait_until
from tests.crash.life import Folder
from tests.crash.traffic import AGAIN_AFTER, UNANSWERED, Client, Traffic
from tests.faults.crews import Crew, crew_of
from tests.faults.places import Place

AT_A_TIME = 500
"""Calls of a batch with which it begins."""
BETWEEN = 2.0
"""Seconds between one misfortune and the next."""
MOST_GROWTH = 1.05
MOST_DESCRIPTORS = 100
"""Twenty connections, at three files each on SQLite, and what a process has besides: how many of them are open varies."""
SPARED_AFTER = 0.2
"""The part of the time after which a service that is the only one is not killed any more, so that its memory can be watched."""


@dataclass
class Soaked:
    """What a soak went through."""

    traffic: Traffic
    crew: Crew

    def __str__(self) -> str:
        weights = "; ".join(f"{name}: {weight}" for name, weight in self.crew.weights.items())
        return (
            f"{len(self.traffic.answered)} calls answered, {dict(self.traffic.statuses)}; "
            f"{self.crew.kills} killed, {self.crew.stops} stopped; memory of {weights}"
        )


def soak(folder: Folder, place: Place, store: Store, standin: StandIn, seconds: float, seed: int, first: int = 0) -> Soaked:
    """Let it all happen for so long, or until somebody was killed and stopped; then come to rest, and hold all to the oracle.

    It begins with so many calls at once, by which what keeps a part of the store in memory has as much as it will ever have.
    """
    folder.environ["SYNC_SPOOL"] = "spool"
    dice = random.Random(seed)
    crew = crew_of(folder, store, standin, seconds * SPARED_AFTER)
    clients = [Client(f"c{number}", users=200) for number in range(3)]
    _fill(clients[0], crew.door.url, first, dice)
    with Traffic(clients, url=crew.door.url, seed=seed, pause=0.05) as traffic:
        ends = time.monotonic() + seconds
        for misfortune in _dealt(dice):
            if time.monotonic() > ends and crew.kills and crew.stops:
                break
            standin.misbehave(*bad_luck(dice))
            misfortune(crew, place, store, dice)
            traffic.url = crew.door.url
            for path in ("/readyz", "/metrics", "/api/audiences"):
                assert requests.get(crew.door.url + path, timeout=20).status_code == 200, path
            time.sleep(BETWEEN * dice.random())
            for weight in crew.weights.values():
                weight.note()
        standin.behave()
        traffic.end()
    wait_until(lambda: look(folder.path / "spool").bytes == 0, "it was not drained", seconds=120)
    settle(crew.door, store, seconds=300)
    crew.end()
    # Whoever had asked one that was killed got no answer.
    assert set(traffic.statuses) <= ({200, UNANSWERED} if store.on_sqlite else {200}), traffic.statuses
    hold_to_everything(folder, store, standin, traffic)
    return Soaked(traffic, crew)


def _fill(client: Client, url: str, calls: int, dice: random.Random) -> None:
    for _ in range(0, calls, AT_A_TIME):
        some = client.batch(dice, AT_A_TIME)
        while not client.send(url, some):
            time.sleep(AGAIN_AFTER)


def is_flat(soaked: Soaked) -> bool:
    """Whether memory grew no more, once it was warm, and descriptors were never more than connections need."""
    weights = soaked.crew.weights.values()
    return all(weight.growth <= MOST_GROWTH and max(weight.descriptors) <= MOST_DESCRIPTORS for weight in weights)


def _nothing(_crew: Crew, _place: Place, _store: Store, _dice: random.Random) -> None:
    """Let there be peace for a moment."""


def _away(_crew: Crew, place: Place, _store: Store, _dice: random.Random) -> None:
    place.take_away()
    time.sleep(1)
    place.give_back()


def _read_for_long(_crew: Crew, _place: Place, store: Store, _dice: random.Random) -> None:
    with store.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM calls").all()
        time.sleep(2)


def _kill(crew: Crew, _place: Place, _store: Store, dice: random.Random) -> None:
    crew.kill(dice)


def _stop(crew: Crew, _place: Place, _store: Store, dice: random.Random) -> None:
    crew.stop(dice)


_Misfortune = Callable[[Crew, Place, Store, random.Random], None]
_MISFORTUNES: list[_Misfortune] = [_nothing, _nothing, _away, _read_for_long, _kill, _stop]


def _dealt(dice: random.Random) -> Iterator[_Misfortune]:
    """Deal misfortunes for ever: each once before any comes again, in no order."""
    while True:
        yield from dice.sample(_MISFORTUNES, len(_MISFORTUNES))
