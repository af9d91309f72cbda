"""docs/api.md is written from the table of routes; `pytest --update-golden` writes it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.web.api.operations import OPERATIONS, Operation

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"

HEAD = """\
# HTTP: watching and asking

`serve` answers these beside what Segment's SDKs send. They want `SYNC_API_TOKEN`, as bearer token or as Basic user name; without
that setting they are served on loopback only. There are no cookies, and no page of another site may read or change anything.

`/healthz` (alive) and `/readyz` (store, schema, a scheduler's heartbeat; with `SYNC_SPOOL`: calls are taken, into the store or the
spool; `degraded` names what is not well) want no token. `/metrics` is for Prometheus.
`/api/openapi.json` describes everything below, and the tests hold it to what is served.

An object is what the command of the same name prints with `--json`. A wrong parameter is answered 400 with what would be right,
what is not there 404, and 503 with `Retry-After` while the store is away. A sync that is asked for runs in whichever process has
the scheduler; the answer, 202, says where its outcome will be seen.

| route | does | asked with |
| --- | --- | --- |
"""


def test_the_page_lists_just_the_routes_that_are_served(request: pytest.FixtureRequest) -> None:
    text = HEAD + "".join(f"{_row(operation)}\n" for operation in OPERATIONS)
    if request.config.getoption("--update-golden"):
        DOCUMENT.write_text(text, encoding="utf-8")

    assert DOCUMENT.read_text(encoding="utf-8") == text


def _row(operation: Operation) -> str:
    asked = ", ".join(f"`{one.name}`" for one in (*operation.query, *operation.body))
    return f"| `{operation.method} {operation.path}` | {operation.summary} | {asked} |"
