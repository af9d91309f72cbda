"""The dates in traits, computed traits, properties and contexts, kept apart so that "of whom was a date passed" is an index scan.

What a date is, `sync.language.dates` knows. A row may outlive what it was found in only by naming a user once too often, which
costs a look at that user and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, FromClause, and_, bindparam, delete, literal, select, true

from sync.json_value import Json, decode
from sync.language.dates import LONGEST_KEY, dates_below
from sync.store.dialect import upsert
from sync.store.schema import dates

Found: TypeAlias = dict[str, Any]

TRAIT: Final = "trait"
PROPERTY: Final = "property"
CONTEXT: Final = "context"
COMPUTED: Final = "computed"
"""Where a date stands; the last is the value of a computed trait."""

AT_A_TIME: Final = 1000

_NAMES: Final = ("place", "event", "key", "at", "profile_id")


def of_traits(profile_id: int, traits: Mapping[str, Json]) -> Iterator[Found]:
    """Yield the rows for the dates among a profile's traits."""
    return (_row(TRAIT, "", date, profile_id) for date in dates_below(traits))


def of_call(row: Mapping[str, Any]) -> Iterator[Found]:
    """Yield the rows for the dates in a row of `calls`; none where the call is no event."""
    if row["event"] is None:
        return
    for place, document in ((PROPERTY, row["properties"]), (CONTEXT, row["context"])):
        for date in dates_below(document):
            yield _row(place, row["event"], date, row["profile_id"])


def add(connection: Connection, found: Sequence[Found]) -> None:
    """Keep rows; what is there already stays once."""
    if found:
        connection.execute(upsert(connection, dates).on_conflict_do_nothing(), sorted(found, key=_in_order))


def replace_traits(connection: Connection, changed: Sequence[tuple[int, Mapping[str, Json], set[str]]]) -> None:
    """Take the dates anew of (profile id, traits, keys that changed)."""
    gone = delete(dates).where(
        dates.c.profile_id == bindparam("whose"), dates.c.place == TRAIT, dates.c.event == "", dates.c.key == bindparam("which")
    )
    keys = [{"whose": id, "which": key} for id, _, news in changed for key in sorted(news)]
    if keys:
        connection.execute(gone, keys)
    add(connection, [row for id, traits, news in changed for row in of_traits(id, {key: traits[key] for key in news})])


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
        add(connection, [_row(COMPUTED, "", date, id) for id, date in found])


def move(connection: Connection, loser: int, winner: int | None) -> None:
    """Give the dates of an anonymous profile's calls to a user's; those of its traits went with the traits."""
    columns = [dates.c.place, dates.c.event, dates.c.key, dates.c.at, literal(winner)]
    # A condition that always holds: SQLite cannot parse INSERT … SELECT … ON CONFLICT without one.
    theirs = select(*columns).where(and_(dates.c.profile_id == loser, dates.c.place != TRAIT, true()))
    connection.execute(upsert(connection, dates).from_select(list(_NAMES), theirs).on_conflict_do_nothing())
    connection.execute(delete(dates).where(dates.c.profile_id == loser))


def _row(place: str, event: str, date: tuple[str, int], profile_id: int) -> Found:
    return {"place": place, "event": event, "key": date[0], "at": date[1], "profile_id": profile_id}


def _in_order(row: Found) -> tuple[Any, ...]:
    # Two writers that insert the same rows in different orders would wait for each other for ever.
    return tuple(row[name] for name in _NAMES)
