"""A store that can be filled with people."""

from __future__ import annotations

import pytest

from sync.store import Store
from tests.compiler.population import World


@pytest.fixture
def world(store: Store) -> World:
    return World(store)
