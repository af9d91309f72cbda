"""Build the program from its settings: the only place that makes the clock, and the only one that puts the parts together."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from sync.audience import Definition
from sync.compute import traits_read
from sync.definitions import InvalidDefinitions, fault_at, load, read
from sync.errors import SettingsError
from sync.lead import LEAD
from sync.memory import settle_memory
from sync.moesif import Collector, Limits, Management
from sync.payload import Mapping
from sync.purge import shortfall
from sync.send import LEASE, MARGIN, Desk, Sender
from sync.send.known_types import KnownTypes
from sync.send.pace import Paced
from sync.settings import Settings
from sync.spool import Spool
from sync.store import Store
from sync.store.engine import WAL_BYTES

Clock = Callable[[], datetime]

SPOOL_AFTER: Final = 2.0
"""Seconds that calls wait for the store where there is a spool: less than any SDK waits for an answer."""

INGEST_CACHE_BYTES: Final = 32 * 1024 * 1024
"""How much of a SQLite file is kept in memory by what takes calls in: the ids of calls that may come again, and all that one
transaction changes, which would be written twice otherwise."""

LOG_BYTES: Final = WAL_BYTES // 2
"""Of SQLite's write-ahead log, beyond which calls go to the spool, where there is one, for as long as somebody reads: half of what
it may take up, since the calls of one transaction and what is written beside them still go there."""

STALE: Final = timedelta(seconds=25)
"""A scheduler's heart that has not beaten for so long has stopped: its thread can die while it still claims to run."""


def system_clock() -> datetime:
    """Return the instant that it is."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one place


@dataclass(frozen=True, kw_only=True, slots=True)
class Durations:
    """How long what only one process may have is had, and therefore how long the others wait after one that died.

    Each follows from the one above: a request must be over before another holder's begins. Raises ValueError where that is not so.
    """

    exchange: Limits = field(default_factory=Limits)
    """What one request to Moesif may take."""
    margin: timedelta = MARGIN
    """In the last part of the right to send no request is begun."""
    sending: timedelta = LEASE
    leading: timedelta = LEAD
    silence: timedelta = STALE
    """So long after the scheduler's heart has beaten last its process ends, which lets all of that go."""

    def __post_init__(self) -> None:
        if not self.exchange.total < self.margin.total_seconds() < self.sending.total_seconds():
            raise ValueError("a request must end within the margin, and the margin within the right to send")


@dataclass(frozen=True, kw_only=True, slots=True)
class App:
    """A running whole. Nothing in it decides anything; it holds what the doors hand to the verbs."""

    settings: Settings
    store: Store
    clock: Clock
    mapping: Mapping
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    """Names this process where only one may do a thing."""
    durations: Durations = field(default_factory=Durations)
    log_bytes: int = LOG_BYTES
    """Of SQLite's write-ahead log, beyond which calls wait in the spool while somebody reads."""

    def definitions(self) -> tuple[Definition, ...]:
        """Read the definitions file. Raises InvalidDefinitions with every fault, and InputError where it cannot be read."""
        return read_definitions(self.settings)

    @contextmanager
    def sender(self) -> Iterator[Sender]:
        """Make the road to Moesif. Raises SettingsError where there is no key."""
        with self.collector() as collector:
            yield Sender(
                desk=self._desk(collector),
                owner=self.owner,
                connections=self.settings.moesif_connections,
                lease=self.durations.sending,
                margin=self.durations.margin,
            )

    @contextmanager
    def spooled(self) -> Iterator[tuple[Store, Spool | None]]:
        """Open what calls are kept in: the store, and the spool before it where one is wanted; the store is waited for less then.

        Raises SettingsError where the spool cannot be used.
        """
        with ExitStack() as stack:
            folder, store, spool = self.settings.spool, self.store, None
            if folder is not None or store.on_sqlite:
                patience = store.patience if folder is None else SPOOL_AFTER
                store = stack.enter_context(store.once_more(patience, INGEST_CACHE_BYTES))
            if folder is not None:
                spool = stack.enter_context(Spool(folder, self.settings.spool_megabytes * 1024 * 1024))
            yield store, spool

    def collector(self) -> Collector:
        """Make the client of Moesif's collector; close it after use. Raises SettingsError where there is no key."""
        settings = self.settings
        if settings.moesif_application_id is None:
            raise SettingsError(
                "SYNC_MOESIF_APPLICATION_ID is not set, so nothing can be sent; it is Moesif's Collector Application Id "
                "(in Moesif: Settings, API keys). To try without an account: personas-sync stand-in"
            )
        return Collector(
            settings.moesif_application_id,
            settings.moesif_url,
            clock=self.clock,
            allow_plain_http=settings.allow_plain_http,
            authorities=settings.moesif_ca_file,
            limits=self.durations.exchange,
        )

    def management(self) -> Management:
        """Make the client of Moesif's Management API; close it after use. Raises SettingsError where there is no key."""
        settings = self.settings
        if settings.moesif_management_key is None:
            raise SettingsError(
                "SYNC_MOESIF_MANAGEMENT_KEY is not set, so Moesif cannot be asked; it is a Management API key with the scope "
                "delete:users (in Moesif: Settings, API keys)"
            )
        return Management(
            settings.moesif_management_key,
            settings.moesif_management_url,
            clock=self.clock,
            allow_plain_http=settings.allow_plain_http,
            authorities=settings.moesif_ca_file,
        )

    def _desk(self, collector: Collector) -> Desk:
        return Desk(
            store=self.store,
            destination=collector if self.settings.moesif_rate is None else Paced(collector, self.settings.moesif_rate),
            mapping=self.mapping,
            space_id=self.settings.space,
            clock=self.clock,
            batch_items=self.settings.moesif_batch,
            types=KnownTypes(watching=self.settings.type_lock),
        )


@contextmanager
def opened(settings: Settings, clock: Clock = system_clock) -> Iterator[App]:
    """Open the store, whatever its schema, and close it at the end."""
    settle_memory()
    store = Store.at(settings.database_url, settings.run_timeout.total_seconds())
    mapping = Mapping(
        uri_fallback=settings.request_uri,
        forward_pages=settings.forward_pages,
        forward_anonymous=settings.forward_anonymous,
    )
    try:
        yield App(settings=settings, store=store, clock=clock, mapping=mapping)
    finally:
        store.close()


def read_definitions(settings: Settings) -> tuple[Definition, ...]:
    """Read and check the definitions, references included, and that calls are kept for as long as they look back; asks no store."""
    found = read(load(settings.definitions), traits_read)
    if settings.retain_events is not None:
        _require_history(found, settings.retain_events)
    return found


def _require_history(definitions: Sequence[Definition], retain: timedelta) -> None:
    short = [(one, why) for one in definitions if (why := shortfall(one, retain)) is not None]
    if short:
        raise InvalidDefinitions([fault_at(one.place, why) for one, why in short if one.place is not None])
