"""The JSON types that Moesif holds metadata keys to: of each lane's keys, the one that was accepted first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, or_, select

from sync.delivery import Lane
from sync.store.dialect import upsert
from sync.store.listed import among
from sync.store.schema import metadata_types


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyType:
    """A key, dotted where it lies within objects, and its type."""

    lane: Lane
    key: str
    type: str
    since: datetime


MOST: Final = 20_000
"""Keys of one lane. There are more only where ids were made keys; those beyond bind nobody."""


def known(connection: Connection, lane: Lane, keys: Collection[str]) -> dict[str, str]:
    """Return the types of those keys that have one."""
    m = metadata_types.c
    found = select(m.key, m.type).where(m.lane == lane.value, among(m.key, keys))
    return dict(connection.execute(found).all())


def learn(connection: Connection, lane: Lane, types: Mapping[str, str], now: datetime, most: int = MOST) -> None:
    """Keep the types of keys that have none yet, until a lane has so many keys."""
    # In one order, so that two writers never wait for each other.
    rows = [{"lane": lane.value, "key": key, "type": type, "since": now} for key, type in sorted(types.items())]
    if rows and not _is_full(connection, lane, most):
        connection.execute(upsert(connection, metadata_types).on_conflict_do_nothing(), rows)


def listed(connection: Connection, lane: Lane | None = None, after: str | None = None, limit: int | None = None) -> list[KeyType]:
    """Return the keys of one lane, those that come after one, or of all lanes; in order."""
    m = metadata_types.c
    statement = select(metadata_types).order_by(m.lane, m.key).limit(limit)
    statement = statement if lane is None else statement.where(m.lane == lane.value)
    rows = connection.execute(statement if after is None else statement.where(m.key > after))
    return [KeyType(lane=Lane(row.lane), key=row.key, type=row.type, since=row.since) for row in rows]


def forget(connection: Connection, lane: Lane, key: str) -> int:
    """Hold a key, and what lies within it, to no type any more; return how many keys had one."""
    m = metadata_types.c
    within = m.key.startswith(f"{key}.", autoescape=True)
    return connection.execute(delete(metadata_types).where(m.lane == lane.value, or_(m.key == key, within))).rowcount


def forget_naming(connection: Connection, ids: frozenset[str]) -> None:
    """Forget the keys of which an id is a part: somebody made it one."""
    dotted = [id for id in ids if "." in id]
    for lane in Lane:
        keys = connection.scalars(select(metadata_types.c.key).where(metadata_types.c.lane == lane.value))
        found = [key for key in keys if not ids.isdisjoint(key.split(".")) or any(f".{id}." in f".{key}." for id in dotted)]
        gone = delete(metadata_types).where(metadata_types.c.lane == lane.value, among(metadata_types.c.key, found))
        connection.execute(gone)


def _is_full(connection: Connection, lane: Lane, most: int) -> bool:
    kept = select(metadata_types.c.key).where(metadata_types.c.lane == lane.value)
    return connection.execute(kept.order_by(metadata_types.c.key).offset(most - 1).limit(1)).first() is not None
