"""A spool before a store that is a list and can be away, and one before a real store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sync.call import Incoming
from sync.errors import Unreachable
from sync.spool import Spool
from tests.make import NOW, track

MEGABYTE = 1024 * 1024

Accept = Callable[[Sequence[Incoming]], None]


@dataclass
class Shelf:
    """A store that is a list; `fails` raises, where it is away or chokes."""

    taken: list[Incoming] = field(default_factory=list)
    fails: Callable[[Sequence[Incoming]], None] = lambda _batch: None

    def accept(self, batch: Sequence[Incoming]) -> None:
        self.fails(batch)
        self.taken.extend(batch)

    def go_away(self) -> None:
        self.fails = away

    def come_back(self) -> None:
        self.fails = lambda _batch: None

    @property
    def ids(self) -> list[str]:
        return [call.message_id for incoming in self.taken for call in incoming.calls]


def away(_batch: Sequence[Incoming]) -> None:
    raise Unreachable("it is away")


def incoming(*ids: str, **fields: object) -> Incoming:
    calls = tuple(track("zoe@example.com", at=NOW, received_at=NOW, message_id=id, **fields) for id in ids)
    return Incoming(source="web", calls=calls)


def until(condition: Callable[[], bool], otherwise: str, seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, otherwise
        time.sleep(0.005)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Callable[..., Spool]]:
    """Open a spool in the folder; it is closed at the end, unless the test has done so."""
    with ExitStack() as stack:

        def opened(most_bytes: int = MEGABYTE) -> Spool:
            made = Spool(folder, most_bytes)
            stack.callback(made.close)
            return made

        yield opened
