"""A store on SQLite alone, for what only it can be asked; and an audience and a computed trait, with people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.store import Store
from sync.store.audiences import Stored
from tests.make import audience, computed_trait, people


@pytest.fixture
def sqlite_store(tmp_path: Path, sqlite_template: bytes) -> Iterator[Store]:
    (tmp_path / "only.db").write_bytes(sqlite_template)
    opened = Store.at(f"sqlite:///{tmp_path / 'only.db'}")
    yield opened
    opened.close()


@pytest.fixture
def buyers(store: Store) -> Stored:
    people(store, "ann", "bob", "cid")
    return audience(store)


@pytest.fixture
def orders(store: Store) -> Stored:
    people(store, "ann", "bob")
    return computed_trait(store)
