"""The loop: serve, let clients send, kill without warning at a random moment, and start again; then hold everything to the oracle.

Used by the test with few kills, and by `python -m tests.night` with many.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from sqlalchemy import update

from sync.app import system_clock
from sync.standin import Fault, StandIn
from sync.store import Store, leases
from sync.store import schema as t
from sync.store.types import EPOCH
from tests.crash import doubles, oracle
from tests.crash.life import BATCH, Folder, Service
from tests.crash.traffic import Traffic

LONGEST_LIFE = 0.6
"""Seconds between being ready and being killed."""
ON_ITS_WAY = 0.1
"""Seconds between having begun to send and being killed, of two in three."""
LONGEST_SILENCE = 5.0
"""Seconds after which one is killed that does not begin to send."""
INVALID = 0.02
"""Of all calls."""


@dataclass(frozen=True)
class Tally:
    """What a loop went through."""

    kills: int
    answered: int
    requests: int
    sent_twice: int
    senders: int | None = None
    """How many of those that were killed had sent something."""
    in_doubt: int | None = None
    """Requests of actions, at most, of which one that died had written no answer down; None where that is not known."""
    invalid: int = 0
    """Calls that were answered as well, and that nobody can understand."""


def kill_often(folder: Folder, store: Store, standin: StandIn, kills: int, seed: int) -> Tally:
    """Kill the service so many times while calls come in and leave; then let it end in peace, and check everything."""
    dice, deaths, lost, senders = random.Random(seed), [], 0, 0
    received = oracle.Received()
    with Traffic.of(3, seed, pause=0.02, invalid=INVALID) as traffic:
        for number in range(kills):
            service = folder.serve()
            traffic.url = service.url
            faults = bad_luck(dice)
            lost += sum(fault.close in ("after", "midway") for fault in faults)
            standin.misbehave(*faults)
            before = asked(standin)
            await_a_moment(dice, standin, sends=number % 3 > 0)
            service.kill()
            deaths.append(doubles.death(store, standin, lambda: let_leases_end(store, standin)))
            senders += asked(standin) > before
            oracle.stored_once(store, dict(traffic.answered))
            oracle.nothing_is_claimed(store, received.by(standin.history()))
            let_pauses_end(store)
        standin.behave()
        service = folder.serve()
        traffic.url = service.url
        traffic.end()
        settle(service, store)
        service.stop()
    hold_to_everything(folder, store, standin, traffic)
    history = standin.history()
    doubles.only_what_was_in_hand(history, deaths, lost, BATCH)
    in_doubt = doubles.no_more_than_connections(history, deaths)
    return Tally(kills, len(traffic.answered), asked(standin), oracle.sent_twice(history), senders, in_doubt, len(traffic.refused))


def await_a_moment(dice: random.Random, standin: StandIn, *, sends: bool) -> None:
    """Wait for a random while: since the start, or since something has been on its way to Moesif."""
    if not sends:
        time.sleep(dice.random() * LONGEST_LIFE)
        return
    before, ends = asked(standin), time.monotonic() + LONGEST_SILENCE
    while asked(standin) == before and time.monotonic() < ends:
        time.sleep(0.002)
    time.sleep(dice.random() * ON_ITS_WAY)


def asked(standin: StandIn) -> int:
    """How many requests have come."""
    return sum(counts.requests for counts in standin.requests.values())


def bad_luck(dice: random.Random) -> list[Fault]:
    """Choose what goes wrong at Moesif meanwhile: mostly nothing, or that the answer is late, is lost, or is a refusal."""
    faults = [
        Fault(delay_seconds=0.05),
        Fault(applied=True, delay_seconds=0.05),
        Fault(status=503),
        Fault(close="before"),
        Fault(close="after"),
        Fault(close="midway"),
    ]
    return dice.sample(faults, dice.choice((0, 0, 1, 2)))


def let_leases_end(store: Store, standin: StandIn) -> None:
    """Let the time pass that the leases of one that died are held for: what was on its way arrives, and they run out."""
    # One that the dead program had just opened may not have been accepted yet.
    time.sleep(0.05)
    wait_until(lambda: standin.open_connections == 0, "requests are on their way")
    with store.writing() as connection:
        connection.execute(update(t.leases).values(expires_at=EPOCH))


def let_pauses_end(store: Store) -> None:
    """Let the time pass for which lanes wait after a failure, so that whoever comes next has something to send.

    One that dies while it finds out whether a lane can send leaves the lane shut for as long as that may take.
    """
    with store.writing() as connection:
        connection.execute(update(t.lanes).values(paused_until=EPOCH))


def settle(service: Service, store: Store, seconds: float = 60) -> None:
    """Wait until everything has been computed and delivered, in so many seconds after all lanes' pauses.

    A pause of minutes is no fault: a machine with much else to do kills programs that have not got to their first answer.
    """
    with store.reading() as connection:
        pauses = leases.pauses(connection).values()
    longest = max([(pause.until - system_clock()).total_seconds() for pause in pauses], default=0.0)
    wait_until(lambda: is_quiet(store), "something is owed", seconds + max(longest, 0.0))
    assert service.process.is_alive()


def is_quiet(store: Store) -> bool:
    """Whether nothing becomes owed by a look at what is stored, and nothing is; in this order, since the one leads to the other."""
    if not oracle.everything_is_computed(store):
        return False
    try:
        oracle.ledger(store)
    except AssertionError:
        return False
    return oracle.nothing_is_queued(store)


def hold_to_everything(folder: Folder, store: Store, standin: StandIn, traffic: Traffic) -> None:
    answered = traffic.answered
    oracle.stored_exactly(store, answered)
    oracle.invalid_ones_are_listed(store, traffic.refused)
    oracle.runs_balance(store)
    oracle.changes_lead_to_the_ledger(store)
    oracle.moesif_holds(standin.users(), answered, oracle.ledger(store))
    oracle.actions_are_there_once(standin.actions(), answered)
    oracle.nothing_newer_was_overtaken(standin.history())
    assert "Traceback" not in folder.log(), folder.log().partition("Traceback")[2][:5000]


def wait_until(condition: object, otherwise: str, seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends, f"{otherwise} after {seconds:.0f} s"
        time.sleep(0.02)
