"""A store that the examples of the documents can be tried on."""

from __future__ import annotations

import pytest

from sync.store import Store
from tests.compiler.population import World


@pytest.fixture
def world(store: Store) -> World:
    return World(store)
