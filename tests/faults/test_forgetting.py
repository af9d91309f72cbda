"""A user is forgotten by another process while a service has a slow request about them on its way (row 31)."""

from __future__ import annotations

import time

import requests

from sync.standin import Fault, StandIn
from sync.store import Store
from tests.crash.kills import wait_until
from tests.crash.life import Folder, Service
from tests.forget.conftest import tables_that_name

SLOW = 2.0
"""Seconds that Moesif takes for the request that is on its way."""


def is_on(service: Service, *users: str) -> None:
    batch = [{"type": "identify", "userId": user, "traits": {"on": True}} for user in users]
    answer = requests.post(f"{service.url}/v1/batch", json={"writeKey": "any", "batch": batch}, timeout=10)
    assert answer.status_code == 200


def test_once_a_user_is_forgotten_nothing_about_them_is_sent_and_nothing_names_them(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    standin.misbehave(Fault(lane="users", delay_seconds=SLOW, times=1))
    service = folder.serve()
    is_on(service, "ann")
    wait_until(lambda: standin.requests["users"].requests > 0, "nothing is on its way")

    forgotten = folder.run("forget", "ann", "--yes")
    since = time.monotonic()
    is_on(service, "ann", "bob")
    wait_until(lambda: (standin.user("bob") or {}).get("metadata", {}).get("active") is True, "bob is not told")
    ended = service.stop()

    assert (forgotten, ended) == (0, 0)
    assert [
        one for one in standin.history() if one.arrived > since and any(item["user_id"] == "ann" for item in one.documents)
    ] == []
    assert tables_that_name(store, "ann") == []
    assert [path for path in (folder.path / "spool").rglob("*") if path.is_file() and b"ann" in path.read_bytes()] == []
