from __future__ import annotations

import pytest

from tests.scheduler.running import Hands


@pytest.fixture
def hands() -> Hands:
    return Hands()
