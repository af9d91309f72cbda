"""What is asked again and again costs no memory: no statement is written in SQL that was written before.

SQLAlchemy keeps hundreds of the statements that it has written. One that is another one each time, to SQLAlchemy, fills that up,
and is written anew each time; a door that is asked every few seconds whether it is ready grew so for hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import CacheStats

from sync.web.api.operations import OPERATIONS
from tests.operating.conftest import Operated

ASKED = [
    *((one.method, one.path.format(key="k", id="ann", lane="users", space="default", profile="user_id:ann")) for one in OPERATIONS),
    *(("GET", path) for path in ("/healthz", "/readyz", "/metrics", "/api/openapi.json")),
    ("POST", "/v1/track"),
    ("POST", "/v1/identify"),
]
CALL = {"userId": "ann", "event": "Order Completed", "traits": {"plan": "pro"}}


@contextmanager
def written() -> Iterator[list[str]]:
    """Note each statement that SQLAlchemy writes and would keep."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        if context.cache_hit is CacheStats.CACHE_MISS:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_nothing_that_is_asked_again_is_written_anew(operated: Operated, method: str, path: str) -> None:
    def ask() -> int:
        body = {"json": CALL} if path.startswith("/v1/") and method == "POST" else {}
        return operated.ask(method, path, **body).status_code

    first = {ask() for _ in range(3)}
    with written() as again:
        first |= {ask() for _ in range(3)}

    assert len(first) == 1
    assert again == []


def test_what_is_written_for_the_first_time_is_noted(operated: Operated) -> None:
    with written() as seen:
        assert operated.get("/readyz").status_code in (200, 503)

    assert any("alembic_version" in statement for statement in seen)
