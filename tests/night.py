"""The long runs: the loops of tests/crash and tests/faults, with as many repetitions as you have time for.

python -m tests.night --times 1000 --database sqlite                 # kill the service at random moments
python -m tests.night --times 1000 --database postgresql --seed 7
python -m tests.night spool --times 200 --database postgresql        # kill the door while it spools and while it drains
python -m tests.night workers --times 100 --database postgresql      # kill one of several workers
python -m tests.night stopped --times 20 --database postgresql       # stop three of four workers past their rights
python -m tests.night restarts --times 24 --database postgresql      # the server goes down every five seconds, for two minutes
python -m tests.night upgrade --times 1000000 --database postgresql  # upgrade so many rows: killed often, then under traffic
python -m tests.night outage --times 100000 --database sqlite        # Moesif away for six hours, with so many users
python -m tests.night soak --times 120 --database sqlite             # all at once, for two hours; memory has to stay flat
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sync.standin import StandIn
from sync.store import Store, migrate
from tests.crash.kills import kill_often
from tests.crash.life import KEY, Folder
from tests.crash.traffic import UNANSWERED
from tests.faults.kills import kill_while_spooling, restart_often
from tests.faults.outages import outlast
from tests.faults.places import File, Place, emptied, postgresql
from tests.faults.soak import is_flat, soak
from tests.faults.upgrades import fill, kill_while_upgrading, numbers_of, there_and_back_under_traffic, upgrade_under_traffic
from tests.faults.workers import kill_workers, stop_workers

AT_A_TIME: Final = 50
"""Repetitions in one store; after so many everything is held to the oracle, and the next ones begin anew."""
BETWEEN_RESTARTS: Final = 5.0
MOST_AWAY: Final = 2.0
"""Seconds after which calls are taken again once a server has been started again."""
FIRST: Final = 400_000
"""Calls with which a soak begins, some 90 MB on SQLite."""
MOST_WAITING: Final = 5.0
"""Seconds that a call may take while the store is upgraded."""

Loop = Callable[[Folder, Place, Store, StandIn, int, int], object]
"""Does something to a folder with a store so many times, by a seed, and returns what there is to say about it."""


def service(folder: Folder, _place: Place, store: Store, standin: StandIn, times: int, seed: int) -> object:
    return kill_often(folder, store, standin, times, seed)


def spool(folder: Folder, place: Place, store: Store, _standin: StandIn, times: int, seed: int) -> object:
    folder.environ["SYNC_SPOOL"] = "spool"
    statuses = kill_while_spooling(folder, place, store, times, seed).statuses
    # Whoever had asked one that was killed got no answer.
    assert set(statuses) <= {200, UNANSWERED}, statuses
    return statuses


def restarts(folder: Folder, place: Place, store: Store, standin: StandIn, times: int, _seed: int) -> object:
    traffic, slowest = restart_often(folder, place, store, standin, times, BETWEEN_RESTARTS)
    assert set(traffic.statuses) <= {200, 503}, traffic.statuses
    assert slowest < MOST_AWAY, slowest
    return f"{traffic.statuses}, back after {slowest:.2f} s at most"


def soaked(folder: Folder, place: Place, store: Store, standin: StandIn, minutes: int, seed: int) -> object:
    found = soak(folder, place, store, standin, minutes * 60, seed, FIRST)
    assert is_flat(found), f"it grows: {found}"
    return found


def upgrade(folder: Folder, _place: Place, store: Store, _standin: StandIn, rows: int, seed: int) -> object:
    before = fill(store, rows)
    killed = kill_while_upgrading(folder, store, seed)
    assert killed, "it was never killed"
    assert numbers_of(store) == before
    done = upgrade_under_traffic(folder, store)
    assert done.slowest < MOST_WAITING, done
    back = there_and_back_under_traffic(folder, store)
    assert back.slowest < MOST_WAITING, back
    return f"{before} rows, killed {killed} times; {done}; taken back before: {back}"


def workers(folder: Folder, _place: Place, store: Store, standin: StandIn, times: int, seed: int) -> object:
    return kill_workers(folder, store, standin, times, seed)


def stopped(folder: Folder, _place: Place, store: Store, standin: StandIn, times: int, seed: int) -> object:
    return stop_workers(folder, store, standin, times, seed)


def outage(folder: Folder, _place: Place, store: Store, standin: StandIn, users: int, _seed: int) -> object:
    seen = outlast(folder, store, standin, users)
    assert (seen.owed, seen.sent, seen.wrong) == (users, users, 0), seen
    said = f"{seen.asked} requests meanwhile, all told {seen.seconds:.1f} s after it was over, {seen.grown:.0f} MB more at most"
    assert seen.seconds <= 300, said
    assert seen.grown <= 50, said
    return said


LOOPS: Final[dict[str, Loop]] = {
    "service": service,
    "spool": spool,
    "workers": workers,
    "stopped": stopped,
    "restarts": restarts,
    "upgrade": upgrade,
    "outage": outage,
    "soak": soaked,
}
AT_ONCE: Final = ("soak", "upgrade", "outage")
"""Which are one whole, however long."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line says, or other arguments."""
    wanted = _arguments(arguments)
    done, started = 0, time.monotonic()
    at_a_time = wanted.times if wanted.loop in AT_ONCE else AT_A_TIME
    for round in range(-(-wanted.times // at_a_time)):
        times, seed = min(at_a_time, wanted.times - done), wanted.seed + round
        said = _repeated(LOOPS[wanted.loop], wanted.database, times, seed)
        done += times
        print(f"{done} times, {time.monotonic() - started:.0f} s, last: seed {seed}, {said}", flush=True)


def _repeated(loop: Loop, database: str, times: int, seed: int) -> object:
    with _place(database) as place, tempfile.TemporaryDirectory() as path, _standin() as standin:
        folder, store = Folder.made(Path(path) / "folder", place.url, standin.url), Store.at(place.url)
        try:
            return loop(folder, place, store, standin, times, seed)
        except AssertionError:
            print(f"seed {seed}; what the program said last:\n{folder.log()[-10_000:]}")
            raise
        finally:
            folder.end()
            store.close()


@contextmanager
def _place(database: str) -> Iterator[Place]:
    if database == "postgresql":
        with postgresql() as server, emptied(server):
            yield server
        return
    with tempfile.TemporaryDirectory() as path:
        file = File(Path(path) / "personas.db")
        store = Store.at(file.url)
        migrate.upgrade(store.engine)
        store.close()
        yield file


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.night", description="Do harm to the program again and again.")
    parser.add_argument("loop", choices=LOOPS, nargs="?", default="service")
    parser.add_argument(
        "--times", type=int, default=1000, help="how often; of a soak minutes, of an upgrade rows, of an outage users"
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args(given)
    if wanted.loop in ("workers", "stopped") and wanted.database == "sqlite":
        parser.error("several workers need --database postgresql: SQLite is served by one process")
    return wanted


def _standin() -> StandIn:
    return StandIn.start(application_id=KEY, remember=True)


if __name__ == "__main__":
    main()
