"""An audience update is a Segment call like any other: it takes the same road to Moesif as what a source sent.

Knows the envelope that Segment's Engage gives its audience traffic ("Using Engage Data", read 2025-11). Does not know the
ledger, nor who is a member of what.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sync.call import Call, CallType
from sync.json_value import Json, encode
from sync.payload.bodies import MOESIF, Mapping, bodies

_NAMESPACE: Final = uuid.UUID("b4e181cf-b081-4530-8f23-d32489501b43")


class ComputationClass(StrEnum):
    """What Segment calls the two kinds of computation."""

    AUDIENCE = "audience"
    TRAIT = "trait"


@dataclass(frozen=True, kw_only=True, slots=True)
class Computation:
    """What an update is about: one audience or computed trait."""

    kind: ComputationClass
    key: str
    id: str
    space_id: str
    """Also sent as `namespace`; Segment gives both the same value."""


def membership_call(computation: Computation, *, user_id: str, value: Json, since: datetime, at: datetime) -> Call:
    """Return the identify call that tells what a computation's value is for a user.

    An audience's value is True or False; None stands for nothing that can be sent, since Moesif has no way to unset a key.
    `since` is when the value became this one, and settles the message id together with user, key and value: what is sent
    again is the same message. `at` is when the update is made. It becomes `modified_time`, and is not `since`, because Moesif
    documents that it refuses what is older than thirty days and a resync tells of memberships older than that.
    """
    return Call(
        type=CallType.IDENTIFY,
        message_id=_message_id(computation.key, user_id, value, since),
        user_id=user_id,
        timestamp=at,
        received_at=at,
        properties={computation.key: value},
        context={"personas": _personas(computation)},
        integrations={"All": False, MOESIF: True},
    )


def telling(computation: Computation, value: Json, at: datetime, mapping: Mapping) -> dict[str, Json]:
    """Return what a value's update says at Moesif, whoever it is about: the body of its call, without `user_id`.

    Of a million users who enter an audience, it is the same a million times.
    """
    call = membership_call(computation, user_id=_ANYBODY, value=value, since=at, at=at)
    document = dict(bodies(call, mapping)[0].document)
    del document["user_id"]
    return document


_ANYBODY: Final = "anybody"


def merge(first: dict[str, Json], second: dict[str, Json]) -> dict[str, Json]:
    """Return the one document that does to a profile what the two would do in turn.

    The rule is Moesif's own: objects are merged at every depth, anything else that stands in `second` replaces what stood in
    `first`, arrays whole. Both must be about the same user or company. Neither is changed.
    """
    merged = dict(first)
    for key, value in second.items():
        before = merged.get(key)
        merged[key] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _message_id(key: str, user_id: str, value: Json, since: datetime) -> str:
    name = encode([user_id, key, value, since.isoformat()])
    return f"personas_{uuid.uuid5(_NAMESPACE, name)}"


def _personas(computation: Computation) -> dict[str, Json]:
    return {
        "computation_class": str(computation.kind),
        "computation_id": computation.id,
        "computation_key": computation.key,
        "namespace": computation.space_id,
        "space_id": computation.space_id,
    }
