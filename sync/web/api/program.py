"""What the API needs from the rest of the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sync.payload import Mapping
from sync.reports.audiences import NextSlot
from sync.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """What the API needs from the rest of the program."""

    store: Store
    clock: Callable[[], datetime]
    mapping: Mapping
    space: str
    """Its id, in the Profile API's paths."""
    next_slot: NextSlot
    wake: Callable[[], None]
    """Called when something is owed again."""
    is_scheduled: Callable[[], bool]
    """Whether a scheduler is alive somewhere."""
