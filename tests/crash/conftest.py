"""A folder in which the program lives, and a stand-in for Moesif that remembers how things came about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.standin import StandIn
from tests.crash.life import KEY, Folder


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn.start(application_id=KEY, remember=True) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, database_url: str, standin: StandIn) -> Iterator[Folder]:
    """A store with the current schema, on each database, definitions, and the stand-in to send to."""
    made = Folder.made(tmp_path / "folder", database_url, standin.url)
    yield made
    made.end()
