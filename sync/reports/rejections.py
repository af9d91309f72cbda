"""Calls that were refused, as programs are told."""

from __future__ import annotations

from collections.abc import Sequence

from sync.instant import iso
from sync.json_value import Json
from sync.store.rejections import Number, Rejection


def rejected_report(numbers: Sequence[Number], found: Sequence[Rejection]) -> dict[str, Json]:
    """Write how many there are of each source and code, and some of them."""
    counts: list[Json] = [{"source": one.source, "code": one.code, "calls": one.calls} for one in numbers]
    return {"rejected": sum(one.calls for one in numbers), "numbers": counts, "items": [_item(one) for one in found]}


def _item(one: Rejection) -> Json:
    return {
        "id": one.id,
        "source": one.source,
        "received_at": iso(one.received_at),
        "code": one.code,
        "message": one.message,
        "body": one.body,
    }
