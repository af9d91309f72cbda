"""The soak: a service under mixed traffic for as long as it is wanted, with what can go wrong going wrong all the time (row 52).

Moesif fails in every way, the store is away or cut off for moments, and somebody reads for long. It is not killed, so that its
memory and its descriptors can be watched. Used by a test for seconds, and by `python -m tests.night soak` for hours.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import requests

from sync.spool import look
from sync.standin import StandIn
from sync.store import Store
from tests.crash.kills import bad_luck, hold_to_everything, settle, wait_until
from tests.crash.life import Folder
from tests.crash.traffic import Client, Traffic
from tests.faults.places import Place

BETWEEN = 2.0
"""Seconds between one misfortune and the next."""
MOST_GROWTH = 1.05
MOST_DESCRIPTORS = 100
"""Twenty connections, at three files each on SQLite, and what a process has besides: how many of them are open varies."""
WARM_AFTER = 0.25
"""The part of the time after which caches are full, and memory grows no more."""


@dataclass
class Weight:
    """What a process takes up, as time goes by."""

    pid: int
    megabytes: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def note(self) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        [kilobytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        self.megabytes.append(int(kilobytes) / 1024)
        self.descriptors.append(len(list(Path(f"/proc/{self.pid}/fd").iterdir())))

    @property
    def growth(self) -> float:
        """Compare the memory of the last quarter with that of the second, each by what was in its middle."""
        warm = self.megabytes[int(len(self.megabytes) * WARM_AFTER) :]
        third = max(1, len(warm) // 3)
        return median(warm[-third:]) / median(warm[:third])


@dataclass
class Soaked:
    """What a soak went through."""

    traffic: Traffic
    weight: Weight

    def __str__(self) -> str:
        megabytes, weight = self.weight.megabytes, self.weight
        return (
            f"{len(self.traffic.answered)} calls answered, {dict(self.traffic.statuses)}; memory {megabytes[0]:.0f} MB at first, "
            f"{median(megabytes):.0f} in the middle, {megabytes[-1]:.0f} at last, most {max(megabytes):.0f}, "
            f"growth when warm {weight.growth:.3f}; descriptors at most {max(weight.descriptors)}"
        )


def soak(folder: Folder, place: Place, store: Store, standin: StandIn, seconds: float, seed: int) -> Soaked:
    """Let it all happen for so long, then come to rest, and hold everything to the oracle."""
    folder.environ["SYNC_SPOOL"] = "spool"
    dice = random.Random(seed)
    service = folder.serve()
    weight = Weight(service.process.pid or 0)
    clients = [Client(f"c{number}", users=200) for number in range(3)]
    with Traffic(clients, url=service.url, seed=seed, pause=0.05) as traffic:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            standin.misbehave(*bad_luck(dice))
            dice.choice(_MISFORTUNES)(place, store)
            for path in ("/readyz", "/metrics", "/api/audiences"):
                assert requests.get(service.url + path, timeout=20).status_code == 200, path
            time.sleep(BETWEEN * dice.random())
            weight.note()
        standin.behave()
        traffic.end()
    wait_until(lambda: look(folder.path / "spool").bytes == 0, "it was not drained", seconds=120)
    settle(service, store, seconds=300)
    assert service.stop() == 0
    assert set(traffic.statuses) == {200}
    hold_to_everything(folder, store, standin, traffic)
    return Soaked(traffic, weight)


def is_flat(soaked: Soaked) -> bool:
    """Whether memory grew no more, once it was warm, and descriptors were never more than connections need."""
    return soaked.weight.growth <= MOST_GROWTH and max(soaked.weight.descriptors) <= MOST_DESCRIPTORS


def _nothing(_place: Place, _store: Store) -> None:
    """Let there be peace for a moment."""


def _away(place: Place, _store: Store) -> None:
    place.take_away()
    time.sleep(1)
    place.give_back()


def _read_for_long(_place: Place, store: Store) -> None:
    with store.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM calls").all()
        time.sleep(2)


_MISFORTUNES: list[Callable[[Place, Store], None]] = [_nothing, _nothing, _nothing, _away, _read_for_long]
