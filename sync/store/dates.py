"""The dates in traits, computed traits, properties and contexts, kept apart so that "of whom was a date passed" is an index scan.

What a date is, `sync.language.dates` knows. A row may outlive what it was found in only by naming a user once too often, which
costs a look at that user and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, FromClause, delete, select, true, tuple_

from sync.call import Call
from sync.json_value import Json, decode
from sync.language.dates import LONGEST_KEY, dates_below, may_hold_dates
from sync.store import listed
from sync.store.dialect import upsert
from sync.store.prepared import Prepared
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


def of_call(call: Call, profile_id: int, properties: str, context: str) -> list[Found]:
    """Return the rows for the dates in a call, of which two documents are given as text too; none where it is no event."""
    found: list[Found] = []
    event = call.event
    if event is None:
        return found
    if may_hold_dates(properties):
        found += [(PROPERTY, event, key, at, profile_id) for key, at in dates_below(call.properties)]
    if may_hold_dates(context):
        found += [(CONTEXT, event, key, at, profile_id) for key, at in dates_below(call.context)]
    return found


def add(connection: Connection, found: Iterable[Found]) -> None:
    """Keep rows; what is there already stays once."""
    rows = list(found)
    if rows:
        _adding(connection.dialect.name).execute(connection, found=_told(rows))


def of_changed(connection: Connection, changed: Iterable[tuple[int, Mapping[str, Json], Mapping[str, Json]]]) -> list[Found]:
    """Return the rows for what changed of (profile id, traits, what was kept before of those that changed).

    What no longer stands there is taken away.
    """
    gone: set[Found] = set()
    come: list[Found] = []
    for id, traits, before in changed:
        come += of_traits(id, {key: traits[key] for key in before})
        if held := {*of_traits(id, before)}:
            # Keys that are cut may be one.
            gone |= held.difference(of_traits(id, traits))
    if gone:
        _REMOVED.execute(connection, found=_told(gone))
    return come


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


def of_merged(connection: Connection, winners: Mapping[int, int]) -> list[Found]:
    """Take away the rows of profiles that were merged, by id, and return those for the winners that their calls are now of.

    The dates of their traits went with the traits.
    """
    if not winners:
        return []
    gone: Sequence[Any] = _TAKEN.execute(connection, losers=listed.values(winners)).all()
    return [(place, event, key, at, winners[loser]) for place, event, key, at, loser in gone if place != TRAIT]


_FOUND: Final = listed.rows("found", _TYPES)
_REMOVED: Final = Prepared(delete(dates).where(tuple_(*dates.c).in_(select(*_FOUND.c))))
_TAKEN: Final = Prepared(delete(dates).where(listed.one_of(dates.c.profile_id, "losers")).returning(*dates.c))


@lru_cache
def _adding(database: str) -> Prepared:
    # Ordered, since two writers that insert the same rows in different orders would wait for each other for ever; and with a
    # condition that always holds: SQLite cannot parse INSERT … SELECT … ON CONFLICT without one.
    ordered = select(*_FOUND.c).where(true()).order_by(*_FOUND.c)
    return Prepared(upsert(database, dates).from_select(list(_TYPES), ordered).on_conflict_do_nothing())


def _told(rows: Iterable[Found]) -> str:
    return listed.documents(dict(zip(_TYPES, row, strict=True)) for row in rows)
