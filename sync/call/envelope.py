"""What calls come in: one call, a batch of them, or a line of a file.

A batch is split into its items before any item is looked at, so that one item that is not even JSON by our rules (a lone surrogate,
1e400, NaN, brackets a thousand deep) is rejected alone and its neighbours are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import uuid4

import msgspec

from sync.call.bounds import CALL_BYTES, check_bounds, surely_within_bounds
from sync.call.instants import instant_or_none
from sync.call.invalid import InvalidCall
from sync.call.parsing import NO_DEFAULTS, Defaults, parse
from sync.call.records import Call, CallType, RejectedCall
from sync.json_value import Json, decode

BATCH_CALLS: Final = 2500
"""Segment's limit for one batch (HTTP API, 2025-11)."""
_MERGED_BYTES: Final = 5 * 1024 * 1024
"""What a batch's context may grow to once it is merged into every item: a small body must not become a huge one."""

_BOM: Final = b"\xef\xbb\xbf"
_WRITE_KEY: Final = re.compile(rb'("writeKey"\s*:\s*)"[^"\\]*+(?:\\.?[^"\\]*+)*+"', re.DOTALL)
# An unclosed string is taken to the end, so that no quote is looked at twice: the scan is linear whatever it is given.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.?[^"\\]*+)*+(?:"|\Z)|[][{},]', re.DOTALL)


class _Shell(msgspec.Struct, rename="camel"):
    """The outside of a body; everything in it is still text."""

    write_key: msgspec.Raw = msgspec.Raw(b"null")
    sent_at: msgspec.Raw = msgspec.Raw(b"null")
    context: msgspec.Raw = msgspec.Raw(b"null")
    integrations: msgspec.Raw = msgspec.Raw(b"null")
    batch: msgspec.Raw = msgspec.Raw(b"null")


_shell: Final = msgspec.json.Decoder(_Shell)
_items: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A body that has been opened, with its items still unread."""

    items: tuple[bytes, ...]
    type: CallType | None = None
    """What the route says; None leaves it to each item."""
    is_batch: bool = False
    write_key: str | None = field(default=None, repr=False)
    sent_at: datetime | None = None
    defaults: Defaults = NO_DEFAULTS


def open_call(body: bytes, type: CallType | None) -> Envelope:
    """Open a body that is one call. Raises InvalidCall if it is not JSON; everything else is left to `read`."""
    value = _decode(body.removeprefix(_BOM))
    call = value if isinstance(value, dict) else {}
    key = call.get("writeKey")
    return Envelope(
        items=(body.removeprefix(_BOM),),
        type=type,
        write_key=key if isinstance(key, str) else None,
        sent_at=instant_or_none(call.get("sentAt")),
    )


def open_batch(body: bytes) -> Envelope:
    """Open a body that is a batch. Raises InvalidCall if it is none, is empty or has too many items."""
    shell, items = _split(body.removeprefix(_BOM))
    if not items:
        raise InvalidCall("empty_batch", "batch must hold at least one call")
    if len(items) > BATCH_CALLS:
        raise _too_many()
    if len(items) * (len(bytes(shell.context)) + len(bytes(shell.integrations))) > _MERGED_BYTES:
        raise InvalidCall("context_too_large", "the context of the batch is too large for so many calls")
    key = _decode(bytes(shell.write_key))
    return Envelope(
        items=items,
        is_batch=True,
        write_key=key if isinstance(key, str) else None,
        sent_at=instant_or_none(_decode(bytes(shell.sent_at))),
        defaults=Defaults(context=_default(shell.context, "context"), integrations=_default(shell.integrations, "integrations")),
    )


def open_line(line: bytes) -> Envelope:
    """Open a line of a file, a call or a batch. Its timestamps are history and taken as they are. Raises InvalidCall."""
    try:
        is_batch = bytes(_shell.decode(line.removeprefix(_BOM)).batch) != b"null"
    except (ValueError, RecursionError):
        is_batch = next(_spans(line), None) is not None
    if not is_batch:
        return Envelope(items=open_call(line, None).items)
    batch = open_batch(line)
    return Envelope(items=batch.items, is_batch=True, defaults=batch.defaults)


def read(
    envelope: Envelope, *, received_at: datetime, ip: str | None = None, message_id: Callable[[int], str] | None = None
) -> tuple[tuple[Call, ...], tuple[RejectedCall, ...]]:
    """Read every item: the calls, in order, and the ones that are rejected, with their reasons.

    `ip` is where they came from. `message_id` names the item at an index (the first is 0) that brings no id of its own; without it
    such an id is random.
    """
    given = envelope.defaults
    defaults = Defaults(context=given.context, integrations=given.integrations, ip=ip) if ip else given
    calls, rejected = [], []
    for index, item in enumerate(envelope.items):
        try:
            call = parse(
                _decode(item),
                type=envelope.type,
                received_at=received_at,
                sent_at=envelope.sent_at,
                defaults=defaults,
                message_id=message_id(index) if message_id else None,
                is_bounded=surely_within_bounds(item),
            )
            calls.append(call)
        except InvalidCall as reason:
            rejected.append(reject(item, reason, received_at))
    return tuple(calls), tuple(rejected)


def reject(item: bytes, reason: InvalidCall, received_at: datetime) -> RejectedCall:
    """Keep an item with the reason why it was refused."""
    masked = _WRITE_KEY.sub(rb'\1"***"', item)[:CALL_BYTES]
    text = masked.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return RejectedCall(id=str(uuid4()), code=reason.code, message=reason.message, body=text, received_at=received_at)


def _decode(body: bytes) -> Json:
    try:
        return decode(body)
    except ValueError as error:
        if str(error) == "nested too deeply":
            raise InvalidCall("nested_too_deeply", "the JSON is nested too deeply") from None
        raise _not_json() from None


def _default(raw: msgspec.Raw, name: str) -> dict[str, Json]:
    value = _decode(bytes(raw))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidCall(f"{name}_not_object", f"{name} must be an object")
    check_bounds(value)
    return value


def _split(body: bytes) -> tuple[_Shell, tuple[bytes, ...]]:
    """Part a batch into its outside and its items; by our own scan where the decoder stumbles over one of the items."""
    try:
        shell = _shell.decode(body)
        return shell, tuple(bytes(item) for item in _items.decode(shell.batch))
    except msgspec.ValidationError:
        raise InvalidCall("batch_not_array", "the body must be an object with an array named batch") from None
    except (ValueError, RecursionError):
        spans = list(islice(_spans(body), BATCH_CALLS + 1))
    if not spans:
        _decode(body)
        raise _not_json()
    if len(spans) > BATCH_CALLS:
        raise _too_many()
    try:
        shell = _shell.decode(body[: spans[0][0]] + body[spans[-1][1] :])
    except (ValueError, RecursionError):
        raise _not_json() from None
    return shell, tuple(body[start:end] for start, end in spans)


def _not_json() -> InvalidCall:
    return InvalidCall("invalid_json", "the body must be JSON by RFC 8259, in UTF-8")


def _too_many() -> InvalidCall:
    return InvalidCall("too_many_calls", f"a batch may hold at most {BATCH_CALLS} calls")


def _spans(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each item of the outermost `batch` begins and ends, going by brackets and strings alone."""
    depth, start, key = 0, -1, b""
    for token in _TOKEN.finditer(body):
        mark = token.group()
        if mark in b"[{":
            depth += 1
            if depth == 2 and mark == b"[" and key == b'"batch"':
                start = token.end()
        elif mark in b"]}":
            if depth == 2 and start >= 0:
                yield start, token.start()
                start = -1
            depth -= 1
        elif mark == b",":
            if depth == 2 and start >= 0:
                yield start, token.start()
                start = token.end()
        elif depth == 1:
            key = mark
