"""What lies in a spool, for people and Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sync.spool.segments import SET_ASIDE, Segment, segments_in


@dataclass(frozen=True, kw_only=True, slots=True)
class Lying:
    """How much waits for the store."""

    calls: int = 0
    bytes: int = 0
    since: datetime | None = None
    """When the first of it came in; None where nothing is known to lie there."""
    set_aside: int = 0
    """Lines that could not be read or stored, ever; a person has to look at them."""


def look(folder: Path) -> Lying:
    """Look into a folder, of whichever process it is. Raises OSError where it cannot be read."""
    return lying(segments_in(folder), set_aside_in(folder))


def lying(segments: Sequence[Segment], set_aside: int) -> Lying:
    """Sum up."""
    return Lying(
        calls=sum(segment.calls for segment in segments),
        bytes=sum(segment.size for segment in segments),
        since=next((segment.since for segment in segments if segment.since), None),
        set_aside=set_aside,
    )


def set_aside_in(folder: Path) -> int:
    """Count the lines that were set aside."""
    path = folder / SET_ASIDE
    return path.read_bytes().count(b"\n") if path.exists() else 0
