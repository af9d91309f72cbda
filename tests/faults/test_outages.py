"""Moesif away for hours, and Moesif that fails now and then for long: what is owed, how it leaves, and how often it is asked."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sync.delivery import Lane, Outcome
from sync.json_value import Json
from sync.moesif import Collector, Limits
from sync.send.parcels import Destination
from sync.standin import Fault, StandIn
from sync.store import Store, queue
from tests.crash import oracle
from tests.crash.kills import wait_until
from tests.crash.life import KEY, Folder
from tests.crash.traffic import Traffic
from tests.faults.outages import outlast
from tests.make import NOW, after, audience, identify, keep, record, track
from tests.send.conftest import MovedClock, road_to

USERS, CONNECTIONS = 3000, 4


def test_after_six_hours_without_moesif_everybody_is_told_once_and_only_the_latest(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    """Row 19."""
    seen = outlast(folder, store, standin, users=USERS)

    assert (seen.owed, seen.sent, seen.wrong) == (USERS, USERS, 0)
    # At first each connection has one on its way; from then on one request finds out whether it is back, every ten minutes at last.
    assert len(seen.waits) <= seen.asked < len(seen.waits) + CONNECTIONS
    assert max(seen.waits) == timedelta(minutes=5), "half of the longest, as the jitter was drawn"
    assert seen.grown <= 50


def test_errors_lost_answers_and_resets_leave_nothing_wrong_and_little_told_twice(store: Store, standin: StandIn) -> None:
    """Row 20: of a hundred requests ten are refused, ten are taken without an answer, and five are cut off before that."""
    users, steps = 25, 15
    for lane in ("users", "actions"):
        mixed = [Fault(lane=lane, **what) for what in ({"status": 503}, {"close": "after"}) for _ in range(2)]
        mixed += [Fault(lane=lane, close="before"), *[Fault(lane=lane)] * 15]
        # Each twenty mixed anew, so that the shares are what they are said to be wherever it ends.
        standin.misbehave(*(fault for _ in range(100) for fault in random.sample(mixed, len(mixed))))
    clock, buyers = MovedClock(NOW), audience(store)
    with Collector(KEY, standin.url, clock=clock, limits=Limits(connect=1, read=1, total=3)) as collector:
        counted = Counted(collector)
        road = road_to(counted, store, clock).over(batch_items=2).with_(connections=CONNECTIONS)
        for step in range(1, steps + 1):
            at = after(hours=step)
            calls = [one(f"u{user}", step, at) for user in range(users) for one in (said, done)]
            keep(store, *calls, forward=True)
            record(store, buyers, [f"u{user}" for user in range(users) if (user + step) % 3], at)
            while is_owed(store, road):
                road.drain(0.0)
                clock.advance(minutes=20)

    assert {user: held["metadata"] for user, held in standin.users().items()} == {
        f"u{user}": {"n": steps, "buyers": bool((user + steps) % 3)} for user in range(users)
    }
    assert len(standin.actions()) == users * steps
    oracle.nothing_newer_was_overtaken(standin.history())
    again = Counter(str(one["transaction_id"]) for taken in standin.history() if taken.lane == "actions" for one in taken.documents)
    # Where a tenth of all requests are taken without an answer, and three quarters with one, it is 13 %.
    assert 0 < sum(again.values()) - len(again) <= 0.15 * len(again)
    # Without faults it takes these, of two items each; as a quarter fails a third more, and some of users that hold one item.
    least = steps * -(-users // 2)
    for lane in (Lane.USERS, Lane.ACTIONS):
        assert 1 < counted.most[lane] <= CONNECTIONS
        assert least < standin.requests[lane].requests <= 2 * least


@dataclass
class Counted:
    """A destination that knows how many requests of a lane there were at once."""

    destination: Destination
    most: Counter[Lane] = field(default_factory=Counter)
    _under_way: Counter[Lane] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, lane: Lane, documents: Sequence[dict[str, Json]], may_send: Callable[[], bool]) -> Outcome:
        self._change(lane, 1)
        try:
            return self.destination.post(lane, documents, may_send)
        finally:
            self._change(lane, -1)

    def _change(self, lane: Lane, change: int) -> None:
        with self._lock:
            self._under_way[lane] += change
            self.most[lane] = max(self.most[lane], self._under_way[lane])


def said(user: str, step: int, at):
    return identify(user, {"n": step}, at=at)


def done(user: str, step: int, at):
    return track(user, f"Step {step}", at=at)


def is_owed(store: Store, road) -> bool:
    with store.reading() as connection:
        return any(road.desk.is_waiting(connection, lane) for lane in Lane)


def test_an_outage_is_no_storm_and_when_it_is_over_one_request_of_each_lane_finds_out(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    """Row 29."""
    folder.environ.pop("SYNC_SPOOL")
    service = folder.serve()
    with Traffic.of(3, seed=1, pause=0.02) as traffic:
        traffic.url = service.url
        wait_until(lambda: standin.requests["users"].requests > 10, "nothing is sent")
        usual = asked_within(standin, 2)
        standin.misbehave(Fault(status=503, times=1_000_000))
        during = asked_within(standin, 4)
        standin.behave()
        standin.misbehave(*(Fault(lane=lane, delay_seconds=1.5) for lane in ("users", "actions")))
        before = {lane: standin.requests[lane].requests for lane in ("users", "actions")}
        tried = dict.fromkeys(before, 0.0)
        probes = dict.fromkeys(before, 0)
        wait_until(lambda: _probed(standin, before, tried, probes), "a lane was never tried again")
        traffic.end()

    assert 0 < during / 4 <= 1.1 * usual / 2
    assert probes == {"users": 1, "actions": 1}
    wait_until(lambda: queue_is_empty(store), "something is owed")
    assert service.stop() == 0


def _probed(standin: StandIn, before: dict[str, int], tried: dict[str, float], probes: dict[str, int]) -> bool:
    """Count the requests of each lane in the second from its first one on; whether that second is over for all."""
    now = time.monotonic()
    for lane, earlier in before.items():
        asked = standin.requests[lane].requests - earlier
        if asked and not tried[lane]:
            tried[lane] = now
        if tried[lane] and now - tried[lane] < 1:
            probes[lane] = asked
    return all(began and now - began >= 1 for began in tried.values())


def asked_within(standin: StandIn, seconds: float) -> int:
    """Count the requests of some seconds."""
    before = sum(counts.requests for counts in standin.requests.values())
    time.sleep(seconds)
    return sum(counts.requests for counts in standin.requests.values()) - before


def queue_is_empty(store: Store) -> bool:
    with store.reading() as connection:
        return not queue.states(connection)
