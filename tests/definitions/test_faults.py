"""Every fault at once, each with its place and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.definitions import Fault, InvalidDefinitions

Faults = Callable[..., tuple[Fault, ...]]


def test_every_fault_of_every_file_is_told_at_once_in_the_order_of_the_files(faults_of: Faults) -> None:
    first = "audiences:\n  - nmae: A\n    query: a BAD\n  - name: 日本\n    query: q\n    every: often\n"
    second = "audiences: [\n"
    third = b"\xff"

    found = faults_of(first, second, third)

    assert [(fault.file, fault.line, fault.column) for fault in found] == [
        ("a.yaml", 2, 5),
        ("a.yaml", 3, 14),
        ("a.yaml", 4, 11),
        ("a.yaml", 6, 12),
        ("b.yaml", 2, 1),
        ("c.yaml", 1, 1),
    ]


def test_the_exception_shows_every_fault_as_file_line_column(faults_of: Faults) -> None:
    error = InvalidDefinitions(faults_of("audiences:\n  - name: A\n  - query: q\n"))

    assert (
        str(error)
        == "the definitions have 2 faults:\n  a.yaml:2:5: an audience needs `query:`\n  a.yaml:3:5: an audience needs `name:`"
    )
    assert error.exit_code == 2


FIELDS = [
    # Names of fields.
    ("qeury: x", "4:5", "no field `qeury`; did you mean `query`?"),
    ("Key: x", "4:5", "did you mean `key`?"),
    ("colour: x", "4:5", "no field `colour`; it has `name`, `key`"),
    ("query: again", "4:5", "`query` is written twice here, first in line 3; keep one"),
    ("<<: {key: a}", "4:5", "write what is common under `defaults:`"),
    ("[a]: b", "4:5", "the name of a field must be text"),
    # Keys.
    ("key: Big Spender", "4:10", "for example big_spender"),
    ("key: email", "4:10", "email is a reserved trait"),
    ("key: createdAt", "4:10", "createdAt is a reserved trait"),
    ("key: no", "4:10", "YAML reads this as a truth value; put it in quotes"),
    ("key: 7", "4:10", "YAML reads this as a number; put it in quotes"),
    ("key:", "4:9", "expected a value, found nothing"),
    ('key: ""', "4:10", "found an empty one"),
    ("key: [a]", "4:10", "expected a single value, not a list"),
    # Descriptions.
    ("description: 2026-03-04", "4:18", "YAML reads this as a date; put it in quotes"),
    ("description: {a: b}", "4:18", "expected a single value, not a mapping"),
    # Schedules.
    ("every: 15", "4:12", "for example 15 minutes"),
    ("every: [1 minute]", "4:12", "expected a single value, not a list"),
    ("every: 0 minutes", "4:12", "expected 1 second to 366 days"),
    ("cron: daily", "4:11", "five fields"),
    ('cron: "0 25 * * *"', "4:11", "the hour of the cron expression: expected 0 to 23"),
    ("every: 1 minute\ncron: 0 0 * * *", "5:5", "`cron` and `every` are two schedules; keep one"),
    ("every: 1 minute\nschedule: manual", "5:5", "`schedule` and `every` are two schedules; keep one"),
    ("schedule: hourly", "4:15", "expected `schedule: manual`"),
    ("schedule: {cron: 0 0 * * *}", "4:15", "expected `schedule: manual`; an interval is `every: 15 minutes`"),
    ("timezone: Europe/Berlin", "4:5", "there is no `cron` beside it"),
    ("cron: 0 0 * * *\ntimezone: Europe/Berln", "5:15", "unknown time zone; did you mean Europe/Berlin?"),
    ("cron: 0 0 * * *\ntimezone: 1", "5:15", "unknown time zone; expected a name such as Europe/Berlin"),
    # Guards.
    ("guard: on", "4:12", "expected `off`, or limits such as"),
    ("guard: 20%", "4:12", "expected `off`, or limits such as"),
    ("guard: [20%]", "4:12", "`guard` must be a mapping of `max_exits`, `max_entries`, not a list"),
    ("guard: {}", "4:12", "an empty guard guards nothing"),
    ("guard:", "4:11", "expected a value, found nothing"),
    ("guard: {max_exit: 1}", "4:13", "did you mean `max_exits`?"),
    ("guard: {max_exits: lots}", "4:24", "expected a share such as 20%"),
    ("guard: {max_exits: -1}", "4:24", "expected a share such as 20%"),
    ("guard: {max_exits: 101%}", "4:24", "can never leave"),
    # Switches.
    ('enabled: "true"', "4:14", "expected true or false, without quotes"),
    ("enabled: 1", "4:14", "expected true or false"),
    # Tags make nothing.
    ("key: !!python/name:os.system a", "4:10", "not something tagged !!python/name:os.system"),
    ("guard: !x {max_exits: 1}", "4:12", "not something tagged !x"),
]


@pytest.mark.parametrize(("field", "place", "message"), FIELDS)
def test_a_wrong_field_is_one_fault_with_its_place_and_what_would_be_right(
    faults_of: Faults, field: str, place: str, message: str
) -> None:
    indented = field.replace("\n", "\n    ")

    (fault,) = faults_of(f"audiences:\n  - name: A\n    query: q\n    {indented}\n")

    assert f"{fault.line}:{fault.column}" == place
    assert message in fault.message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("日本", "no Latin letters to make a key of; write `key:`"),
        ("$$$", "no Latin letters"),
        ("30 days", "30_days, which does not begin with a letter; write `key:`"),
        ("Email", "email is a reserved trait"),
        ("x" * 101, "a key of 101 characters, and 100 is the most"),
        ("x" * 256, "at most 255 characters"),
        ('"a\\nb"', "on one line"),
        ("2026", "put it in quotes"),
        ("", "found nothing"),
    ],
)
def test_a_name_that_gives_no_key_is_one_fault_at_the_name(faults_of: Faults, name: str, message: str) -> None:
    (fault,) = faults_of(f"audiences:\n  - query: q\n    name: {name}\n")

    assert fault.line == 3
    assert message in fault.message


def test_a_name_that_gives_no_key_is_fine_beside_a_key(read_texts: Callable[..., tuple[object, ...]]) -> None:
    assert len(read_texts("audiences: [{name: 日本, key: japan, query: q}]")) == 1


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "1:1", "the file is empty"),
        ("# only a comment\n", "1:1", "the file is empty"),
        ("- name: A\n", "1:1", "the file must be a mapping of `defaults`, `audiences`, `computed_traits`, not a list"),
        ("hello\n", "1:1", "not a single value"),
        ("null\n", "1:1", "not nothing"),
        ("audience: []\n", "1:1", "did you mean `audiences`?"),
        ("audiences: {name: A}\n", "1:12", "`audiences` must be a list, each item beginning with `- `, not a mapping"),
        ("audiences: [a]\n", "1:13", "an audience must be a mapping of `name`"),
        ("computed_traits: [null]\n", "1:19", "a computed trait must be a mapping"),
        ("computed_traits: [{name: A, query: q, guard: off}]\n", "1:39", "a computed trait has no field `guard`"),
        ("defaults: []\n", "1:11", "`defaults` must be a mapping"),
        ("defaults: {query: q}\n", "1:12", "`defaults` has no field `query`"),
        ("defaults: {timezone: UTC}\n", "1:12", "there is no `cron` beside it"),
        ("defaults: {every: 1 minute, schedule: manual}\n", "1:29", "two schedules"),
        ("audiences: []\naudiences: []\n", "2:1", "written twice"),
        # Not YAML.
        ("audiences: [\n", "2:1", "this is not YAML"),
        ("audiences:\n\t- name: A\n", "2:1", "indent with spaces, not with tabs"),
        ("audiences:\n  - name: A: B\n", "2:12", "a value with a colon in it needs quotes"),
        ("audiences:\n  - cron: */5 * * * *\n", "2:12", "a value that begins with * needs quotes"),
        ("audiences:\n  - cron: *a\n", "2:11", "a value that begins with * needs quotes"),
        ("audiences:\n  - name: @a\n", "2:11", "a value that begins with this character needs quotes"),
        ("audiences:\n  - name: 'A\n", "3:1", "a quotation mark is not closed"),
        ("audiences: []\n---\naudiences: []\n", "2:1", "delete the `---`"),
        ("audiences: []\n# é \x07\n", "2:5", "the character U+0007 may not stand in YAML"),
        (b"audiences:\n  - name: caf\xe9\n", "2:14", "not UTF-8"),
        (b"\xff\xfea\x00", "1:1", "not UTF-8"),
        # Bombs.
        ("[" * 5000, "1:22", "nested more than 20 deep"),
        ("a: &a [x]\nb: [" + ", ".join(["*a"] * 101) + "]", "2:405", "more than 100 aliases"),
        (b"#" * 5_000_001, "1:1", "larger than 5 MB"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", value[:30]) if isinstance(value, str) else None,
)
def test_a_file_of_another_form_is_one_fault(faults_of: Faults, text: str | bytes, place: str, message: str) -> None:
    (fault,) = faults_of(text)

    assert f"{fault.line}:{fault.column}" == place
    assert message in fault.message


def test_a_list_that_holds_itself_ends(faults_of: Faults) -> None:
    (fault,) = faults_of("audiences: &a [*a]\n")

    assert "an audience must be a mapping" in fault.message


def test_two_definitions_with_one_key_name_both_places(faults_of: Faults) -> None:
    first = "audiences:\n  - {name: Big Spender, query: q}\n"
    second = "computed_traits:\n  - {name: X, key: big_spender, query: q}\n  - {name: BigSpender, query: q}\n"

    found = faults_of(first, second)

    assert [str(fault) for fault in found] == [
        "b.yaml:2:20: the key big_spender is taken by the definition at a.yaml:2:12; write another `key:`",
        "b.yaml:3:12: the key big_spender is taken by the definition at a.yaml:2:12; write another `key:`",
    ]


def test_one_definition_listed_twice_by_an_alias_has_its_key_twice(faults_of: Faults) -> None:
    (fault,) = faults_of("audiences: [&a {name: A, query: q}, *a]\n")

    assert "the key a is taken" in fault.message


def test_a_key_is_taken_even_by_a_definition_that_is_wrong_otherwise(faults_of: Faults) -> None:
    found = faults_of("audiences:\n  - {name: A, query: BAD}\n  - {name: A, query: q}\n")

    assert [(fault.line, fault.message[:9]) for fault in found] == [(2, "wrong aud"), (3, "the key a")]


def test_definitions_that_need_one_another_in_a_circle_are_refused_naming_it(faults_of: Faults) -> None:
    text = """\
audiences:
  - {name: A, query: trait('b')}
  - {name: B, query: trait('c')}
  - {name: D, query: trait('a')}
  - {name: E, query: trait('e')}
computed_traits:
  - {name: C, query: trait('a')}
"""

    around, itself = sorted(faults_of(text), key=lambda fault: "e" in fault.message.split(": ")[1])

    keys = around.message.removeprefix("the query needs itself, in a circle: ").split(" → ")
    assert (len(keys), set(keys)) == (4, {"a", "b", "c"})
    assert dict(pairwise(keys)) == {"a": "b", "b": "c", "c": "a"}
    assert itself.message == "the query needs itself, in a circle: e → e"
    assert (itself.line, itself.column) == (5, 12)


QUERIES = [
    # Each marks in its own text, by `BAD`, where the fault must be found.
    "query: a BAD",
    "query: BAD",
    "query:   a 'b' BAD    # comment",
    "query: é ü BAD",
    "query: 'a BAD'",
    "query: 'it''s ''so'' BAD'",
    "query: !!str 'a BAD'",
    "query: &anchor a BAD",
    'query: "a BAD"',
    r'query: "\"a\" \\ \x41\u00e9\U0001F600 \t\n \  BAD"',
    'query: "a \\\n       b BAD"',
    "query: a\n      b\n\n      c BAD",
    "query: 'a\n\n      it''s BAD'",
    "query:\n      a BAD",
    "query: |\n      a\n        b BAD\n      c",
    "query: |-\n\n      a BAD",
    "query: |2\n        a\n      BAD",
    "query: |+ # comment\n      a # comment\n      BAD\n\n",
    "query: >\n      a\n      b\n\n        c\n      d BAD\n",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_fault_in_a_query_is_placed_in_the_file_however_the_query_is_quoted(faults_of: Faults, query: str) -> None:
    text = f"audiences:\n  - name: A\n    {query}\n    enabled: true\n"
    before = text[: text.index("BAD")].split("\n")

    (fault,) = faults_of(text)

    assert (fault.line, fault.column) == (len(before), len(before[-1]) + 1)
    assert fault.message == "wrong audience query"


@pytest.mark.parametrize(
    ("query", "line", "column"),
    [
        ("query: a(", 3, 14),
        ("query: 'a('", 3, 15),
        ("query: |\n      a\n      b(\n\n", 5, 9),
        ("query: >-\n      a\n      b(", 5, 9),
    ],
)
def test_a_fault_at_the_end_of_a_query_is_placed_behind_its_last_character(
    faults_of: Faults, query: str, line: int, column: int
) -> None:
    (fault,) = faults_of(f"audiences:\n  - name: A\n    {query}\n    enabled: true\n")

    assert (fault.line, fault.column) == (line, column)


@pytest.mark.parametrize(
    ("query", "message"),
    [("query: 12", "put it in quotes"), ("query:", "found nothing"), ('query: " "', "an empty one"), ("query: [a]", "not a list")],
)
def test_a_query_that_is_no_text_is_not_checked(faults_of: Faults, query: str, message: str) -> None:
    (fault,) = faults_of(f"audiences:\n  - name: A\n    {query}\n")

    assert fault.line == 3
    assert message in fault.message


PIECES = [
    "audiences:",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "name: ",
    "query: ",
    "guard: ",
    "every: ",
    "A",
    "1",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "'",
    '"',
    "|",
    ">",
]
PIECES += [
    ": ",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "? ",
    "# ",
    "---",
    "%",
    "@",
    "\\",
    "\t",
    "\r\n",
    "\x85",
    "\u2028",
    "\x00",
    "é",
    "BAD",
    "a(",
    "<<: ",
    "null",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text() | st.binary())
def test_any_text_is_read_or_refused_with_faults_in_their_places(read_texts: Callable[..., object], text: str | bytes) -> None:
    try:
        read_texts(text)
    except InvalidDefinitions as error:
        assert all(fault.line >= 1 and fault.column >= 1 and fault.message for fault in error.faults)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.sampled_from(["|", "|-", ">", ""]), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_any_query_is_read_or_refused_with_faults_in_their_places(read_texts: Callable[..., object], style: str, text: str) -> None:
    indented = text.replace("\n", "\n      ")

    try:
        read_texts(f"audiences:\n  - name: A\n    query: {style}\n      {indented}BAD\n")
    except InvalidDefinitions as error:
        assert all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)
