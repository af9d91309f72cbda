"""Who works in a soak: which processes are killed and stopped meanwhile, and which live on, so that their memory can be watched.

On SQLite one process serves the file. It is killed at first; the one that serves then lives on, is stopped for moments, and
beside it commands are killed. On PostgreSQL there are a door, which lives on, and workers: one lives on, and is stopped past its
rights as the others are, where it leads; the others are killed as well.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from statistics import median
from typing import Protocol

from sync.standin import StandIn
from sync.store import Store
from tests.crash.kills import let_leases_end, wait_until
from tests.crash.life import Folder, Service
from tests.faults.workers import has_rights, is_stopped, led_by, slots_were_taken_once, tell

OTHERS = 2
"""Workers that are killed, beside the one that lives on."""
COMMAND_LIVES = 1.0
"""Seconds in which a command is killed: it lasts about as long."""
STOPPED_FOR = 1.5
"""Seconds for which a process is stopped that nobody could follow."""
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

    def __str__(self) -> str:
        megabytes = self.megabytes
        return (
            f"{megabytes[0]:.0f} MB at first, {median(megabytes):.0f} in the middle, {megabytes[-1]:.0f} at last, most "
            f"{max(megabytes):.0f}, growth when warm {self.growth:.3f}, descriptors at most {max(self.descriptors)}"
        )


class Crew(Protocol):
    """Who works, and what happened to them."""

    door: Service
    weights: dict[str, Weight]
    """Of those who live on, by what they are."""
    kills: int
    stops: int

    def kill(self, dice: random.Random) -> None:
        """Kill one of them without warning, and put another in its place."""

    def stop(self, dice: random.Random) -> None:
        """Stop one of them as if its machine had been stopped, and let it go on."""

    def end(self) -> None:
        """Let all end in peace."""


class Alone:
    """One process that serves a SQLite file, and commands beside it."""

    def __init__(self, folder: Folder, store: Store, standin: StandIn, spared_after: float) -> None:
        """Begin to serve; the service is not killed any more, but for a first time, after so many seconds."""
        self._folder, self._store, self._standin = folder, store, standin
        self._spared_at = time.monotonic() + spared_after
        self.kills = self.stops = self.deaths = 0
        self._serve()

    def _serve(self) -> None:
        self.door = self._folder.serve()
        self.weights = {"the service": Weight(self.door.process.pid or 0)}

    def kill(self, dice: random.Random) -> None:
        if self.deaths and time.monotonic() > self._spared_at:
            command = self._folder.start("sync")
            command.join(dice.random() * COMMAND_LIVES)
            self.kills += command.is_alive()
            command.kill()
            command.join()
            return
        self.door.kill()
        self.kills, self.deaths = self.kills + 1, self.deaths + 1
        let_leases_end(self._store, self._standin)
        self._serve()

    def stop(self, dice: random.Random) -> None:
        _stopped(self.door)
        time.sleep(STOPPED_FOR * dice.random())
        tell(self.door, SIGCONT)
        self.stops += 1

    def end(self) -> None:
        assert self.door.stop() == 0


class Several:
    """A door, and workers that share one PostgreSQL."""

    def __init__(self, folder: Folder, store: Store) -> None:
        self._folder, self._store = folder, store
        self.kills = self.stops = 0
        self.door = folder.serve("--only", "web")
        self._steady = folder.work()
        self._others = [folder.work() for _ in range(OTHERS)]
        watched = {"the door": self.door, "the worker": self._steady}
        self.weights = {name: Weight(one.process.pid or 0) for name, one in watched.items()}

    def kill(self, dice: random.Random) -> None:
        one = led_by(self._store, self._others) or dice.choice(self._others)
        one.kill()
        self._others.remove(one)
        self._others.append(self._folder.work())
        self.kills += 1

    def stop(self, dice: random.Random) -> None:
        """Stop the one that leads until others have all its rights."""
        workers = self._workers()
        one = led_by(self._store, workers) or dice.choice(workers)
        _stopped(one)
        wait_until(lambda: not has_rights(self._store, [one]), "nobody took over")
        tell(one, SIGCONT)
        self.stops += 1

    def end(self) -> None:
        codes = [one.stop() for one in (self.door, *self._workers())]
        assert set(codes) == {0}, codes
        slots_were_taken_once(self._store)

    def _workers(self) -> Sequence[Service]:
        return [self._steady, *self._others]


def crew_of(folder: Folder, store: Store, standin: StandIn, spared_after: float) -> Crew:
    """Let those begin to work that can on this database; see `Alone` for the seconds."""
    return Alone(folder, store, standin, spared_after) if store.on_sqlite else Several(folder, store)


def _stopped(one: Service) -> None:
    tell(one, SIGSTOP)
    wait_until(lambda: is_stopped(one), "it never stopped")
