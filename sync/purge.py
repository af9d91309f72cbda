"""Purge: throw away history that is older than the settings keep, and nothing that any definition may still need.

Traits live in profiles, so the calls that taught them may go. What a query counts may not: a definition that looks back farther
than calls are kept is refused, with its window and the reason. A call goes only when the definitions have been computed past it;
those that have not for more than a day, since they are paused, look at everyone the next time instead.

Many small transactions, each followed by a rest, so that writers beside it do not wait; interrupted, the next purge goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection

from sync.audience import Definition, Kind
from sync.errors import SettingsError
from sync.language import tree
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reach import reach, reaches
from sync.settings import Settings, shown_duration
from sync.store import Store, audiences, purges
from sync.store.audiences import Stored
from sync.store.purges import CALLS, CHANGES, REJECTED_CALLS

AT_A_TIME: Final = 100
"""Rows deleted in one transaction: a few milliseconds, on either store."""

LOOKED_AT: Final = 5_000
"""Rows looked at in one transaction that reads."""

GRACE: Final = timedelta(days=1)
"""How much longer calls are kept for a definition that has not been computed past them yet."""

REST: Final = 1.0
"""How long to rest after a step, in terms of how long it took: whoever waits to write comes first."""

SHORTEST_REST: Final = 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long each is kept; None for ever."""

    events: timedelta | None = None
    changes: timedelta | None = None
    rejected_calls: timedelta | None = None

    @classmethod
    def of(cls, settings: Settings) -> Retention:
        return cls(events=settings.retain_events, changes=settings.retain_changes, rejected_calls=settings.retain_rejected_calls)

    def __bool__(self) -> bool:
        return any(span is not None for span in (self.events, self.changes, self.rejected_calls))


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one transaction threw away."""

    table: str
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What a purge would throw away of one table."""

    table: str
    until: datetime
    rows: int


def shortfall(definition: Definition, retain: timedelta) -> str | None:
    """Say why calls may not be thrown away so soon, as far as one definition is concerned; None where they may."""
    query = _parsed(definition.kind, definition.query)
    span = reach(query)
    if span is not None and span <= retain:
        return None
    kept = f"SYNC_RETAIN_EVENTS keeps calls for {shown_duration(retain)} only"
    if span is not None:
        wanted = shown_duration(span)
        return f"{definition.key} looks back {wanted}, and {kept}: set it to {wanted} or more, or look back less far"
    endless = ", ".join(f"event({one!r})" for one in dict.fromkeys(one.event for one in reaches(query) if one.span is None))
    return (
        f"{definition.key} looks at {endless} however long ago, and {kept}: "
        f"bound it by within(…) of at most {shown_duration(retain)}, or do not set SYNC_RETAIN_EVENTS"
    )


def require_room(definitions: Iterable[Definition], retention: Retention) -> None:
    """Raise SettingsError, with every definition whose history would be thrown away and the reason."""
    if retention.events is None:
        return
    short = [why for definition in definitions if (why := shortfall(definition, retention.events)) is not None]
    if short:
        raise SettingsError("\n".join(short))


def purge(store: Store, retention: Retention, now: datetime, rest: Callable[[float], object] = time.sleep) -> Iterator[Step]:
    """Throw away what is older than is kept; yield after each transaction. Raises SettingsError as `require_room` does.

    `rest` is called with seconds after each of them.
    """
    if retention.events is not None:
        until = _begin_calls(store, retention, now)
        yield from _rested(_purge_calls(store, until), rest)
    if retention.changes is not None:
        until = _begin(store, CHANGES, now - retention.changes)
        yield from _rested(_purge_changes(store, until), rest)
    if retention.rejected_calls is not None:
        until = _begin(store, REJECTED_CALLS, now - retention.rejected_calls)
        yield from _rested(_purge_rejected_calls(store, until), rest)


def outlook(store: Store, retention: Retention, now: datetime) -> list[Outlook]:
    """Work out what a purge would throw away; changes nothing. Raises SettingsError as `require_room` does."""
    found: list[Outlook] = []
    with store.reading() as connection:
        for table, span in ((CALLS, retention.events), (CHANGES, retention.changes), (REJECTED_CALLS, retention.rejected_calls)):
            if span is not None:
                until = _until_of_calls(connection, retention, now)[0] if table == CALLS else now - span
                found.append(Outlook(table=table, until=until, rows=purges.count_old(connection, table, until)))
    return found


def _begin(store: Store, table: str, until: datetime) -> datetime:
    store.write(lambda connection: purges.advance(connection, table, until))
    return until


def _begin_calls(store: Store, retention: Retention, now: datetime) -> datetime:
    def begun(connection: Connection) -> datetime:
        until, behind = _until_of_calls(connection, retention, now)
        purges.advance(connection, CALLS, until)
        purges.begin_anew(connection, [one.id for one in behind])
        return until

    return store.write(begun)


def _until_of_calls(connection: Connection, retention: Retention, now: datetime) -> tuple[datetime, list[Stored]]:
    """Return before which instant calls may go, and the definitions that were not computed past it."""
    standing = audiences.standing(connection)
    require_room([one.definition for one in standing], retention)
    assert retention.events is not None, "or nothing is to go"
    needs = [(one, needed) for one in standing if (needed := _needed_since(one)) is not None]
    latest = now - retention.events
    until = max(latest - GRACE, min([latest, *(needed for _, needed in needs)]))
    return until, [one for one, needed in needs if needed < until]


def _needed_since(stored: Stored) -> datetime | None:
    """Return after which instant a definition's next run needs events, to know whom to look at; None where it looks at everyone."""
    query = _parsed(stored.definition.kind, stored.definition.query)
    span = reach(query)
    if stored.computed_at is None or stored.basis is None or span is None or not reaches(query):
        return None
    return stored.computed_at - span


def _purge_calls(store: Store, until: datetime) -> Iterator[Step]:
    after = None
    while True:
        with store.reading() as connection:
            old = purges.old_calls(connection, until, after, AT_A_TIME)
        if not old:
            return

        def dropped(connection: Connection, old: list[purges.OldCall] = old) -> int:
            return purges.drop_calls(connection, old, until)

        yield Step(table=CALLS, rows=store.write(dropped))
        after = (old[-1].timestamp, old[-1].id)


def _purge_changes(store: Store, until: datetime) -> Iterator[Step]:
    after = None
    while True:
        with store.reading() as connection:
            old = purges.old_changes(connection, until, after, LOOKED_AT)
        if old is None:
            return
        for start in range(0, len(old.superseded), AT_A_TIME):
            some = old.superseded[start : start + AT_A_TIME]

            def dropped(connection: Connection, some: Sequence[purges.ChangeKey] = tuple(some)) -> int:
                return purges.drop_changes(connection, some)

            yield Step(table=CHANGES, rows=store.write(dropped))
        after = old.last


def _purge_rejected_calls(store: Store, until: datetime) -> Iterator[Step]:
    while rows := store.write(lambda connection: purges.drop_rejected_calls(connection, until, AT_A_TIME)):
        yield Step(table=REJECTED_CALLS, rows=rows)


def _rested(steps: Iterator[Step], rest: Callable[[float], object]) -> Iterator[Step]:
    started = time.monotonic()
    for step in steps:
        yield step
        rest(max(SHORTEST_REST, REST * (time.monotonic() - started)))
        started = time.monotonic()


@lru_cache(maxsize=1000)
def _parsed(kind: Kind, query: str) -> tree.Query:
    return parse_audience(query) if kind is Kind.AUDIENCE else parse_computed_trait(query)
