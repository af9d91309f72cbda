"""What was made to do harm, against a real store: on either database the rules give the answer, and what was taken reads back."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from sync.call import CallType, InvalidCall, open_call, read
from sync.store import Store
from sync.store.calls import from_row
from sync.store.schema import calls
from tests.make import NOW
from tests.web.test_hostile import GOOD, HARMLESS, ITEMS

ENCODED = {
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without a BOM": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "Latin-1": b'{"type":"track","userId":"bad","event":"caf\xe9"}',
    "a BOM": b"\xef\xbb\xbf" + GOOD,
    "two BOMs": b"\xef\xbb\xbf" * 2 + GOOD,
    "a NUL behind": GOOD + b"\0",
    "two calls": GOOD + GOOD,
    "a call and a comma": GOOD + b",",
}
CORPUS = ITEMS | HARMLESS | ENCODED


def expected(body: bytes) -> tuple[int, str | None]:
    """Return status and code by the rules alone, without a store."""
    try:
        _, rejected = read(open_call(body, CallType.TRACK), received_at=NOW)
    except InvalidCall as reason:
        return 400, reason.code
    return (400, rejected[0].code) if rejected else (200, None)


def kept(store: Store) -> list[Any]:
    """Return what the store holds of each call, in the order of arrival."""
    with store.reading() as connection:
        rows = connection.execute(select(calls).order_by(calls.c.id)).all()
    return [from_row(row) for row in rows]


def test_every_body_of_the_corpus_is_answered_by_the_rules_whatever_the_store(operated: Any) -> None:
    answers = {name: operated.post("/v1/track", body, headers={"authorization": "Basic eDo="}) for name, body in CORPUS.items()}

    assert len(answers) >= 60
    told = {name: (answer.status_code, answer.json().get("code")) for name, answer in answers.items()}
    too_large = {"call_too_large", "body_too_large"}
    assert {name: one for name, one in told.items() if one[1] not in too_large} == {
        name: expected(CORPUS[name]) for name, one in told.items() if one[1] not in too_large
    }
    assert {status for status, code in told.values() if code in too_large} == {413}


def test_what_was_taken_reads_back_as_it_was_sent(operated: Any) -> None:
    for body in CORPUS.values():
        operated.post("/v1/track", body, headers={"authorization": "Basic eDo="})

    sent = [body for name, body in CORPUS.items() if expected(body)[0] == 200]
    found = kept(operated.store)
    assert [call.event for call in found] == [open_event(body) for body in sent]
    assert [dict(call.properties) for call in found] == [
        json.loads(body.decode("utf-8-sig")).get("properties", {}) for body in sent
    ]


def open_event(body: bytes) -> str:
    return str(json.loads(body.decode("utf-8-sig"))["event"])


def test_a_batch_of_the_whole_corpus_loses_no_good_call(operated: Any) -> None:
    small = [body for body in (*ITEMS.values(), *HARMLESS.values()) if len(body) < 5000 and body.strip()]
    items = b",".join(piece for body in small for piece in (GOOD, body))

    answer = operated.post("/v1/batch", b'{"batch":[' + items + b"]}", headers={"authorization": "Basic eDo="})

    assert answer.status_code == 200, answer.text
    assert sum(call.user_id == "good" for call in kept(operated.store)) == len(small)
