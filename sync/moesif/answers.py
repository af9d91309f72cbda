"""What an answer of Moesif's means for the batch that it answers.

Knows HTTP's status codes and what Moesif's API reference ("Errors", read 2026-07) says of them. Pure.

    2xx                       accepted; but with an HTML page, as a proxy in between answers, later
    400 413 415 422           rejected: something in the batch
    401 402 403               the key was refused, or the account
    404 405 406 410, 3xx      later: the base URL is wrong; no body can be blamed for that, and nothing may be lost by it
    408 425 429 5xx           later, not before what `Retry-After` asks
    anything else             later: nothing is known that would justify giving the batch up

A reason is kept with the delivery and shown, so it holds no personal data: the status in HTTP's own words, never the other
side's, and of a JSON error message only the words that we did not send (`said`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from sync.delivery import Accepted, KeyRefused, Later, Outcome, Rejected, Unknown
from sync.json_value import Json, decode
from sync.moesif.wire import Answer, NotAnswered, NotSent

LONGEST_ASKED: Final = timedelta(days=1)
"""What `Retry-After` can make us wait. More than a day is a mistake of somebody's, and may not even be a date."""

_THE_BATCH: Final = frozenset({400, 413, 415, 422})
_THE_KEY: Final = frozenset({401, 402, 403})
_THE_ADDRESS: Final = frozenset({404, 405, 406, 410})

_REASON_LENGTH: Final = 200
_MESSAGE_LENGTH: Final = 140


def outcome_of(answer: Answer | NotSent | NotAnswered, documents: Sequence[Mapping[str, Json]], now: datetime) -> Outcome:
    """Return what became of a batch. `documents` are what was sent, so that none of it finds its way into a reason."""
    match answer:
        case NotSent(reason=reason):
            return Later(reason=reason)
        case NotAnswered(reason=reason):
            return Unknown(reason=reason)
        case Answer(status=status) if 200 <= status < 300 and is_page(answer):
            return Later(reason=f"{_named(status)}, but a web page: is there a proxy in between?")
        case Answer(status=status) if 200 <= status < 300:
            return Accepted()
        case Answer(status=status) if status in _THE_BATCH:
            return Rejected(reason=_with_what_was_said(_named(status), answer.body, documents))
        case Answer(status=status) if status in _THE_KEY:
            return KeyRefused(reason=f"{_named(status)}: {_ABOUT_THE_KEY[status]}")
        case Answer(status=status) if status in _THE_ADDRESS:
            return Later(reason=f"{_named(status)}: SYNC_MOESIF_URL does not lead to Moesif's collector")
        case Answer(status=status) if 300 <= status < 400:
            return Later(reason=f"{_named(status)}: a redirect, not followed; SYNC_MOESIF_URL must name the collector itself")
        case Answer(status=status, headers=headers):
            return Later(reason=_named(status), after=retry_after(headers.get("Retry-After"), now), failed=status >= 500)


_ABOUT_THE_KEY: Final = {
    401: "SYNC_MOESIF_APPLICATION_ID is not a Collector Application Id that Moesif knows",
    402: "the Moesif subscription is inactive or cancelled",
    403: "SYNC_MOESIF_APPLICATION_ID is not allowed to do this",
}


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the wait that a `Retry-After` header asks for, in seconds or as an HTTP date; None if it is neither.

    A date that is past asks for no wait. What exceeds `LONGEST_ASKED` is cut to it.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # Ten digits are three centuries; a hundred thousand would be more than int() takes.
        return min(LONGEST_ASKED, timedelta(seconds=int(text))) if len(text) < 10 else LONGEST_ASKED
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(wait, timedelta()), LONGEST_ASKED)


def is_page(answer: Answer) -> bool:
    """Return whether a web page came where an API answers with JSON or with nothing."""
    return "html" in answer.headers.get("Content-Type", "").lower() or answer.body.lstrip()[:1] == b"<"


def said(body: bytes, documents: Sequence[Mapping[str, Json]]) -> str | None:
    """Return what a JSON error says, fit to be kept, or None if it says nothing.

    Only the member `message`, `error` or `msg`, only if short. A word of it that occurs in a value that we sent, that holds a
    digit, or that is part of an e-mail address is put out, since an API likes to repeat what it did not understand; one of a letter
    or two only where it is a word of its own there, too. Names of fields, which say what is wrong, stay.
    """
    message = _message(body)
    if message is None or len(message) > _MESSAGE_LENGTH or not message.isprintable():
        return None
    values = "\n".join(text for document in documents for text in _texts(document)).casefold()
    words = frozenset(_WORD.findall(values))
    return _WORD.sub(lambda word: "…" if _is_telling(word[0], values, words) else word[0], _ADDRESS.sub("…", message))


_WORD: Final = re.compile(r"[^\W_]+")
_ADDRESS: Final = re.compile(r"\S*@\S*")


def _is_telling(word: str, values: str, words: Collection[str]) -> bool:
    folded = word.casefold()
    return any(character.isdigit() for character in word) or (folded in values if len(word) > 2 else folded in words)


def _message(body: bytes) -> str | None:
    try:
        answer = decode(body)
    except ValueError:
        return None
    members = (answer.get(name) for name in ("message", "error", "msg")) if isinstance(answer, dict) else ()
    return next((member for member in members if isinstance(member, str) and member), None)


def _texts(value: Json | Mapping[str, Json]) -> Iterator[str]:
    pending: list[Json | Mapping[str, Json]] = [value]
    while pending:
        match pending.pop():
            case str() as text:
                yield text
            case list() as items:
                pending.extend(items)
            case Mapping() as members:
                pending.extend(members.values())


def _with_what_was_said(status: str, body: bytes, documents: Sequence[Mapping[str, Json]]) -> str:
    message = said(body, documents)
    return f"{status}: {message}"[:_REASON_LENGTH] if message else status


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
