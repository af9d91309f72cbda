"""Deliveries, as programs are told: what is owed, what is unknown or rejected and why; and which of them to owe again.

A delivery's id is `call-N`, a forwarded call in the queue, or `ledger-N-N`, the value of one audience for one profile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from sync.call import dump
from sync.delivery import Lane, State
from sync.errors import InputError, NotFound
from sync.instant import iso, optional_iso
from sync.json_value import Json, decode
from sync.payload import Mapping as Choices
from sync.payload import bodies
from sync.store import leases, ledger, lookup, queue
from sync.store.leases import Pause
from sync.store.lookup import Connection, LedgerRow
from sync.store.queue import Listed
from sync.store.retry import Retried, Selection

ORDER: Final = (State.REJECTED, State.UNKNOWN, State.SENDING, State.OWED)
"""What a person must look at first, then what takes care of itself."""

_CALL: Final = re.compile(r"call-([0-9]{1,18})")
_RANGE: Final = re.compile(r"call-([0-9]{1,18})\.\.(?:call-)?([0-9]{1,18})")
_LEDGER: Final = re.compile(r"ledger-([0-9]{1,18})-([0-9]{1,18})")

DeliveryId: TypeAlias = int | tuple[int, int]
"""Of a forwarded call, or audience and profile of a row of the ledger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliveries:
    """What Moesif has not accepted: counts of all, and some of them."""

    owed: int
    """What is on the way included."""
    unknown: int
    rejected: int
    pauses: Mapping[Lane, Pause]
    items: Sequence[dict[str, Json]]

    def report(self) -> dict[str, Json]:
        """Write it as JSON."""
        lanes: list[Json] = [_lane_report(pause) for pause in self.pauses.values()]
        counts: dict[str, Json] = {"owed": self.owed, "unknown": self.unknown, "rejected": self.rejected}
        return {**counts, "lanes": lanes, "items": [*self.items]}


def deliveries(connection: Connection, states: Sequence[State], limit: int) -> Deliveries:
    """Return up to so many of the given states, in their order, and the counts of all."""
    counts = [*queue.states(connection).items(), *ledger.states(connection).items()]
    totals = {one: sum(number for (_, state), number in counts if state == one.value) for one in State}
    pauses = leases.pauses(connection)
    return Deliveries(
        owed=totals[State.OWED] + totals[State.SENDING],
        unknown=totals[State.UNKNOWN],
        rejected=totals[State.REJECTED],
        pauses=pauses,
        items=_items(connection, states, limit, pauses),
    )


def parsed(id: str) -> DeliveryId:
    """Read a delivery's id. Raises InputError."""
    if found := _CALL.fullmatch(id):
        return int(found[1])
    if found := _LEDGER.fullmatch(id):
        return int(found[1]), int(found[2])
    raise InputError(f"{id!r} is no id of a delivery; they look like call-17 and ledger-3-42, and `deliveries` lists them")


def delivery(connection: Connection, id: DeliveryId, choices: Choices) -> dict[str, Json]:
    """Write one with what would be sent. Raises NotFound."""
    return _call_report(connection, id, choices) if isinstance(id, int) else _ledger_report(connection, *id)


def chosen(
    connection: Connection,
    ids: Sequence[str],
    choices: Choices,
    *,
    reason: str | None,
    since: datetime | None,
    until: datetime | None,
    everything: bool,
) -> Selection:
    """Return which rejected deliveries are meant: by id or range of ids, by condition, or all. Raises InputError and NotFound."""
    by_condition = reason is not None or since is not None or until is not None
    if (bool(ids), by_condition, everything).count(True) != 1:
        raise InputError("say what to retry: either ids, or a reason, since and until, or all")
    if since is not None and until is not None and until <= since:
        raise InputError("until must be later than since")
    if not ids:
        return Selection(reason=reason, since=since, until=until)
    ranges = tuple((int(found[1]), int(found[2])) for id in ids if (found := _RANGE.fullmatch(id)))
    known = [parsed(id) for id in ids if not _RANGE.fullmatch(id)]
    for id in known:
        delivery(connection, id, choices)
    calls = tuple(id for id in known if isinstance(id, int))
    return Selection(calls=calls, call_ranges=ranges, memberships=tuple(id for id in known if not isinstance(id, int)))


def retried_report(done: Retried) -> dict[str, Json]:
    """Write how many are owed again."""
    return {"retried": done.calls + done.memberships, "calls": done.calls, "memberships": done.memberships}


def _items(connection: Connection, states: Sequence[State], limit: int, pauses: Mapping[Lane, Pause]) -> list[dict[str, Json]]:
    found: list[dict[str, Json]] = []
    for state in states:
        users = pauses.get(Lane.USERS)
        rows = lookup.ledger_rows(connection, state, limit - len(found)) if len(found) < limit else []
        found += [_ledger_item(row, users) for row in rows]
        calls = queue.listed(connection, state, limit - len(found)) if len(found) < limit else []
        found += [_call_item(one, pauses.get(Lane(one.lane))) for one in calls]
    return found


def _ledger_item(row: LedgerRow, pause: Pause | None) -> dict[str, Json]:
    value = None if row.value is None else decode(row.value)
    return {
        "id": f"ledger-{row.audience_id}-{row.profile_id}",
        "lane": "users",
        "state": row.state,
        "attempts": row.attempts,
        "next_try_at": _next_try(row.state, pause),
        "owed_since": optional_iso(row.owed_since),
        "reason": row.reason,
        "what": f"{row.key} = {row.value} for {row.user_id}",
        "audience": row.key,
        "user_id": row.user_id,
        "value": value,
        "since": iso(row.since),
    }


def _call_item(one: Listed, pause: Pause | None) -> dict[str, Json]:
    about = f" for {one.subject}" if one.subject else ""
    return {
        "id": f"call-{one.id}",
        "lane": one.lane,
        "state": one.state,
        "attempts": one.attempts,
        "next_try_at": _next_try(one.state, pause),
        "owed_since": iso(one.created_at),
        "reason": one.reason,
        "what": f"{one.call_type}{f' {one.event}' if one.event else ''}{about}",
        "message_id": one.message_id,
        "created_at": iso(one.created_at),
    }


def _next_try(state: str, pause: Pause | None) -> str | None:
    """Return when it is tried again; null where nothing stands in the way, or nobody will."""
    return iso(pause.until) if pause is not None and state in ("owed", "unknown") else None


def _lane_report(pause: Pause) -> dict[str, Json]:
    return {
        "lane": pause.lane.value,
        "paused_until": iso(pause.until),
        "reason": pause.reason,
        "failures": pause.failures,
        "key_refused": pause.key_refused,
    }


def _call_report(connection: Connection, number: int, choices: Choices) -> dict[str, Json]:
    found = queue.find(connection, number)
    if found is None:
        raise NotFound(f"there is no delivery call-{number}: it was accepted, or never was; `personas-sync deliveries` lists them")
    row, call = found
    item = _call_item(row, leases.pauses(connection).get(Lane(row.lane)))
    sent: list[Json] = [body.document for body in bodies(call, choices) if body.lane.value == row.lane]
    return {**item, "bodies": sent, "call": dump(call)}


def _ledger_report(connection: Connection, audience_id: int, profile_id: int) -> dict[str, Json]:
    row = lookup.ledger_row(connection, audience_id, profile_id)
    item = _ledger_item(row, leases.pauses(connection).get(Lane.USERS))
    return {
        **item,
        "accepted": None if row.accepted is None else decode(row.accepted),
        "accepted_at": optional_iso(row.accepted_at),
        "run": row.run_id,
    }
