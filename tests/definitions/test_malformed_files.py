"""A heap of definitions that are wrong, each in its own way: none is accepted, and each is told with its place.

They stand in `malformed/`, one behind the other with `%%` between them: whole files, queries of audiences, and of computed traits.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from sync.audience import Kind
from sync.cli import main
from sync.compute import traits_read
from sync.definitions import Fault, InvalidDefinitions, read

HERE = Path(__file__).parent / "malformed"
LISTS = {Kind.AUDIENCE: "audiences", Kind.COMPUTED_TRAIT: "computed_traits"}


def texts(name: str) -> list[str]:
    return (HERE / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n%%\n")


QUERIES = [(kind, query) for kind, name in LISTS.items() for query in texts(name)]


def file_with(kind: Kind, query: str, name: str = "A") -> str:
    indented = "\n".join(f"      {line}" for line in query.split("\n"))
    return f"{LISTS[kind]}:\n  - name: {name}\n    query: |\n{indented}\n"


def faults_of(content: str | bytes) -> tuple[Fault, ...]:
    with pytest.raises(InvalidDefinitions) as caught:
        read([("personas.yaml", content)], traits_read)
    return caught.value.faults


def test_there_are_some_hundred() -> None:
    assert len(QUERIES) + len(texts("files")) > 500


@pytest.mark.parametrize(("kind", "query"), QUERIES)
def test_a_malformed_query_is_refused_in_its_line(kind: Kind, query: str) -> None:
    (fault,) = faults_of(file_with(kind, query))

    assert 4 <= fault.line < 4 + len(query.split("\n")), fault
    assert fault.column >= 7
    assert len(fault.message) > 10


@pytest.mark.parametrize("text", texts("files"))
def test_a_malformed_file_is_refused_at_a_place_that_it_has(text: str) -> None:
    for fault in faults_of(text):
        assert 1 <= fault.line <= text.count("\n") + 2, fault
        assert 1 <= fault.column <= max(map(len, text.split("\n"))) + 1, fault


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "1:1"),
        (b"\n\n", "1:1"),
        (b"\xef\xbb\xbf", "1:1"),
        (b"\xff\xfe", "1:1"),
        (b"\x00", "1:1"),
        (b"a\x00b", "1:2"),
        (b"\xed\xa0\x80", "1:1"),
        ("audiences:\n".encode("utf-16"), "1:1"),
        (b"audiences:\n  - name: \xe9\n", "2:11"),
        (b"audiences:\n  - name: A\n    query: trait('\x01') = 1\n", "3:19"),
        (b"audiences:\r  - name: A\r    bad: 1\r", "2:5"),
        (b"audiences:\n  - name: \"a\\0b\"\n    query: trait('x') = 1\n", "2:11"),
        (b"audiences:\n  - name: A\n    description: \"a\\0b\"\n    query: trait('x') = 1\n", "3:18"),
        (b"audiences:\n  - name: A\n    description: \"\\ud800\"\n    query: trait('x') = 1\n", "3:18"),
        (b"audiences:\n  - name: A\n    query: \"trait('\\ud800') = 1\"\n", "3:20"),
        (b"audiences:\n  - name: A\n    query: \"trait('a\\0') = 1\"\n", "3:21"),
    ],
)
def test_what_no_store_can_keep_is_refused(content: bytes, place: str) -> None:
    fault = faults_of(content)[0]

    assert f"{fault.line}:{fault.column}" == place, fault


def test_the_command_names_every_one_of_them(tmp_path: Path) -> None:
    for number, (kind, query) in enumerate(QUERIES):
        (tmp_path / f"{number}.yaml").write_text(file_with(kind, query, f"A {number}"), encoding="utf-8")
    shown = io.StringIO()

    with redirect_stdout(shown), pytest.raises(SystemExit) as end:
        main(["definitions", "check", str(tmp_path)])

    assert end.value.code == 2
    assert set(_named(shown.getvalue())) == set(range(len(QUERIES)))


def _named(shown: str) -> Iterator[int]:
    for line in shown.splitlines():
        found = re.search(r"(\d+)\.yaml:\d+:\d+: \S", line)
        assert found, line
        yield int(found[1])
