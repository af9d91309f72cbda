"""Suppressions: who is never to be known again, as digests from which nobody can be named.

A digest is the HMAC-SHA256 of an id with a salt that is made once and stays in the store; whoever has the store can ask whether a
given id is among them, and cannot list them. A user id and an anonymous id that are spelt alike are one.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select

from sync.call import Call, RejectedCall
from sync.json_value import decode
from sync.store.dialect import upsert
from sync.store.prepared import Prepared
from sync.store.profiles import portions
from sync.store.schema import salts, suppressions

SALT_BYTES: Final = 32


def add(connection: Connection, ids: Iterable[str], now: datetime) -> None:
    """Suppress every call about these ids from now on."""
    salt = _made_salt(connection)
    rows = [{"digest": digest, "at": now} for digest in sorted({_digest(salt, id) for id in ids})]
    for some in portions(rows):
        connection.execute(upsert(connection, suppressions).on_conflict_do_nothing(), some)


def digest(connection: Connection, id: str) -> str | None:
    """Return the digest of an id that is suppressed; None of any other."""
    salt = _salt(connection)
    found = None if salt is None else _among(connection, [_digest(salt, id)])
    return next(iter(found), None) if found else None


def without(connection: Connection, batch: Sequence[tuple[str, Call]], found: Sequence[tuple[str]]) -> Sequence[tuple[str, Call]]:
    """Leave out the calls that name somebody who is suppressed, by user id, anonymous id or previous id.

    `found` is what `SALT_IN_USE` was answered by.
    """
    salt = _read(found)
    if salt is None:
        return batch
    return [batch[index] for index in _unsuppressed(connection, salt, [_ids(call) for _, call in batch])]


def without_rejected(connection: Connection, batch: Sequence[tuple[str, RejectedCall]]) -> Sequence[tuple[str, RejectedCall]]:
    """Leave out the rejected calls in which somebody who is suppressed is named."""
    salt = _salt(connection) if batch else None
    if salt is None:
        return batch
    return [batch[index] for index in _unsuppressed(connection, salt, [set(quoted(refused.body)) for _, refused in batch])]


def quoted(text: str) -> Iterator[str]:
    """Yield the strings of what is JSON or was to be, and the numbers in fields whose names end in `id`, which may be ids."""
    for found in _STRING.finditer(text):
        string = _unescaped(found["string"])
        yield string
        if found["number"] and string.lower().endswith("id"):
            yield found["number"]


_STRING: Final = re.compile(r'"(?P<string>[^"\\]*(?:\\.[^"\\]*)*)"(?:\s*:\s*(?P<number>-?[0-9]+)(?![\w.]))?', re.DOTALL)


def _unescaped(string: str) -> str:
    if "\\" not in string:
        return string
    try:
        return str(decode(f'"{string}"'))
    except ValueError:
        return string


def _ids(call: Call) -> set[str]:
    return {id for id in (call.user_id, call.anonymous_id, call.previous_id) if id}


def _unsuppressed(connection: Connection, salt: bytes, named: Sequence[Collection[str]]) -> list[int]:
    """Return the positions at which nobody is named who is suppressed."""
    digests = {id: _digest(salt, id) for ids in named for id in ids}
    known = _among(connection, digests.values())
    return [index for index, ids in enumerate(named) if not any(digests[id] in known for id in ids)]


def _among(connection: Connection, digests: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for some in portions(sorted(set(digests))):
        found.update(connection.scalars(select(suppressions.c.digest).where(suppressions.c.digest.in_(some))))
    return found


def _salt(connection: Connection) -> bytes | None:
    """Return the salt; None where nobody is suppressed, which is all that most batches need to know."""
    return _read(SALT_IN_USE.rows(connection))


def _read(found: Sequence[tuple[str]]) -> bytes | None:
    return bytes.fromhex(found[0][0]) if found else None


SALT_IN_USE: Final = Prepared(select(salts.c.salt).where(salts.c.id == 1, select(suppressions.c.digest).exists()))


def _made_salt(connection: Connection) -> bytes:
    found = connection.scalars(select(salts.c.salt).where(salts.c.id == 1)).one_or_none()
    if found is None:
        fresh = upsert(connection, salts).values(id=1, salt=secrets.token_hex(SALT_BYTES))
        connection.execute(fresh.on_conflict_do_nothing())
        found = connection.scalars(select(salts.c.salt).where(salts.c.id == 1)).one()
    return bytes.fromhex(found)


def _digest(salt: bytes, id: str) -> str:
    # An id that came with half a surrogate pair has its digest, too.
    return hmac.digest(salt, id.encode("utf-8", "surrogatepass"), "sha256").hex()
