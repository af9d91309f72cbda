"""The store goes away under a running service that has a spool, and comes back."""

from __future__ import annotations

import time
from typing import Any

import requests

from sync.spool import look
from sync.standin import StandIn
from sync.store import Store
from tests.crash import oracle
from tests.crash.kills import hold_to_everything, is_quiet, settle, wait_until
from tests.crash.life import Folder
from tests.crash.traffic import UNANSWERED, Traffic
from tests.faults.kills import kill_while_spooling
from tests.faults.places import Place

SLOWEST_ANSWER = 4.0
"""Seconds. The first calls wait two for the store; SDKs wait ten and more for an answer."""


def test_a_store_that_is_away_for_a_while_loses_no_call_and_tells_nobody_to_come_again(
    folder: Folder, place: Place, store: Store, standin: StandIn
) -> None:
    service = folder.serve()
    with Traffic.of(3, seed=1, pause=0.01) as traffic:
        traffic.url = service.url
        wait_until(lambda: len(traffic.answered) > 20, "nothing was taken")
        place.take_away()
        before = len(traffic.answered)
        wait_until(lambda: len(traffic.answered) > before + 100, "nothing was spooled")
        assert metric(service.url, "personas_sync_spooled_calls") > 0
        place.give_back()
        traffic.end()
    drained(folder)
    settle(service, store, seconds=20)

    assert set(traffic.statuses) == {200}
    assert service.stop() == 0
    hold_to_everything(folder, store, standin, traffic)


def drained(folder: Folder) -> None:
    wait_until(lambda: look(folder.path / "spool").bytes == 0, "it was not drained")


def metric(url: str, name: str) -> float:
    lines = requests.get(f"{url}/metrics", timeout=20).text.splitlines()
    [value] = [line.split(" ")[1] for line in lines if line.startswith(f"{name} ")]
    return float(value)


def post(url: str, id: str) -> requests.Response:
    call: dict[str, Any] = {"messageId": id, "userId": "ann", "event": "Order Completed"}
    return requests.post(f"{url}/v1/track", json=call, auth=("any", ""), timeout=30)


def test_the_first_call_waits_for_the_store_and_the_next_ones_do_not(folder: Folder, place: Place, store: Store) -> None:
    service = folder.serve()
    place.take_away()
    began = time.monotonic()
    assert post(service.url, "1").status_code == 200
    first = time.monotonic()
    assert post(service.url, "2").status_code == 200
    second = time.monotonic()
    place.give_back()
    given_back = time.monotonic()
    drained(folder)

    assert first - began < SLOWEST_ANSWER
    assert second - first < 1
    assert time.monotonic() - given_back < 3
    oracle.stored_once(store, {"1": {}, "2": {}})


def test_a_door_that_is_killed_while_it_spools_and_while_it_drains_loses_nothing_and_doubles_nothing(
    folder: Folder, place: Place, store: Store
) -> None:
    traffic = kill_while_spooling(folder, place, store, rounds=2, seed=1)

    # Whoever had asked one that was killed got no answer.
    assert set(traffic.statuses) <= {200, UNANSWERED}
    assert len(traffic.answered) > 50


def test_a_service_with_a_spool_starts_while_the_store_is_away_and_works_once_it_is_back(
    folder: Folder, place: Place, store: Store, standin: StandIn
) -> None:
    place.take_away()
    service = folder.serve()
    answer = post(service.url, "1")
    place.give_back()
    drained(folder)
    wait_until(lambda: "ann" in standin.users() and is_quiet(store), "it does not work")

    assert answer.status_code == 200
    assert standin.users()["ann"]["metadata"] == {"orders": 1}
    oracle.stored_exactly(store, {"1": {}})
    assert service.stop() == 0


def test_without_a_spool_nothing_starts_that_could_not_work(folder: Folder) -> None:
    folder.environ |= {"SYNC_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none"}
    assert folder.run("serve", "--only", "worker") == 5

    folder.environ.pop("SYNC_SPOOL")
    assert folder.run("serve") == 5


def test_a_second_process_that_serves_from_the_same_folder_is_told_so(folder: Folder) -> None:
    folder.serve()

    # A file that nobody else serves.
    folder.environ["SYNC_DATABASE_URL"] = "sqlite:///another.db"
    assert folder.run("db", "upgrade") == 0
    assert folder.run("serve") == 3
    assert "SYNC_SPOOL: the folder spool belongs to another process that serves; each needs one of its own" in folder.log()
