"""What Moesif would hold after the requests that it took, and what it would refuse.

Knows Moesif's API reference ("Users", "Companies", "User Actions", read 2026-07). Does not know HTTP.

What the reference leaves open is settled so that careless clients are found out: one bad item refuses its whole batch, arrays
are replaced whole, ids must be strings, and a null inside `metadata` is kept as it came.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sync.json_value import Json

Document = dict[str, Json]

LANES: Final = ("users", "actions", "companies")

_ID_OF: Final = {"users": "user_id", "actions": "transaction_id", "companies": "company_id"}


class Refused(Exception):
    """An item is not as the reference wants it. Nothing of its batch was taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What has been asked of one lane."""

    requests: int = 0
    """All that named the lane, whatever became of them."""
    accepted: int = 0
    """Requests that were taken, also those whose answer was then withheld."""
    rows: int = 0
    """Items of the requests that were taken."""
    duplicates: int = 0
    """Of these: actions that were there already; users and companies that stood in one request twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A batch that was taken: what it said, and when, by the monotonic clock."""

    lane: str
    documents: tuple[Document, ...]
    arrived: float
    taken: float


class Holdings:
    """Users, companies and actions of one application. Safe to share among threads."""

    def __init__(self, *, type_lock: bool = False, remember: bool = False) -> None:
        """`remember` keeps every batch that is taken, in order, for whoever wants to look at how things came about."""
        self._type_lock = type_lock
        self._remember = remember
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Hold nothing, and count from nought."""
        with self._lock:
            self._by_id: dict[str, dict[str, Document]] = {lane: {} for lane in LANES}
            self._actions_without_id: list[Document] = []
            self._types: dict[tuple[str, ...], str] = {}
            self._counts = {lane: Counts() for lane in LANES}
            self._history: list[Taken] = []

    def asked(self, lane: str) -> None:
        """Count a request."""
        with self._lock:
            counts = self._counts[lane]
            self._counts[lane] = replace(counts, requests=counts.requests + 1)

    def take(self, lane: str, items: Sequence[Json], arrived: float | None = None) -> None:
        """Take a batch that arrived at an instant of the monotonic clock (now), or raise Refused and take nothing."""
        documents = [_checked(lane, item) for item in items]
        with self._lock:
            if self._type_lock:
                self._check_types(lane, documents)
            duplicates = self._append(documents) if lane == "actions" else self._upsert(lane, documents)
            counts = self._counts[lane]
            self._counts[lane] = replace(
                counts,
                accepted=counts.accepted + 1,
                rows=counts.rows + len(documents),
                duplicates=counts.duplicates + duplicates,
            )
            if self._remember:
                now = time.monotonic()
                self._history.append(Taken(lane=lane, documents=tuple(documents), arrived=arrived or now, taken=now))

    def delete_user(self, user_id: str, *, with_actions: bool) -> bool:
        """Delete a user, and what they did if that is asked for; False where there is no such user."""
        with self._lock:
            was_there = self._by_id["users"].pop(user_id, None) is not None
            if was_there and with_actions:
                actions = self._by_id["actions"]
                self._by_id["actions"] = {id: one for id, one in actions.items() if one.get("user_id") != user_id}
                self._actions_without_id = [one for one in self._actions_without_id if one.get("user_id") != user_id]
            return was_there

    def users(self) -> dict[str, Document]:
        """Return all users by id. The documents are the live ones: not to be changed."""
        return self._all("users")

    def companies(self) -> dict[str, Document]:
        """Return all companies by id."""
        return self._all("companies")

    def user(self, user_id: str) -> Document | None:
        """Return one user."""
        with self._lock:
            return self._by_id["users"].get(user_id)

    def actions(self) -> list[Document]:
        """Return all actions; those with a transaction id first, each kind in order of arrival."""
        with self._lock:
            return [*self._by_id["actions"].values(), *self._actions_without_id]

    def history(self) -> list[Taken]:
        """Return every batch that was taken, in the order in which that was; empty unless it is to remember."""
        with self._lock:
            return [*self._history]

    def counts(self) -> dict[str, Counts]:
        """Return what has been asked, by lane."""
        with self._lock:
            return dict(self._counts)

    def _all(self, lane: str) -> dict[str, Document]:
        with self._lock:
            return dict(self._by_id[lane])

    def _upsert(self, lane: str, documents: list[Document]) -> int:
        held, name = self._by_id[lane], _ID_OF[lane]
        ids = [str(document[name]) for document in documents]
        for key, document in zip(ids, documents, strict=True):
            held[key] = _merged(held.get(key, {}), document)
        return len(ids) - len(set(ids))

    def _append(self, documents: list[Document]) -> int:
        held, duplicates = self._by_id["actions"], 0
        for document in documents:
            transaction = document.get("transaction_id")
            if transaction is None:
                self._actions_without_id.append(document)
            elif transaction in held:
                duplicates += 1
            else:
                held[str(transaction)] = document
        return duplicates

    def _check_types(self, lane: str, documents: list[Document]) -> None:
        """Moesif: a metadata key keeps the JSON type that it first came with, at any depth."""
        seen: dict[tuple[str, ...], str] = {}
        pending: list[tuple[tuple[str, ...], Json]] = [((lane, "metadata"), document.get("metadata")) for document in documents]
        while pending:
            path, value = pending.pop()
            if value is None:
                continue
            found = _type(value)
            before = self._types.get(path) or seen.setdefault(path, found)
            if before != found:
                raise Refused(f"{'.'.join(path[1:])} must be {before}, is {found}")
            if isinstance(value, dict):
                pending.extend(((*path, key), inner) for key, inner in value.items())
        self._types |= seen


def _checked(lane: str, item: Json) -> Document:
    """Return the item without the top-level nulls, which Moesif's Python client sends for every field that it was not given."""
    if not isinstance(item, dict):
        raise Refused("an item must be an object")
    document: Document = {key: value for key, value in item.items() if value is not None}
    for key in ("user_id", "company_id", "anonymous_id", "action_name"):
        if key in document and not (isinstance(document[key], str) and document[key]):
            raise Refused(f"{key} must be a string that is not empty")
    for key in ("metadata", "campaign", "request"):
        if not isinstance(document.get(key, {}), dict):
            raise Refused(f"{key} must be an object")
    _check_time(document, "modified_time")
    if lane == "actions":
        _check_action(document)
    elif _ID_OF[lane] not in document:
        raise Refused(f"{_ID_OF[lane]} is required")
    return document


def _check_action(document: Document) -> None:
    for key in ("action_name", "request"):
        if key not in document:
            raise Refused(f"{key} is required")
    request = document["request"]
    uri = request.get("uri") if isinstance(request, dict) else None
    if not isinstance(uri, str) or "://" not in uri:
        raise Refused("request.uri is required, with scheme and host")
    if isinstance(request, dict):
        _check_time(request, "time")
    if "transaction_id" in document and not _is_uuid(document["transaction_id"]):
        raise Refused("transaction_id must be a UUID of 36 characters")


def _check_time(document: Document, key: str) -> None:
    value = document.get(key)
    if value is None:
        return
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        raise Refused(f"{key} must be an ISO 8601 time") from None


def _is_uuid(value: Json) -> bool:
    try:
        return isinstance(value, str) and len(value) == 36 and bool(UUID(value))
    except ValueError:
        return False


def _type(value: Json) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _merged(held: Document, said: Document) -> Document:
    """Return the two merged as Moesif merges: objects at every depth, all else overridden. Documents are never changed."""
    merged = dict(held)
    for key, value in said.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
