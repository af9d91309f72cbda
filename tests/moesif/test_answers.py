"""The table: what an answer means. Pure, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sync.delivery import Accepted, KeyRefused, Later, Outcome, Rejected, Unknown, wait_after
from sync.json_value import Json, encode
from sync.moesif import outcome_of, retry_after
from sync.moesif.answers import said
from sync.moesif.wire import Answer, NotAnswered, NotSent

NOW = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
DOCUMENTS: list[dict[str, Json]] = [{"user_id": "u-5107", "metadata": {"email": "ines@example.org", "city": "Leeds", "n": 4711}}]


def outcome(status: int, body: bytes = b"", **headers: str) -> Outcome:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return outcome_of(Answer(status=status, headers=named, body=body), DOCUMENTS, NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
def test_2xx_is_accepted(status: int) -> None:
    assert outcome(status) == Accepted()


@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", "text/html; charset=utf-8"), (b"<!doctype html>", "application/json"), (b"\n <html>", "text/plain")],
)
def test_a_web_page_is_not_an_acknowledgement(status: int, body: bytes, kind: str) -> None:
    assert isinstance(outcome(status, body, Content_Type=kind), Later)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_blames_the_body_is_a_rejection(status: int) -> None:
    assert isinstance(outcome(status), Rejected)


@pytest.mark.parametrize("status", [401, 402, 403])
def test_what_blames_the_key_or_the_account_is_no_fault_of_the_data(status: int) -> None:
    assert isinstance(outcome(status), KeyRefused)


@pytest.mark.parametrize("status", [404, 405, 406, 410, 301, 302, 304, 307, 308])
def test_what_comes_of_a_wrong_address_is_for_later_and_names_the_setting(status: int) -> None:
    told = outcome(status, Location="https://elsewhere.example/")

    assert isinstance(told, Later)
    assert "SYNC_MOESIF_URL" in told.reason
    assert "elsewhere" not in told.reason


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 599])
def test_what_may_pass_is_for_later_when_asked(status: int) -> None:
    assert outcome(status).after is None  # type: ignore[union-attr]
    assert outcome(status, Retry_After="7").after == timedelta(seconds=7)  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [100, 409, 418, 431, 451, 600, 999])
def test_what_nobody_has_documented_is_for_later_because_nothing_may_be_lost(status: int) -> None:
    assert isinstance(outcome(status), Later)


def test_what_was_not_sent_is_for_later_and_what_was_not_answered_is_unknown() -> None:
    assert outcome_of(NotSent(reason="no connection"), DOCUMENTS, NOW) == Later(reason="no connection")
    assert outcome_of(NotAnswered(reason="no answer in time"), DOCUMENTS, NOW) == Unknown(reason="no answer in time")


def test_every_outcome_but_acceptance_has_a_reason_fit_for_a_line() -> None:
    for status in range(300, 600):
        reason = outcome(status, encode({"message": "x" * 100}).encode()).reason  # type: ignore[union-attr]
        assert reason.startswith(str(status))
        assert reason.isprintable()
        assert len(reason) <= 200


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("21600", 21600),  # six hours are six hours
        ("999999999", 86400),  # but nobody means 31 years
        ("9" * 5000, 86400),
        ("Wed, 04 Mar 2026 09:00:30 GMT", 30),
        ("Wednesday, 04-Mar-26 09:01:00 GMT", 60),
        ("Wed, 04 Mar 2026 10:00:30 +0100", 30),
        ("Wed, 04 Mar 2026 08:00:00 GMT", 0),  # past: no wait
        ("Wed, 04 Mar 2099 09:00:00 GMT", 86400),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("+3", None),
        ("٣", None),
        ("5, 7", None),
        ("Wed, 99 Mar 2026 09:00:30 GMT", None),
        ("Wed, 04 Mar 0000 09:00:30 GMT", 0),  # the mail rules read a short year as one of this age
        ("04 Mar 99999999999999999999 09:00:30 GMT", None),
        ("\x00", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_garbage_is_as_good_as_nothing(value: str | None, wait: int | None) -> None:
    assert retry_after(value, NOW) == (None if wait is None else timedelta(seconds=wait))


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("user_id is required", "user_id is required"),
        ("metadata.plan must be string, is number", "metadata.plan must be string, is number"),
        ("invalid email ines@example.org", "invalid email …"),
        ("no such city: Leeds", "no such city: …"),
        ("no such city: LEEDS (near Lee)", "no such city: … (near …)"),  # also in another case, also a part of it
        ("unexpected 4711 at u-5107", "unexpected … at …-…"),
        ("mail bob@example.net", "mail …"),  # an address that was not even ours
        ("no city is ines or in es", "no city is … or in es"),  # a letter or two only as a word that was sent
    ],
)
def test_of_a_rejections_message_only_the_words_are_kept_that_we_did_not_send(message: str, kept: str) -> None:
    assert said(encode({"message": message}).encode(), DOCUMENTS) == kept


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b'["message"]',
        b'{"message": 7}',
        b'{"message": ""}',
        b'{"other": "x"}',
        b'{"message": "two\\nlines"}',
        b"{" * 99,
    ],
)
def test_an_error_that_says_nothing_leaves_the_status_alone(body: bytes) -> None:
    assert outcome(400, body) == Rejected(reason="400 Bad Request")


def test_a_long_message_is_left_out_whole() -> None:
    assert said(encode({"message": "word " * 40}).encode(), DOCUMENTS) is None


def test_a_key_refused_says_nothing_of_the_answers_body() -> None:
    assert "secret" not in outcome(401, b'{"message": "secret is not a key"}').reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("attempt", "most"), [*((number, 2 ** (number - 1)) for number in range(1, 11)), (11, 600), (12, 600), (400, 600)]
)
def test_a_failed_attempt_is_followed_by_a_wait_of_any_length_up_to_twice_that_of_the_one_before(attempt: int, most: int) -> None:
    asked = timedelta(seconds=30)

    waits = [
        wait_after(attempt, given, lambda draw=draw: draw).total_seconds() for given in (None, asked) for draw in (0.0, 0.5, 1.0)
    ]

    assert waits == [0, most / 2, most, 30, 30 + most / 2, 30 + most]
