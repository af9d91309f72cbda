from __future__ import annotations

import pytest

from tests.crash.conftest import standin
from tests.scheduler.running import Hands

__all__ = ["standin"]


@pytest.fixture
def hands() -> Hands:
    return Hands()
