"""One request to the collector, answered as Moesif documents it, or as the stand-in has been told to.

Knows headers, bodies and status codes. Does not know sockets: it says what to put on one.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sync.json_value import Json, decode, encode
from sync.settings import Secret
from sync.standin.faults import Fault, Faults
from sync.standin.holdings import Holdings, Refused

BATCH_BYTES: Final = 15_000_000
"""Moesif's limit for a batch of actions, and the lowest that it documents. Counted without compression."""
ITEM_BYTES: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What to answer, and how."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    """How to send it, where the script says something of that."""


class Collector:
    """Answers requests to `/v1/{users,actions,companies}` and `…/batch`. Safe to share among threads."""

    def __init__(self, holdings: Holdings, faults: Faults, application_id: str | None) -> None:
        """Without an application id any will do, as long as there is one."""
        self._holdings = holdings
        self._faults = faults
        self._application_id = None if application_id is None else Secret(application_id)

    def answer(self, lane: str, body: bytes, *, key: str | None, encoding: str, batch: bool) -> Reply:
        """Take a request and return the answer, late if the script says so.

        `key` and `encoding` are the headers `X-Moesif-Application-Id` and `Content-Encoding`.
        """
        arrived = time.monotonic()
        self._holdings.asked(lane)
        items: list[Json] = []
        refusal: Reply | None = None
        try:
            items = _items(body, encoding.strip().lower(), batch=batch)
        except _Unreadable as error:
            refusal = _refusal(error.status, str(error))
        if not self._knows(key):
            refusal = _refusal(401, "the application id is missing or unknown")
        fault = self._faults.next(lane, _subjects(items))
        if fault is None:
            return refusal or self._take(lane, items, arrived)
        return as_told(fault, refusal or self._take_as_told(fault, lane, items, arrived))

    def _knows(self, key: str | None) -> bool:
        if not key or self._application_id is None:
            return bool(key)
        return self._application_id.is_same(Secret(key))

    def _take(self, lane: str, items: list[Json], arrived: float) -> Reply:
        try:
            self._holdings.take(lane, items, arrived)
        except Refused as refused:
            return _refusal(400, str(refused))
        return Reply(status=201, body=b"{}")

    def _take_as_told(self, fault: Fault, lane: str, items: list[Json], arrived: float) -> Reply:
        if fault.applied:
            reply = self._take(lane, items, arrived)
            time.sleep(fault.delay_seconds)
            return reply
        time.sleep(fault.delay_seconds)
        if fault.close == "before" or fault.status is not None:
            return Reply(status=fault.status or 503)
        return self._take(lane, items, arrived)


class _Unreadable(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _items(body: bytes, encoding: str, *, batch: bool) -> list[Json]:
    data = _plain(body, encoding)
    try:
        value = decode(data)
    except ValueError:
        raise _Unreadable(400, "the body is not JSON") from None
    if batch and not isinstance(value, list):
        raise _Unreadable(400, "a batch must be an array")
    items = value if batch and isinstance(value, list) else [value]
    if len(data) > ITEM_BYTES and any(len(encode(item)) > ITEM_BYTES for item in items):
        raise _Unreadable(413, "an item is larger than 1 MB")
    return items


def _plain(body: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        data = body
    elif encoding == "gzip":
        data = _unpacked(body)
    else:
        raise _Unreadable(415, "this content encoding is not known")
    if len(data) > BATCH_BYTES:
        raise _Unreadable(413, "the batch is larger than 15 MB")
    return data


def _unpacked(body: bytes) -> bytes:
    unpack = zlib.decompressobj(wbits=31)
    try:
        data = unpack.decompress(body, BATCH_BYTES + 1)
    except zlib.error:
        raise _Unreadable(400, "the body is not gzip") from None
    if not unpack.eof and len(data) <= BATCH_BYTES:
        raise _Unreadable(400, "the body is not whole")
    return data


def _subjects(items: list[Json]) -> frozenset[str]:
    ids = (item.get(key) for item in items if isinstance(item, dict) for key in ("user_id", "company_id"))
    return frozenset(found for found in ids if isinstance(found, str))


def _refusal(status: int, message: str) -> Reply:
    return Reply(status=status, body=encode({"message": message}).encode())


def as_told(fault: Fault, usual: Reply) -> Reply:
    """Return what to answer instead of the usual, and how to send it."""
    said = {"Content-Type": fault.content_type, "Retry-After": fault.retry_after, "Location": fault.location}
    return Reply(
        status=fault.status or usual.status,
        body=fault.body.encode() if fault.body is not None else usual.body,
        headers={name: str(value) for name, value in said.items() if value is not None},
        fault=fault,
    )
