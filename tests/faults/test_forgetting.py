"""A user is forgotten by another process while a service has something about them on its way, or left it in a spool (row 31)."""

from __future__ import annotations

import time
from pathlib import Path

import requests

from sync.spool import look
from sync.standin import Fault, StandIn
from sync.store import Store
from tests.crash.kills import wait_until
from tests.crash.life import Folder, Service
from tests.faults.places import Place
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


def test_what_the_spool_holds_of_somebody_who_is_forgotten_is_dropped_but_for_what_was_set_aside(
    folder: Folder, place: Place, store: Store, standin: StandIn
) -> None:
    service = folder.serve("--only", "web")
    is_on(service, "ann")
    place.take_away()
    is_on(service, "ann")
    is_on(service, "ann", "bob")
    service.kill()
    place.give_back()
    damage_the_first_record(folder)

    assert folder.run("forget", "ann", "--yes") == 0
    waiting = files_that_name(folder, "ann")
    service = folder.serve()
    wait_until(lambda: (standin.user("bob") or {}).get("metadata", {}).get("active") is True, "bob is not told")
    assert service.stop() == 0

    # What a command can reach is the store; what lies in the folder is a process's own, until it puts it there.
    assert {path.suffix for path in waiting} == {".spool"}
    assert (look(folder.path / "spool").bytes, look(folder.path / "spool").set_aside) == (0, 1)
    assert [path.name for path in files_that_name(folder, "ann")] == ["set-aside"]
    assert tables_that_name(store, "ann") == []
    assert {str(item["user_id"]) for taken in standin.history() for item in taken.documents} == {"bob"}


def damage_the_first_record(folder: Folder) -> None:
    path = min((folder.path / "spool").glob("*.spool"))
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first[:-2], b"?\n", *others]))


def files_that_name(folder: Folder, user: str) -> list[Path]:
    return [path for path in (folder.path / "spool").rglob("*") if path.is_file() and user.encode() in path.read_bytes()]
