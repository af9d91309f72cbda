"""A record comes back as it was written, or is known to be damaged."""

from __future__ import annotations

import json
import zlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.call import Incoming
from sync.spool.record import Damaged, calls_in, line_of, read_line
from tests.make import NOW, alias, group, identify, rejected, track
from tests.strategies import documents

CALLS = [
    identify("ann", {"big": 2**200, "small": 5e-324, "deep": [[{"a": [None, True, 1.0, 1]}]], "text": "\u2028\n\r\x01é\U0001d11e"}),
    track(None, anonymous_id="anon", context={"ip": "::1"}, integrations={"All": False}),
    track("ann", at=NOW + timedelta(microseconds=1), received_at=NOW - timedelta(microseconds=1)),
    alias("ann", "anon"),
    group("ann", "acme", {"plan": "pro"}),
]


def test_every_kind_of_call_comes_back_as_it_was() -> None:
    given = Incoming(source="web", calls=tuple(CALLS), rejected=(rejected(body='{"a":\n'),))

    line = line_of(given)

    assert line.count(b"\n") == 1
    assert repr(read_line(line[:-1])) == repr(given)
    assert calls_in(line) == len(CALLS) + 1


@given(documents(), st.text())
def test_whatever_a_call_holds_comes_back_as_it_was(document: Any, source: str) -> None:
    given = Incoming(source=source, calls=(track("ann", properties=document),))

    assert repr(read_line(line_of(given)[:-1])) == repr(given)


LINE = line_of(Incoming(source="web", calls=(CALLS[1],)))[:-1]


def test_one_bit_that_was_flipped_anywhere_is_noticed() -> None:
    for at in range(len(LINE)):
        damaged = bytearray(LINE)
        damaged[at] ^= 4

        with pytest.raises(Damaged):
            read_line(bytes(damaged))


def test_a_line_that_was_cut_off_anywhere_is_noticed() -> None:
    for length in range(len(LINE)):
        with pytest.raises(Damaged):
            read_line(LINE[:length])


@pytest.mark.parametrize("body", [b'{"source":"web"}', b"[]", b'{"source":"web","calls":[{"type":"sigh"}],"rejected":[]}', b"1 2"])
def test_what_another_release_wrote_otherwise_is_said_to_be_damaged(body: bytes) -> None:
    written = b"1 " + body

    with pytest.raises(Damaged):
        read_line(b"%08x %b" % (zlib.crc32(written), written))


def test_a_rejection_that_an_older_release_spooled_has_the_same_id_whenever_it_is_read() -> None:
    written = json.loads(msgspec.json.encode(Incoming(source="web", rejected=(rejected(), rejected()))))
    for one in written["rejected"]:
        del one["id"]
    body = b"2 " + json.dumps(written).encode()
    line = b"%08x %b" % (zlib.crc32(body), body)

    first, again = ([one.id for one in read_line(line).rejected] for _ in range(2))

    assert first == again
    assert len({*first}) == 2
