"""Laws of parsing and dumping."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.call import PAGE_VIEWED, SCREEN_VIEWED, Call, CallType, InvalidCall, dump, open_batch, open_call, parse, read
from sync.json_value import decode, encode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=50)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)
times = st.integers(0, 253_402_300_799_999_999).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))


@st.composite
def calls(draw: st.DrawFn) -> Call:
    kind = draw(st.sampled_from(CallType))
    events = {CallType.TRACK: draw(ids), CallType.PAGE: PAGE_VIEWED, CallType.SCREEN: SCREEN_VIEWED}
    user_id = draw(ids if kind is CallType.ALIAS else st.none() | ids)
    return Call(
        type=kind,
        message_id=draw(ids),
        user_id=user_id,
        anonymous_id=draw(ids if user_id is None else st.none() | ids),
        group_id=draw(ids) if kind is CallType.GROUP else None,
        previous_id=draw(ids) if kind is CallType.ALIAS else None,
        event=events.get(kind),
        timestamp=draw(times),
        received_at=draw(times),
        properties=draw(objects),
        context=draw(objects),
        integrations=draw(objects),
    )


@given(calls())
@settings(deadline=None)
def test_parse_after_dump_is_identity(call: Call) -> None:
    written = decode(encode(dump(call)))

    assert parse(written, received_at=call.received_at) == call


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["userId", "event", "type", "traits", "x"]), inner),
    max_leaves=6,
)
names = (
    "type",
    "userId",
    "anonymousId",
    "messageId",
    "event",
    "timestamp",
    "properties",
    "traits",
    "context",
    "integrations",
    "groupId",
)


@given(st.dictionaries(st.sampled_from(names), json_like | st.sampled_from([*CallType])) | json_like)
@settings(deadline=None)
def test_whatever_is_parsed_becomes_a_call_or_is_refused(item: Any) -> None:
    try:
        call = parse(item, received_at=NOW)
    except InvalidCall:
        return

    assert call.user_id or call.anonymous_id


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\batchu0d8 1eE-.', max_size=60).map(str.encode))
@settings(deadline=None)
def test_whatever_bytes_are_opened_are_read_or_refused(body: bytes) -> None:
    for attempt in (
        open_batch,
        lambda body: open_call(body, CallType.TRACK),
        lambda body: open_batch(b'{"batch":[' + body + b"]}"),
    ):
        try:
            opened = attempt(body)
        except InvalidCall:
            continue
        taken, rejected = read(opened, received_at=NOW)
        assert len(taken) + len(rejected) == len(opened.items)
