"""What Prometheus is told. No label holds anything about a user: lanes, states, outcomes, sources, and the keys of definitions.

What the store knows is read when somebody asks, so that every process shows the same. What only a process knows, the calls it took
in, it counts itself, from its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    GCCollector,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sync import __version__
from sync.delivery import Lane, State
from sync.errors import SyncError
from sync.spool import Lying
from sync.store.figures import Figures, LastRun

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_STATES: Final = (State.OWED, State.SENDING, State.UNKNOWN, State.REJECTED)


class Metrics:
    """Everything there is to be told by one process."""

    def __init__(
        self, figures: Callable[[], Figures], clock: Callable[[], datetime], lying: Callable[[], Lying] | None = None
    ) -> None:
        """`figures` reads the store, and raises SyncError where it is away; `lying` looks into the spool, where there is one."""
        self._registry = CollectorRegistry()
        Info("personas_sync", "What runs here.", registry=self._registry).info({"version": __version__})
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._calls = Counter("personas_sync_calls", "Calls this process took in.", ["result"], registry=self._registry)
        for result in ("accepted", "duplicate", "rejected", "suppressed"):
            self._calls.labels(result)
        self._answers = Counter("personas_sync_answers", "Answers of this process to senders.", ["status"], registry=self._registry)
        self._limited = Counter(
            "personas_sync_limited", "Requests of a source that sent too much.", ["source"], registry=self._registry
        )
        self._registry.register(_OfStore(figures, clock))
        if lying is not None:
            self._registry.register(_OfSpool(lying, clock))

    def took_in(self, *, accepted: int, duplicate: int, rejected: int, suppressed: int) -> None:
        """Count calls."""
        counts = {"accepted": accepted, "duplicate": duplicate, "rejected": rejected, "suppressed": suppressed}
        for result, count in counts.items():
            self._calls.labels(result).inc(count)

    def answered(self, status: int) -> None:
        """Count an answer to a sender."""
        self._answers.labels(str(status)).inc()

    def limited(self, source: str) -> None:
        """Count a request that a source was told to send later, since it sends too much."""
        self._limited.labels(source).inc()

    def text(self) -> bytes:
        """Return what Prometheus reads. Asks the store."""
        return generate_latest(self._registry)


class _OfStore(Collector):
    """Reads the store whenever it is asked."""

    def __init__(self, figures: Callable[[], Figures], clock: Callable[[], datetime]) -> None:
        self._figures = figures
        self._clock = clock

    def describe(self) -> list[Metric]:
        """Say nothing yet: it would ask the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("personas_sync_store_up", "1 where the store can be read.")
        try:
            figures = self._figures()
        except SyncError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _owed(figures, self._clock())
        yield from _lanes(figures)
        yield from _heart(figures, self._clock())
        yield from _of_runs(figures.last_runs)


class _OfSpool(Collector):
    """Says what lies in this process's spool."""

    def __init__(self, lying: Callable[[], Lying], clock: Callable[[], datetime]) -> None:
        self._lying = lying
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        found = self._lying()
        yield GaugeMetricFamily("personas_sync_spooled_calls", "Calls that wait in files for the store.", value=found.calls)
        yield GaugeMetricFamily("personas_sync_spool_bytes", "The size of those files.", value=found.bytes)
        yield GaugeMetricFamily(
            "personas_sync_oldest_spooled_seconds",
            "How long the oldest has waited; 0: none.",
            value=_seconds(found.since, self._clock()),
        )
        yield GaugeMetricFamily(
            "personas_sync_spool_set_aside",
            "Requests that could not be read or stored; a person has to look.",
            value=found.set_aside,
        )


def _owed(figures: Figures, now: datetime) -> Iterator[Metric]:
    calls = GaugeMetricFamily("personas_sync_calls_owed", "Forwarded calls that are not accepted.", labels=["lane", "state"])
    for lane in Lane:
        for state in _STATES:
            calls.add_metric([lane, state], figures.calls.get((lane, state), 0))
    yield calls
    ledger = GaugeMetricFamily("personas_sync_memberships_owed", "Memberships and values that are not accepted.", labels=["state"])
    for state in _STATES:
        ledger.add_metric([state], figures.memberships.get(state, 0))
    yield ledger
    age = GaugeMetricFamily(
        "personas_sync_oldest_owed_seconds", "How long the oldest has waited; 0: none.", labels=["lane", "what"]
    )
    for lane in Lane:
        age.add_metric([lane, "calls"], _seconds(figures.oldest_calls.get(lane), now))
    age.add_metric([Lane.USERS, "memberships"], _seconds(figures.oldest_memberships, now))
    yield age


def _lanes(figures: Figures) -> Iterator[Metric]:
    told = CounterMetricFamily("personas_sync_told", "What became of what was sent to Moesif.", labels=["lane", "outcome"])
    for (lane, outcome), count in sorted(figures.told.items()):
        told.add_metric([lane, outcome], count)
    yield told
    paused = GaugeMetricFamily("personas_sync_lane_paused", "1 while a lane waits after a failure.", labels=["lane"])
    failures = GaugeMetricFamily("personas_sync_lane_failures", "Failures in a row.", labels=["lane"])
    refused = GaugeMetricFamily("personas_sync_key_refused", "1 while Moesif refuses the key.", labels=["lane"])
    for lane in Lane:
        pause = figures.pauses.get(lane)
        paused.add_metric([lane], int(pause is not None))
        failures.add_metric([lane], 0 if pause is None else pause.failures)
        refused.add_metric([lane], int(pause is not None and pause.key_refused))
    yield from (paused, failures, refused)


def _heart(figures: Figures, now: datetime) -> Iterator[Metric]:
    age = GaugeMetricFamily("personas_sync_scheduler_heartbeat_age_seconds", "Since any scheduler said that it is alive.")
    if figures.beat is not None:
        age.add_metric([], _seconds(figures.beat, now))
    yield age


def _of_runs(last_runs: tuple[LastRun, ...]) -> Iterator[Metric]:
    members = GaugeMetricFamily("personas_sync_members", "Who is in, or has a value.", labels=["key", "kind"])
    computed = GaugeMetricFamily("personas_sync_computed_timestamp_seconds", "The instant of the last run.", labels=["key"])
    success = GaugeMetricFamily("personas_sync_success_timestamp_seconds", "When all was accepted last.", labels=["key"])
    took = GaugeMetricFamily("personas_sync_run_duration_seconds", "Of the last run that ended, delivery included.", labels=["key"])
    outcome = GaugeMetricFamily("personas_sync_run_outcome", "1 for the outcome of the last run.", labels=["key", "outcome"])
    skipped = CounterMetricFamily("personas_sync_slots_skipped", "Slots that passed and nobody looked.", labels=["key"])
    for run in last_runs:
        skipped.add_metric([run.key], run.slots_skipped)
        members.add_metric([run.key, run.kind], run.members)
        _add(computed, run.key, run.computed_at)
        _add(success, run.key, run.succeeded_at)
        if run.outcome is not None:
            outcome.add_metric([run.key, run.outcome], 1)
        if run.started_at is not None and run.ended_at is not None:
            took.add_metric([run.key], _seconds(run.started_at, run.ended_at))
    yield from (members, computed, success, took, outcome, skipped)


def _add(family: GaugeMetricFamily, key: str, at: datetime | None) -> None:
    if at is not None:
        family.add_metric([key], at.timestamp())


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(now - since, timedelta()).total_seconds()
