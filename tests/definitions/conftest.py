"""A query checker that knows three words, so that these tests need no language."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import pytest

from sync.audience import Definition, Kind
from sync.definitions import Fault, InvalidDefinitions, read


class WrongQuery(Exception):
    def __init__(self, line: int, column: int, message: str) -> None:
        self.line, self.column, self.message = line, column, message
        super().__init__(message)


def check_query(kind: Kind, query: str) -> Collection[str]:
    """Refuse `BAD` where it stands and an open parenthesis behind the end; tell which traits are read."""
    place = query.find("BAD")
    if query.rstrip().endswith("("):
        place = len(query.rstrip())
    if place >= 0:
        before = query[:place].split("\n")
        raise WrongQuery(len(before), len(before[-1]) + 1, f"wrong {kind} query")
    return re.findall(r"trait\('(\w+)'\)", query)


@pytest.fixture
def read_texts() -> Callable[..., tuple[Definition, ...]]:
    """Return a reader of texts, which become the files a.yaml, b.yaml, …"""

    def read_them(*texts: str | bytes) -> tuple[Definition, ...]:
        return read([(f"{name}.yaml", text) for name, text in zip("abcdef", texts, strict=False)], check_query)

    return read_them


@pytest.fixture
def faults_of(read_texts: Callable[..., tuple[Definition, ...]]) -> Callable[..., tuple[Fault, ...]]:
    """Return a function that returns every fault of the texts."""

    def faults(*texts: str | bytes) -> tuple[Fault, ...]:
        with pytest.raises(InvalidDefinitions) as raised:
            read_texts(*texts)
        return raised.value.faults

    return faults
