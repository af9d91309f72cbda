"""How the stand-in has been told to misbehave: a script of faults, each for some requests to come.

    {"lane": "users", "answers": [
        {"status": 503, "retry_after": 2, "times": 3},
        {"delay_seconds": 5},
        {"close": "after"},
        {"status": 400, "when_user": "bob"}
    ]}

A request meets the first fault that is about its lane and its users and is not used up, and that one only.
"""

from __future__ import annotations

import threading
from typing import Literal, Self

import msgspec

from sync.errors import InputError
from sync.json_value import Json


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way of misbehaving. Without `status` and `close` the request is answered as always, if late."""

    lane: str | None = None
    """Users, actions, companies or management; None for all of them."""
    times: int | None = None
    """How many requests meet it. None means one, or all of them for ever if `when_user` is given."""
    when_user: str | None = None
    """Only requests that carry this user or company id. The way to poison one item."""
    delay_seconds: float = 0.0
    """How long to wait before anything else, so that what was sent is taken late, even if the client has gone."""
    status: int | None = None
    """What to answer. Nothing is taken then, unless `applied`."""
    applied: bool = False
    """Take what was sent first of all, before the delay and whatever the answer."""
    retry_after: int | str | None = None
    """The header of this name, as it is."""
    location: str | None = None
    """The header of this name, for a redirect."""
    content_type: str = "application/json"
    body: str | None = None
    """What to answer instead of the usual body."""
    close: Literal["before", "after", "midway"] | None = None
    """Drop the connection: before taking what was sent, after taking it, or after taking it and half of the answer."""
    drip_seconds: float = 0.0
    """Answer byte by byte, with this pause between two."""

    def meets(self, lane: str, subjects: frozenset[str]) -> bool:
        """Return whether the fault is about a request to the lane, with these user and company ids."""
        return self.lane in (None, lane) and (self.when_user is None or self.when_user in subjects)

    @property
    def lasts(self) -> int | None:
        """Return for how many requests; None for ever."""
        if self.times is None and self.when_user is None:
            return 1
        return self.times


class Faults:
    """The faults to come. Safe to share among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []

    def add(self, faults: list[Fault]) -> Self:
        """Put faults behind those that are there."""
        with self._lock:
            self._left += [(fault, fault.lasts) for fault in faults]
        return self

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._left = []

    def next(self, lane: str, subjects: frozenset[str]) -> Fault | None:
        """Return the fault that a request meets, and count it as met."""
        with self._lock:
            for position, (fault, left) in enumerate(self._left):
                if fault.meets(lane, subjects):
                    if left is not None:
                        self._left[position : position + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return None


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    answers: list[Fault]
    lane: str | None = None


def script(value: Json) -> list[Fault]:
    """Read a script. Raises InputError that says where it is wrong."""
    try:
        read = msgspec.convert(value, _Script)
    except msgspec.ValidationError as error:
        raise InputError(str(error)) from None
    return [msgspec.structs.replace(fault, lane=fault.lane or read.lane) for fault in read.answers]
