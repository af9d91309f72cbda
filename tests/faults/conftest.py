"""A folder in which the program lives with a spool and a store that can be taken away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.standin import StandIn
from sync.store import Store
from tests.crash.conftest import standin
from tests.crash.life import Folder
from tests.faults.places import File, Place, Server, emptied, postgresql

__all__ = ["standin"]


@pytest.fixture(scope="session")
def own_postgresql() -> Iterator[Server]:
    with postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A store with the current schema, on each database, that can be taken away and given back."""
    if request.param == "postgresql":
        with emptied(request.getfixturevalue("own_postgresql")) as server:
            yield server
        return
    path = tmp_path / "personas.db"
    path.write_bytes(request.getfixturevalue("sqlite_template"))
    yield File(path)


@pytest.fixture
def folder(tmp_path: Path, place: Place, standin: StandIn) -> Iterator[Folder]:
    """A folder in which the program lives with that store and a spool."""
    made = Folder.made(tmp_path / "folder", place.url, standin.url)
    made.environ["SYNC_SPOOL"] = "spool"
    yield made
    made.end()


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    opened = Store.at(place.url)
    yield opened
    opened.close()
