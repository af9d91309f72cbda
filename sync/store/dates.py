"""The dates in traits, computed traits, properties and contexts, kept apart so that "of whom was a date passed" is an index scan.

What a date is, `sync.language.dates` knows. A row may outlive what it was found in only by naming a user once too often, which
costs a look at that user and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from sqlalchemy import Connection, FromClause, delete, select, true, tuple_

from sync.call import Call
from sync.json_value import Json, decode
from sync.language.dates import LONGEST_KEY, dates_below, may_hold_dates
from sync.store import bulk
from sync.store.dialect import upsert
from sync.store.schema import dates

Found: TypeAlias = tuple[str, str, str, int, int]
"""A row: place, event, key, instant in microseconds, profile id."""

TRAIT: Final = "trait"
PROPERTY: Final = "property"
CONTEXT: Final = "context"
COMPUTED: Final = "computed"
"""Where a date stands; the last is the value of a computed trait."""

AT_A_TIME: Final = 1000

_TYPES: Final = {column.name: type(column.type) for column in dates.columns}


def of_traits(profile_id: int, traits: Mapping[str, Json]) -> Iterator[Found]:
    """Yield the rows for the dates among a profile's traits."""
    return ((TRAIT, "", key, at, profile_id) for key, at in dates_below(traits))


def of_call(call: Call, profile_id: int, properties: str, context: str) -> Iterator[Found]:
    """Yield the rows for the dates in a call, of which two documents are given as text too; none where it is no event."""
    if call.event is None:
        return
    for place, document, text in ((PROPERTY, call.properties, properties), (CONTEXT, call.context, context)):
        if may_hold_dates(text):
            for key, at in dates_below(document):
                yield place, call.event, key, at, profile_id


def add(connection: Connection, found: Iterable[Found]) -> None:
    """Keep rows; what is there already stays once."""
    rows = list(found)
    if rows:
        new = _given(connection, rows)
        # Ordered, since two writers that insert the same rows in different orders would wait for each other for ever; and with a
        # condition that always holds: SQLite cannot parse INSERT … SELECT … ON CONFLICT without one.
        ordered = select(*new.c).where(true()).order_by(*new.c)
        connection.execute(upsert(connection, dates).from_select(list(_TYPES), ordered).on_conflict_do_nothing())


def replace_traits(connection: Connection, changed: Iterable[tuple[int, Mapping[str, Json], Mapping[str, Json]]]) -> None:
    """Take the dates anew of (profile id, traits, what was kept before of those that changed)."""
    gone: set[Found] = set()
    come: list[Found] = []
    for id, traits, before in changed:
        come += of_traits(id, {key: traits[key] for key in before})
        if held := {*of_traits(id, before)}:
            # Keys that are cut may be one.
            gone |= held.difference(of_traits(id, traits))
    if gone:
        old = _given(connection, gone)
        connection.execute(delete(dates).where(tuple_(*dates.c).in_(select(*old.c))))
    add(connection, come)


def replace_values(connection: Connection, key: str, changed: FromClause, told: Mapping[str, str]) -> None:
    """Take the dates anew of a computed trait's values, of which (profile_id, value as JSON) have changed.

    `told` is what a statement that has those rows in it is to be told.
    """
    its = (dates.c.place == COMPUTED, dates.c.event == "", dates.c.key == key[:LONGEST_KEY])
    connection.execute(delete(dates).where(*its, dates.c.profile_id.in_(select(changed.c.profile_id))), told)
    # Only what can hold a date is read: a million counts are none.
    likely = select(changed.c.profile_id, changed.c.value).where(changed.c.value.like("%-__-%"))
    for some in connection.execute(likely, told).partitions(AT_A_TIME):
        found = [(id, date) for id, value in some for date in dates_below({key: decode(value)})]
        add(connection, [(COMPUTED, "", name, at, id) for id, (name, at) in found])


def move(connection: Connection, moved: FromClause) -> None:
    """Give the dates of calls of (loser, winner) to another profile; those of its traits went with the traits."""
    columns = [dates.c.place, dates.c.event, dates.c.key, dates.c.at, moved.c.winner]
    theirs = select(*columns).where(dates.c.profile_id == moved.c.loser, dates.c.place != TRAIT)
    connection.execute(upsert(connection, dates).from_select(list(_TYPES), theirs).on_conflict_do_nothing())
    connection.execute(delete(dates).where(dates.c.profile_id.in_(select(moved.c.loser))))


def _given(connection: Connection, rows: Iterable[Found]) -> FromClause:
    return bulk.given(connection, [dict(zip(_TYPES, row, strict=True)) for row in rows], _TYPES)
