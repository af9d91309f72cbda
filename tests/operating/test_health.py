"""What a balancer is told: whether calls may be sent here, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from sync.scheduler import HEARTBEAT
from sync.store import leases
from sync.web.api.openapi import document
from sync.web.api.operations import OPERATIONS
from tests.make import NOW
from tests.operating.conftest import Operated

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(document(OPERATIONS))


def ready(place: Operated) -> tuple[int, dict[str, Any]]:
    """Ask, and hold the answer to the OpenAPI document."""
    case = SCHEMA["/readyz"]["GET"].Case()
    answer = case.call(base_url=place.url, timeout=10)
    case.validate_response(answer, checks=CHECKS)
    return answer.status_code, answer.json()


@pytest.fixture
def away(tmp_path: Path) -> str:
    """The URL of a store that is not there."""
    return f"sqlite:///{tmp_path / 'nothing.db'}"


def beaten(place: Operated) -> Operated:
    with place.store.writing() as connection:
        leases.beat(connection, HEARTBEAT, NOW, "")
    return place


def test_where_all_is_well_nothing_is_degraded(operated: Operated) -> None:
    assert ready(beaten(operated)) == (200, {"ready": True, "degraded": [], "store": "ok", "scheduler": "ok"})


def test_without_a_spool_calls_go_elsewhere_while_the_store_is_away(operate: Callable[..., Operated], away: str) -> None:
    place = operate(SYNC_DATABASE_URL=away)

    assert ready(place) == (503, {"ready": False, "degraded": ["store"], "store": "not usable"})


def test_without_a_scheduler_a_process_without_a_spool_is_not_ready(operated: Operated) -> None:
    beaten(operated).clock.advance(timedelta(minutes=1))

    assert ready(operated) == (503, {"ready": False, "degraded": ["scheduler"], "store": "ok", "scheduler": "no heartbeat"})


def test_with_a_spool_calls_come_here_while_the_store_is_away(operate: Callable[..., Operated], away: str, tmp_path: Path) -> None:
    place = operate(SYNC_DATABASE_URL=away, SYNC_SPOOL=str(tmp_path / "spool"))
    place.post("/v1/track", {"userId": "ann", "event": "Order Completed"}, auth=("any", ""))

    told = {"ready": True, "degraded": ["store", "spool"], "store": "not usable", "spool": "calls wait in it", "spooled_calls": 1}
    assert ready(place) == (200, told)


def test_with_a_spool_calls_come_here_while_no_scheduler_works(
    operate: Callable[..., Operated], database_url: str, tmp_path: Path
) -> None:
    place = operate(SYNC_DATABASE_URL=database_url, SYNC_SPOOL=str(tmp_path / "spool"))

    told = {"ready": True, "degraded": ["scheduler"], "store": "ok", "scheduler": "no heartbeat", "spool": "ok", "spooled_calls": 0}
    assert ready(place) == (200, told)


def test_a_spool_that_is_full_sends_calls_elsewhere(operate: Callable[..., Operated], away: str, tmp_path: Path) -> None:
    place = operate(SYNC_DATABASE_URL=away, SYNC_SPOOL=str(tmp_path / "spool"), SYNC_SPOOL_MEGABYTES="1")
    call = {"userId": "ann", "event": "Order Completed", "properties": {"x": "x" * 30_000}}
    statuses = [place.post("/v1/track", call, auth=("any", "")).status_code for _ in range(40)]

    assert (statuses[0], statuses[-1]) == (200, 503)
    status, told = ready(place)
    assert (status, told["degraded"], told["spool"]) == (503, ["store", "spool"], "full, or cannot be written")


def test_a_spool_whose_folder_is_gone_sends_calls_elsewhere(operate: Callable[..., Operated], away: str, tmp_path: Path) -> None:
    place = operate(SYNC_DATABASE_URL=away, SYNC_SPOOL=str(tmp_path / "spool"))
    for path in (tmp_path / "spool").iterdir():
        path.unlink()
    (tmp_path / "spool").rmdir()

    assert ready(place)[0] == 503
