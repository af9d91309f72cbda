"""Most calls are known to keep the bounds by their text alone; whatever is, is found to keep them when one looks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.call.bounds import CALL_BYTES, DEPTH, check_bounds, surely_within_bounds
from sync.call.invalid import InvalidCall
from sync.json_value import decode

ORDINARY = b'{"type":"track","userId":"ann","event":"Order Completed","properties":{"revenue":12.5,"tags":["a","b"]}}'

scalars = st.one_of(
    st.sampled_from(
        ["1e15", "-9E15", "0.1", "null", "true", '"\\u0000"', '"\\\\u0000"', '"\\u0001"', '"{[{["', '"\\ud83d\\ude00"']
    ),
    st.integers(300, 320).map(lambda digits: "9" * digits),
    st.text(max_size=300).map(json.dumps),
    st.text(max_size=300).map(lambda text: json.dumps(text, ensure_ascii=False)),
)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Draw a document as a stranger might write it, near the bounds."""
    depth, blank = draw(st.sampled_from([0, 1, DEPTH - 2, DEPTH - 1, DEPTH])), draw(st.sampled_from(["", " ", "\n\t"]))
    values = draw(st.lists(scalars, max_size=6)) * draw(st.sampled_from([1, 1, 1, 40, 1000]))
    inner = f"[{f',{blank}'.join(values)}]" if depth else '"flat"'
    return f'{{"a":{blank}{"[" * (depth - 1)}{inner}{"]" * (depth - 1)}}}'.encode(errors="ignore")


@given(text=texts())
def test_a_text_that_is_known_to_keep_the_bounds_keeps_them(text: bytes) -> None:
    if surely_within_bounds(text):
        value = decode(text)
        assert isinstance(value, dict)
        check_bounds(value)


def test_an_ordinary_call_is_known_to_keep_them() -> None:
    assert surely_within_bounds(ORDINARY)


@pytest.mark.parametrize("before", range(0, 600, 7))
def test_a_number_beyond_a_double_is_looked_at_wherever_it_stands(before: int) -> None:
    text = b'{"a":"' + b"x" * before + b'","b":' + b"9" * 309 + b"}"

    assert not surely_within_bounds(text)
    with pytest.raises(InvalidCall, match="double"):
        check_bounds(decode(text))  # type: ignore[arg-type] # It is an object.


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"\\u0000"}',
        b'{"\\u0000":1}',
        b'{"a":' + b"[" * DEPTH + b"]" * DEPTH + b"}",
        b'{"a":"' + b"x" * CALL_BYTES + b'"}',
        b'{"a":[' + b",".join([b"1e15"] * (CALL_BYTES // 18)) + b"]}",
    ],
    ids=["a NUL", "a NUL in a key", "too deep", "too large", "too large once numbers are spelt out"],
)
def test_whatever_breaks_a_bound_is_looked_at(text: bytes) -> None:
    assert not surely_within_bounds(text)
    with pytest.raises(InvalidCall):
        check_bounds(decode(text))  # type: ignore[arg-type] # It is an object.
