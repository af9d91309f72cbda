"""The store of a benchmark while it runs: time passes, users order, runs are made, and every run is held to what must come out.

Knows the audience, and by `population.Purchases` who is in it at every instant.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

from sqlalchemy import event, select, text

from benchmarks.audiences import ORDERED, Asked
from benchmarks.population import NOW, ORDER, Purchases
from benchmarks.report import Timing, require, require_equal
from sync.apply import apply
from sync.call import Call, CallType, Incoming
from sync.compute import compute, compute_slot
from sync.ingest import accept
from sync.membership import IN, Run
from sync.payload import Mapping
from sync.store import Store, audiences
from sync.store.audiences import Stored
from sync.store.schema import memberships
from sync.store.types import from_micros, to_micros

AT_A_TIME: Final = 1000
"""Calls that are taken in together."""

_MICROSECOND: Final = timedelta(microseconds=1)
_numbers = count()


@dataclass
class Shop:
    """A filled store with the audience defined, and the instant that it is there."""

    store: Store
    purchases: Purchases
    users: int
    asked: Asked = ORDERED
    now: datetime = NOW
    slots: Iterable[int] = field(default_factory=lambda: count(1))
    draw: random.Random = field(default_factory=lambda: random.Random(2))

    def define(self) -> None:
        apply(self.store, [self.asked.definition], self.now)

    def stored(self) -> Stored:
        with self.store.reading() as connection:
            return audiences.by_key(connection, self.asked.definition.key)

    def clock(self) -> datetime:
        return self.now

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, timing: Timing | None = None) -> Run | None:
        """Compute as the scheduler does, for the next slot."""
        stored, slot = self.stored(), NOW + next(iter(self.slots)) * timedelta(seconds=1)
        with (timing or Timing(name="unmeasured")).once():
            return compute_slot(self.store, stored, slot, self.now, self.clock)

    def first_run(self, timing: Timing) -> None:
        run = self.tick(timing)
        wanted = len(self.purchases.members(self.now))
        assert run is not None, "a first run is recorded"
        require_equal("entries and exits of the first run", (run.entered, run.exited), (wanted, 0))
        self.require_members()

    def rebuild(self, timing: Timing) -> None:
        """Compute by looking at everyone, where nothing changed."""
        stored = self.stored()
        with timing.once():
            run = compute(self.store, stored, self.now, self.clock, rebuild=True)
        self._require_unchanged(run)

    def idle(self, timing: Timing | None = None) -> None:
        """Compute where nothing arrived and nothing was passed: a microsecond later."""
        self.now += _MICROSECOND
        self._require_unchanged(self.tick(timing))

    def changing(self, timing: Timing, users: int) -> bool:
        """Let some users change, half of them by ordering and half because time passes, and compute; False if too few are left."""
        entering, leaving = users // 2, users - users // 2
        if self.pass_by(entering, leaving) is None:
            return False
        run = self.tick(timing)
        require(run is not None, f"a run by which {users} users should have changed found nothing")
        assert run is not None, "said above"
        require_equal(f"entries and exits of a run by which {users} changed", (run.entered, run.exited), (entering, leaving))
        return True

    def _require_unchanged(self, run: Run | None) -> None:
        changed = 0 if run is None else run.changed
        require_equal("changes of a run where nothing had changed", changed, 0)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def pass_by(self, entering: int, leaving: int) -> list[Call] | None:
        """Let time pass until so many have left, and others order; return the orders, or None if too few are in or out."""
        then = self.purchases.leaving(self.now).after(self.now, leaving)
        others = self.purchases.others(self.now)
        if then is None or entering > len(others) or (entering and then - self.now < AT_A_TIME * _MICROSECOND):
            return None
        calls = self._order(self.draw.sample(others, entering), then) if entering else []
        self.now = then
        return calls

    def _order(self, profile_ids: list[int], until: datetime) -> list[Call]:
        """Let users order, one after the other, between now and an instant, and take their calls in."""
        begin, length = to_micros(self.now), (until - self.now) // _MICROSECOND
        instants = (from_micros(begin + length * place // len(profile_ids)) for place in range(1, len(profile_ids) + 1))
        calls = [_order(id, at, self.asked.order) for id, at in zip(profile_ids, instants, strict=True)]
        for begin in range(0, len(calls), AT_A_TIME):
            some = calls[begin : begin + AT_A_TIME]
            kept = accept(self.store, [Incoming(source="web", calls=tuple(some))], Mapping(), until, forward=False)
            require_equal("calls taken in", kept.accepted, len(some))
        for id, call in zip(profile_ids, calls, strict=True):
            self.purchases.ordered(id, to_micros(call.timestamp), round(self.asked.order * 100))
        return calls

    def settle(self) -> None:
        """Let Moesif have accepted everything that is owed, as after a sync: the ledger and the runs say so."""
        with self.store.writing() as connection:
            told = "UPDATE memberships SET state = 'settled', accepted = value, accepted_at = :at WHERE state <> 'settled'"
            ended = "UPDATE runs SET accepted = owed, outcome = 'done', ended_at = :at WHERE outcome = 'delivering'"
            for statement in (told, ended):
                connection.execute(text(statement), {"at": to_micros(self.now)})

    # ── what must come out ───────────────────────────────────────────────────────────────────────────────────────────────

    def require_members(self) -> None:
        """Hold the ledger to what users did, one by one."""
        statement = select(memberships.c.profile_id).where(memberships.c.audience_id == self.stored().id, memberships.c.value == IN)
        with self.store.reading() as connection:
            found = list(connection.scalars(statement.order_by(memberships.c.profile_id)))
        wanted = self.purchases.members(self.now)
        require(found == wanted, f"the ledger has {len(found)} members, of {len(wanted)}, or others")

    def statements(self, work: Callable[[], object]) -> list[str]:
        """Return the statements that some work executes."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(self.store.engine, "before_cursor_execute", note)
        work()
        event.remove(self.store.engine, "before_cursor_execute", note)
        return seen


def _order(profile_id: int, at: datetime, revenue: float) -> Call:
    properties = {"order_id": f"o{profile_id}", "revenue": revenue, "currency": "EUR"}
    user = f"user-{profile_id}"
    made = {"message_id": f"later-{next(_numbers)}", "event": ORDER, "timestamp": at, "received_at": at}
    return Call(type=CallType.TRACK, user_id=user, properties=properties, **made)  # type: ignore[arg-type]
