"""The JSON types that Moesif holds metadata keys to, as programs are told."""

from __future__ import annotations

from sync.delivery import Lane
from sync.errors import NotFound
from sync.instant import iso
from sync.json_value import Json
from sync.store import metadata_types
from sync.store.lookup import Connection
from sync.store.metadata_types import KeyType


def item(one: KeyType) -> Json:
    """Write one key."""
    return {"lane": one.lane.value, "key": one.key, "type": one.type, "since": iso(one.since)}


def page(connection: Connection, lane: Lane, after: str | None, limit: int) -> Json:
    """Write the keys of a lane that come after one, and where the next page begins."""
    found = metadata_types.listed(connection, lane, after, limit + 1)
    return {"types": [item(one) for one in found[:limit]], "next": found[limit - 1].key if len(found) > limit else None}


def forgotten(connection: Connection, lane: Lane, key: str) -> dict[str, int]:
    """Hold a key to no type any more, and write how many that were, those within it among them. Raises NotFound."""
    gone = metadata_types.forget(connection, lane, key)
    if not gone:
        raise NotFound(f"no metadata key {key!r} has a type on the lane {lane}; `personas-sync types --lane {lane}` lists them")
    return {"forgotten": gone}
