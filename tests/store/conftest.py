"""A store on SQLite alone, for what only it can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sync.store import Store


@pytest.fixture
def sqlite_store(tmp_path: Path, sqlite_template: bytes) -> Iterator[Store]:
    (tmp_path / "only.db").write_bytes(sqlite_template)
    opened = Store.at(f"sqlite:///{tmp_path / 'only.db'}")
    yield opened
    opened.close()
