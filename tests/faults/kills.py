"""The loop: take the store away, kill the door without warning, start it again, give the store back, and kill it while it drains.

Used by the test with few rounds, and by `python -m tests.night` with many.
"""

from __future__ import annotations

import random
import time

from sync.spool import look
from sync.standin import StandIn
from sync.store import Store
from tests.crash import oracle
from tests.crash.kills import INVALID, hold_to_everything, settle, wait_until
from tests.crash.life import Folder, Service
from tests.crash.traffic import Traffic
from tests.faults.places import Place


def kill_while_spooling(folder: Folder, place: Place, store: Store, rounds: int, seed: int) -> Traffic:
    """Kill a door twice a round, while it spools and while it drains; what was answered 200 is then in the store, once."""
    dice = random.Random(seed)
    with Traffic.of(3, seed, invalid=INVALID) as traffic:
        service = _served(folder, traffic)
        for _ in range(rounds):
            place.take_away()
            service = _killed_in_a_while(service, folder, traffic, dice.random() * 0.3)
            service = _killed_in_a_while(service, folder, traffic, dice.random() * 0.3)
            place.give_back()
            service = _killed_in_a_while(service, folder, traffic, dice.random() * 0.6)
            known = dict(traffic.answered)
            wait_until(lambda known=known: _is_stored(store, known), "answered 200 and lost")
        traffic.end()
        wait_until(lambda: look(folder.path / "spool").bytes == 0, "it was not drained")
        assert service.stop() == 0
    oracle.stored_exactly(store, traffic.answered)
    oracle.invalid_ones_are_listed(store, traffic.refused)
    assert look(folder.path / "spool").set_aside == 0
    return traffic


def _killed_in_a_while(service: Service, folder: Folder, traffic: Traffic, seconds: float) -> Service:
    time.sleep(seconds)
    service.kill()
    return _served(folder, traffic)


def _served(folder: Folder, traffic: Traffic) -> Service:
    service = folder.serve("--only", "web")
    traffic.url = service.url
    return service


def _is_stored(store: Store, answered: dict[str, object]) -> bool:
    try:
        oracle.stored_once(store, answered)  # type: ignore[arg-type]
    except AssertionError:
        return False
    return True


def restart_often(
    folder: Folder, place: Place, store: Store, standin: StandIn, restarts: int, seconds: float
) -> tuple[Traffic, float]:
    """Take the store away and give it back so many times under a service; return how long it took, at most, to be back.

    In the end everything is held to the oracle.
    """
    service = folder.serve()
    slowest = 0.0
    with Traffic.of(3, seed=1, pause=0.005) as traffic:
        traffic.url = service.url
        for _ in range(restarts):
            time.sleep(seconds)
            place.take_away()
            place.give_back()
            began, before = time.monotonic(), len(traffic.answered)
            wait_until(lambda before=before: len(traffic.answered) > before, "it did not come back")
            slowest = max(slowest, time.monotonic() - began)
        traffic.end()
    settle(service, store)
    assert service.stop() == 0
    hold_to_everything(folder, store, standin, traffic)
    return traffic, slowest
