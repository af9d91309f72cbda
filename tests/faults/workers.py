"""The loops: several workers share the work; they are killed without warning, or stopped for longer than their rights last.

Used by the tests with few rounds, and by `python -m tests.night` with many.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from sqlalchemy import select

from sync.membership import Outcome
from sync.send import SENDING
from sync.standin import StandIn
from sync.store import Store
from sync.store import schema as t
from tests.crash import oracle
from tests.crash.inside import WHERE_ARE_YOU
from tests.crash.kills import Tally, bad_luck, hold_to_everything, is_quiet, wait_until
from tests.crash.life import Folder, Service
from tests.crash.traffic import Traffic

WORKERS = 3
LONGEST_LIFE = 0.6
"""Seconds from a worker's start until one is killed."""
MOST_STEPS = 400
MOST_CLAIMS = 20
"""A worker takes about so many in two seconds."""


def kill_workers(folder: Folder, store: Store, standin: StandIn, kills: int, seed: int) -> Tally:
    """Kill one of several workers so many times, each time another in its place; then check everything."""
    dice = random.Random(seed)
    workers = [folder.work() for _ in range(WORKERS)]
    with kept_busy(folder, store, standin, workers, seed) as traffic:
        for _ in range(kills):
            standin.misbehave(*bad_luck(dice))
            time.sleep(dice.random() * LONGEST_LIFE)
            workers.pop(dice.randrange(WORKERS)).kill()
            workers.append(folder.work())
        standin.behave()
    return Tally(kills, len(traffic.answered), _requests(standin), oracle.sent_twice(standin.history()))


def stop_workers(folder: Folder, store: Store, standin: StandIn, rounds: int, seed: int) -> Tally:
    """Stop three of four workers until their rights are over, and then let them go on.

    One stops wherever it is, one between two statements, one with a claim in hand. Meanwhile the fourth does all there is to do,
    and tells newer values; what those who come back had in hand must not follow.
    """
    dice = random.Random(seed)
    workers = [folder.work()]
    with kept_busy(folder, store, standin, workers, seed) as traffic:
        for _ in range(rounds):
            at, with_ = dice.randint(20, MOST_STEPS), dice.randint(1, MOST_CLAIMS)
            stopped = [folder.work(), folder.work(stops_at=at), folder.work(stops_with=with_)]
            time.sleep(dice.random())
            tell(stopped[0], signal.SIGSTOP)
            wait_until(lambda stopped=stopped: all(is_stopped(one) for one in stopped), "it never stopped")
            wait_until(lambda stopped=stopped: not has_rights(store, stopped), "nobody took over")
            _wait_for_more(standin)
            for one in stopped:
                tell(one, signal.SIGCONT)
            time.sleep(dice.random())
            for one in stopped:
                one.kill() if dice.random() < 0.5 else workers.append(one)
            while len(workers) > 1:
                assert workers.pop().stop() == 0
    return Tally(rounds, len(traffic.answered), _requests(standin), oracle.sent_twice(standin.history()))


def tell(worker: Service, number: signal.Signals) -> None:
    assert worker.process.pid is not None
    os.kill(worker.process.pid, number)


def is_stopped(worker: Service) -> bool:
    """Whether a process has been stopped by a signal, as Linux has it."""
    status = Path(f"/proc/{worker.process.pid}/stat").read_text(encoding="utf-8")
    return status.rpartition(")")[2].split()[0] == "T"


def has_rights(store: Store, workers: Collection[Service]) -> bool:
    """Whether one of these workers is still down as the one that sends, or leads."""
    with store.reading() as connection:
        names = [t.leases.c.name.startswith(SENDING), t.leases.c.name == "scheduler"]
        owners = connection.scalars(select(t.leases.c.owner).where(names[0] | names[1])).all()
    return any(f":{worker.process.pid}:" in owner for worker in workers for owner in owners)


def led_by(store: Store, workers: Sequence[Service]) -> Service | None:
    """Return which of some workers leads."""
    with store.reading() as connection:
        owner = connection.scalars(select(t.leases.c.owner).where(t.leases.c.name == "scheduler")).one_or_none()
    return next((one for one in workers if owner is not None and f":{one.process.pid}:" in owner), None)


def slots_were_taken_once(store: Store) -> None:
    """No audience was computed twice for one slot, or for an earlier one after a later one.

    Of a schedule of every second, where nobody else computes: then a run is as of an instant within its slot.
    """
    found = defaultdict(list)
    # One that was ended leaves its slot to whoever comes next.
    recorded = select(t.runs.c.audience_id, t.runs.c.at).where(t.runs.c.outcome != Outcome.FAILED.value)
    with store.reading() as connection:
        for audience, at in connection.execute(recorded.order_by(t.runs.c.id)):
            found[audience].append(at.replace(microsecond=0))
    assert found
    assert all(one < other for slots in found.values() for one, other in pairwise(slots))


@contextmanager
def kept_busy(folder: Folder, store: Store, standin: StandIn, workers: Sequence[Service], seed: int) -> Iterator[Traffic]:
    """Let calls come in by a door of their own; in the end wait until nothing is owed, stop all, and hold them to the oracle."""
    door = folder.serve("--only", "web")
    with Traffic.of(3, seed, pause=0.02) as traffic:
        traffic.url = door.url
        yield traffic
        traffic.end()
    wait_until(lambda: is_quiet(store), "something is owed", 90)
    codes = {str(one.process.pid): one.stop() for one in (door, *workers)}
    for one in workers:
        if one.process.exitcode is None:
            # It had not ended in half a minute.
            tell(one, WHERE_ARE_YOU)
            time.sleep(1)
    assert set(codes.values()) == {0}, f"the door and the workers ended with {codes}: {folder.log()[-30_000:]}"
    hold_to_everything(folder, store, standin, traffic)
    slots_were_taken_once(store)


def _wait_for_more(standin: StandIn) -> None:
    """Wait until something newer has been told."""
    before = len(standin.history())
    wait_until(lambda: len(standin.history()) > before + 5, "nobody tells anything")


def _requests(standin: StandIn) -> int:
    return sum(counts.requests for counts in standin.requests.values())
