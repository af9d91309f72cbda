"""rejected-calls, and the same over HTTP: what came in and was refused, why, and as it came."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from sync.app import system_clock
from sync.call import Incoming
from sync.ingest import accept
from sync.payload import Mapping
from sync.store import Store
from tests.make import rejected

BODY = '{"type":"track","event":"Order Completed","messageId":"o-1"}'


@pytest.fixture
def refused(line: Any) -> Any:
    """Three of a browser's calls were refused, two for one reason, and one of a server's."""
    line("db", "upgrade")
    store, now = Store.at(line.environ["SYNC_DATABASE_URL"]), system_clock()
    fields = {"received_at": now - timedelta(minutes=5), "body": BODY}
    browsers = (rejected("no user", **fields), rejected("no \x1b[2Juser", **fields), rejected(code="invalid_type", **fields))
    sources = {"web": browsers, "server": (rejected(**fields),)}
    accept(store, [Incoming(source=name, calls=(), rejected=calls) for name, calls in sources.items()], Mapping(), now)
    store.close()
    return line


def test_each_is_listed_with_its_source_and_reason_and_all_are_counted(refused: Any) -> None:
    done = refused("rejected-calls")

    assert done.code == 0
    assert done.lines[0] == "4 calls rejected"
    assert [line.split() for line in done.lines[2:5]] == [
        ["web", "no_user_anon_id", "2"],
        ["server", "no_user_anon_id", "1"],
        ["web", "invalid_type", "1"],
    ]
    assert "5 min" in done.out
    assert "\x1b" not in done.out
    assert "o-1" not in done.out, "bodies are somebody's data, and shown where they are asked for"


def test_a_program_is_told_what_each_said_so_that_it_can_be_mended_and_taken_in(refused: Any) -> None:
    told = refused("rejected-calls", "--source", "web", "--code", "no_user_anon_id", "--limit", "1", "--json").json

    assert told["rejected"] == 4
    [item] = told["items"]
    assert {name: item[name] for name in ("source", "code", "body")} == {"source": "web", "code": "no_user_anon_id", "body": BODY}

    refused.import_calls(json.loads(item["body"]) | {"userId": "ann"})

    assert refused("user", "ann", "--json").code == 0


def test_where_nothing_was_refused_it_says_so(line: Any) -> None:
    line("db", "upgrade")

    done = line("rejected-calls")

    assert (done.code, done.out) == (0, "0 calls rejected\n")
    assert line("rejected-calls", "--json").json == {"rejected": 0, "numbers": [], "items": []}
