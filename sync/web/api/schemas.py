"""The shapes of answers, in JSON Schema. What is named here stays; more members may come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sync.json_value import Json

Schema = Mapping[str, Json]

TEXT: Final[Schema] = {"type": "string"}
MAYBE_TEXT: Final[Schema] = {"type": ["string", "null"]}
NUMBER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
MAYBE_COUNT: Final[Schema] = {"type": ["integer", "null"], "minimum": 0}
YES_OR_NO: Final[Schema] = {"type": "boolean"}
INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
MAYBE_INSTANT: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
ANYTHING: Final[Schema] = {}
OBJECT: Final[Schema] = {"type": "object"}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> dict[str, Json]:
    """Return the shape of an object."""
    properties: dict[str, Json] = {name: dict(schema) for name, schema in {**required, **(optional or {})}.items()}
    return {"type": "object", "properties": properties, "required": [*required]}


def several(item: Schema) -> dict[str, Json]:
    """Return the shape of a list."""
    return {"type": "array", "items": dict(item)}


def by_key(value: Schema) -> dict[str, Json]:
    """Return the shape of an object whose members are named by keys or traits."""
    return {"type": "object", "additionalProperties": dict(value)}


def ref(name: str) -> dict[str, Json]:
    """Return a reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(schema: Schema) -> dict[str, Json]:
    return {"anyOf": [dict(schema), {"type": "null"}]}


_DEFINITION: Final[Mapping[str, Schema]] = {
    "key": TEXT,
    "kind": {"type": "string", "enum": ["audience", "computed_trait"]},
    "name": TEXT,
    "description": TEXT,
    "query": TEXT,
    "schedule": TEXT,
    "guard": MAYBE_TEXT,
    "enabled": YES_OR_NO,
    "version": COUNT,
    "retired_at": MAYBE_INSTANT,
    "computed_at": MAYBE_INSTANT,
    "members": MAYBE_COUNT,
    "next_run_at": MAYBE_INSTANT,
    "owed": COUNT,
}
_SIZE: Final = record({"at": INSTANT, "members": COUNT})
_TOLD: Final[Mapping[str, Schema]] = {
    "since": MAYBE_INSTANT,
    "accepted": ANYTHING,
    "accepted_at": MAYBE_INSTANT,
    "state": MAYBE_TEXT,
    "reason": MAYBE_TEXT,
}
_CHANGE: Final = record({"key": TEXT, "kind": TEXT, "change": TEXT, "value": ANYTHING, "at": INSTANT, "run": COUNT})
_RUN_COUNTS: Final = ("members", "owed", "accepted", "rejected", "unknown", "held")
_ITEM: Final[Mapping[str, Schema]] = {
    "id": TEXT,
    "lane": {"type": "string", "enum": ["users", "actions", "companies"]},
    "state": TEXT,
    "attempts": COUNT,
    "next_try_at": MAYBE_INSTANT,
    "owed_since": MAYBE_INSTANT,
    "reason": MAYBE_TEXT,
    "what": TEXT,
}
_ITEM_OF_ONE_KIND: Final[Mapping[str, Schema]] = {
    "audience": TEXT,
    "user_id": TEXT,
    "value": ANYTHING,
    "since": INSTANT,
    "message_id": TEXT,
    "created_at": INSTANT,
}
_CURSOR: Final = record({"url": TEXT, "has_more": YES_OR_NO, "next": TEXT, "limit": COUNT})
_ID: Final[Mapping[str, Schema]] = {"collection": TEXT, "type": TEXT, "id": TEXT, "encoding": TEXT}

SCHEMAS: Final[Mapping[str, dict[str, Json]]] = {
    "Error": record({"success": {"const": False}, "code": TEXT, "message": TEXT, "error": TEXT}),
    "Alive": record({"alive": YES_OR_NO}),
    "Ready": record(
        {"ready": YES_OR_NO, "degraded": several(TEXT), "store": TEXT}, {"scheduler": TEXT, "spool": TEXT, "spooled_calls": COUNT}
    ),
    "ProfileError": record({"error": record({"code": TEXT, "message": TEXT})}),
    "Audience": record(_DEFINITION),
    "Audiences": record({"audiences": several(ref("Audience"))}),
    "AudienceShown": record(
        {**_DEFINITION, "slots_skipped": COUNT, "last_run": _maybe(ref("Run")), "reads": OBJECT, "history": several(_SIZE)},
    ),
    "Members": record(
        {
            "audience": TEXT,
            "at": MAYBE_INSTANT,
            "members": several(record({"user_id": TEXT, "since": INSTANT}, {"value": ANYTHING})),
            "next": MAYBE_COUNT,
        }
    ),
    "History": record({"audience": TEXT, "history": several(_SIZE)}),
    "Run": record(
        {
            "id": COUNT,
            "audience": TEXT,
            "kind": TEXT,
            "at": INSTANT,
            "started_at": INSTANT,
            "ended_at": MAYBE_INSTANT,
            "outcome": TEXT,
            **dict.fromkeys(_RUN_COUNTS, COUNT),
        },
        {"entered": COUNT, "exited": COUNT, "changed": COUNT, "error": TEXT},
    ),
    "Runs": record({"runs": several(ref("Run"))}),
    "SyncAsked": record({"audience": TEXT, "requested_at": INSTANT, "scheduler": TEXT, "see": TEXT}),
    "User": record(
        {
            "user_id": TEXT,
            "traits": OBJECT,
            "anonymous_ids": several(TEXT),
            "calls": COUNT,
            "first_seen_at": MAYBE_INSTANT,
            "last_seen_at": MAYBE_INSTANT,
            "audiences": by_key(record({"member": YES_OR_NO, **_TOLD})),
            "computed_traits": by_key(record({"value": ANYTHING, **_TOLD})),
            "changes": several(_CHANGE),
            "more_changes": YES_OR_NO,
        }
    ),
    "Condition": record({"text": TEXT, "value": ANYTHING, "evidence": OBJECT, "parts": several(ref("Condition"))}),
    "Explanation": record(
        {
            "audience": TEXT,
            "kind": TEXT,
            "user_id": TEXT,
            "at": INSTANT,
            "member": YES_OR_NO,
            "since": MAYBE_INSTANT,
            "next_change_at": MAYBE_INSTANT,
            "query": TEXT,
            "condition": ref("Condition"),
        },
        {"value": ANYTHING},
    ),
    "Deliveries": record(
        {
            "owed": COUNT,
            "unknown": COUNT,
            "rejected": COUNT,
            "lanes": several(
                record({"lane": TEXT, "paused_until": INSTANT, "reason": TEXT, "failures": COUNT, "key_refused": YES_OR_NO})
            ),
            "items": several(record(_ITEM, _ITEM_OF_ONE_KIND)),
        }
    ),
    "Delivery": record(
        _ITEM,
        {
            **_ITEM_OF_ONE_KIND,
            "bodies": several(OBJECT),
            "call": OBJECT,
            "accepted": ANYTHING,
            "accepted_at": MAYBE_INSTANT,
            "run": COUNT,
        },
    ),
    "RejectedCalls": record(
        {
            "rejected": COUNT,
            "numbers": several(record({"source": TEXT, "code": TEXT, "calls": COUNT})),
            "items": several(
                record({"id": COUNT, "source": TEXT, "received_at": INSTANT, "code": TEXT, "message": TEXT, "body": TEXT})
            ),
        }
    ),
    "Types": record(
        {"types": several(record({"lane": TEXT, "key": TEXT, "type": TEXT, "since": INSTANT})), "next": MAYBE_TEXT},
    ),
    "TypesForgotten": record({"forgotten": COUNT}),
    "Retried": record({"retried": COUNT, "calls": COUNT, "memberships": COUNT}),
    "Traits": record({"traits": OBJECT, "cursor": _CURSOR}),
    "ExternalIds": record(
        {"data": several(record({**_ID, "source_id": MAYBE_TEXT, "created_at": MAYBE_INSTANT})), "cursor": _CURSOR}
    ),
    "Events": record(
        {
            "data": several(
                record(
                    {
                        "type": TEXT,
                        "event": TEXT,
                        "message_id": TEXT,
                        "source_id": TEXT,
                        "timestamp": INSTANT,
                        "properties": OBJECT,
                        "context": OBJECT,
                        "external_ids": several(record(_ID)),
                        "related": OBJECT,
                    }
                )
            ),
            "cursor": _CURSOR,
        }
    ),
    "Metadata": record(
        {
            "created_at": INSTANT,
            "updated_at": INSTANT,
            "expires_at": MAYBE_INSTANT,
            "first_message_id": MAYBE_TEXT,
            "first_source_id": MAYBE_TEXT,
            "last_message_id": MAYBE_TEXT,
            "last_source_id": MAYBE_TEXT,
        }
    ),
}
