"""One request to the Management API, answered as Moesif documents it, or as the stand-in has been told to.

Knows the one thing that this program asks of it: to delete a user. What it answers about a user whom it does not know is not
documented; here it is 404.
"""

from __future__ import annotations

import time
from typing import Final

from sync.json_value import encode
from sync.settings import Secret
from sync.standin.collector import Reply, as_told
from sync.standin.faults import Fault, Faults
from sync.standin.holdings import Holdings

LANE: Final = "management"
"""What a script of faults calls these requests."""


class Management:
    """Answers `DELETE /v1/search/~/users/{id}`. Safe to share among threads."""

    def __init__(self, holdings: Holdings, faults: Faults, key: str | None) -> None:
        """Without a key any will do, as long as there is one."""
        self._holdings = holdings
        self._faults = faults
        self._key = None if key is None else Secret(key)

    def delete_user(self, user_id: str, *, authorization: str, with_actions: bool) -> Reply:
        """Delete a user; `authorization` is the header of this name."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not key or not (self._key is None or self._key.is_same(Secret(key))):
            return _said(401, "the key is missing or unknown")
        fault = self._faults.next(LANE, frozenset({user_id}))
        if fault is None:
            return self._delete(user_id, with_actions=with_actions)
        return as_told(fault, self._delete_as_told(fault, user_id, with_actions=with_actions))

    def _delete(self, user_id: str, *, with_actions: bool) -> Reply:
        if self._holdings.delete_user(user_id, with_actions=with_actions):
            return Reply(status=200, body=b"{}")
        return _said(404, "no such user")

    def _delete_as_told(self, fault: Fault, user_id: str, *, with_actions: bool) -> Reply:
        time.sleep(fault.delay_seconds)
        refuses = fault.close == "before" or fault.status is not None
        if refuses and not fault.applied:
            return Reply(status=fault.status or 503)
        return self._delete(user_id, with_actions=with_actions)


def _said(status: int, message: str) -> Reply:
    return Reply(status=status, body=encode({"message": message}).encode())
