"""Receipts: what was done when somebody was forgotten, without a word about who it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, insert, select, update

from sync.store.schema import receipts


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """Proof of one forgetting."""

    id: int
    at: datetime
    digest: str
    """Of the user id (`sync.store.suppressions`)."""
    erased: Mapping[str, int]
    """How many rows, by table."""
    in_moesif: str | None
    """What Moesif answered; None where it was not asked."""


def write(connection: Connection, at: datetime, digest: str, erased: Mapping[str, int]) -> Receipt:
    """Keep a receipt; Moesif has not been asked yet."""
    values = {"at": at, "digest": digest, "erased": msgspec.json.encode(erased).decode()}
    id = connection.scalars(insert(receipts).values(**values).returning(receipts.c.id)).one()
    return Receipt(id=id, at=at, digest=digest, erased=erased, in_moesif=None)


def note(connection: Connection, id: int, in_moesif: str) -> None:
    """Add what Moesif answered."""
    connection.execute(update(receipts).where(receipts.c.id == id).values(in_moesif=in_moesif))


def latest(connection: Connection, digest: str) -> Receipt | None:
    """Return the latest receipt of somebody; None where only an anonymous id of theirs is suppressed."""
    statement = select(receipts).where(receipts.c.digest == digest).order_by(receipts.c.id.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    if row is None:
        return None
    erased = msgspec.json.decode(row.erased, type=dict[str, int])
    return Receipt(id=row.id, at=row.at, digest=row.digest, erased=erased, in_moesif=row.in_moesif)
