"""What the door needs from the rest of the program, and its limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sync.call import Incoming
from sync.json_value import Json
from sync.settings import Secret

DEFAULT_SOURCE = "default"
"""The source of everything where no write keys are configured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much is taken in. The sizes are Segment's (HTTP API, 2025-11), and count before and after decompression."""

    call_bytes: int = 32 * 1024
    batch_bytes: int = 500 * 1024
    body_seconds: float = 30.0
    """In which a body must have arrived in full."""
    slow_seconds: float = 2.0
    """After which one that is still arriving makes way where there is no room for others."""
    waiting_bytes: int = 32 * 1024 * 1024
    """Of all bodies that are being read or written at one time; memory in use is a few times that. Beyond it, 429."""
    waiting_calls: int = 50_000
    """Read and not yet durable. Beyond it, 429."""
    source_rate: float | None = None
    """Calls a second of one source, over time. Beyond it, 429 for that source alone; None for no such limit."""
    calls_at_once: int = 5_000
    """Given to `accept` in one go; a single request may exceed it."""
    behind_seconds: int = 1
    """After which a sender that got 429 may come again."""
    away_seconds: int = 5
    """After which a sender that got 503 may come again."""
    stop_seconds: float = 20.0
    """In which what has been read must become durable once the program stops."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Whether the program can do its work."""

    ready: bool
    facts: Mapping[str, Json] = field(default_factory=dict)
    """Shown to whoever asks, so nothing that only an operator may know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """What the door needs from the rest of the program."""

    accept: Callable[[Sequence[Incoming]], None]
    """Make everything durable in one transaction, or raise and keep nothing: `Unreachable` where it is worth coming again. Called
    from one thread, for many requests at once; may take its time."""
    clock: Callable[[], datetime]
    health: Callable[[], Health]
    """May block; called from a thread of its own."""
    sources: Mapping[str, Secret] | None = field(default=None, repr=False)
    """Write key by the source's name. None takes any key, as the source `default`: for loopback only."""
    answered: Callable[[int], None] = lambda status: None
    """Told the status of every answer to a sender."""
    limited: Callable[[str], None] = lambda source: None
    """Told the name of a source whenever it is told to wait because it sends too much."""
    limits: Limits = Limits()
    monotonic: Callable[[], float] = time.monotonic
    """Seconds, for what must not follow the clock when that is set."""
