"""What a benchmark found: timings, what they must be, and both as JSON and as tables for people."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any


class Wrong(Exception):
    """An answer is not what it must be; no figure of this run is worth anything."""


@dataclass(kw_only=True, slots=True)
class Timing:
    """One thing, measured some times."""

    name: str
    seconds: list[float] = field(default_factory=list)
    users: int | None = None
    """How many users changed each time, where that is what is measured."""

    @contextmanager
    def once(self) -> Iterator[None]:
        """Measure the block and keep how long it took."""
        started = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - started)

    @property
    def median(self) -> float:
        return median(self.seconds)

    def percentile(self, percent: float) -> float:
        """Return the least measurement that so many percent do not exceed."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]

    def as_json(self) -> dict[str, Any]:
        figures = {
            "min_ms": min(self.seconds),
            "median_ms": self.median,
            "p90_ms": self.percentile(90),
            "p99_ms": self.percentile(99),
            "max_ms": max(self.seconds),
        }
        told = {"name": self.name, "times": len(self.seconds), **{name: _milliseconds(one) for name, one in figures.items()}}
        if self.users is not None:
            told |= {"users": self.users, "median_us_per_user": round(self.median / self.users * 1e6, 3)}
        return told


@dataclass(frozen=True, kw_only=True, slots=True)
class Must:
    """What a figure must be, and what it is."""

    name: str
    found: float
    unit: str = "×"
    most: float | None = None
    least: float | None = None

    @property
    def holds(self) -> bool:
        return (self.most is None or self.found <= self.most) and (self.least is None or self.found >= self.least)

    @property
    def wanted(self) -> str:
        parts = [f"≤ {self.most:g}"] if self.most is not None else []
        parts += [f"≥ {self.least:g}"] if self.least is not None else []
        return f"{' and '.join(parts)} {self.unit}"

    @property
    def shown(self) -> str:
        return f"{_significant(self.found)} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        limits = {"most": self.most, "least": self.least}
        return {"name": self.name, "found": _rounded(self.found), "unit": self.unit, **limits, "holds": self.holds}


@dataclass(kw_only=True, slots=True)
class Report:
    """What one run of a benchmark found."""

    sizes: dict[str, int]
    subject: str | None = None
    """What was measured, where a benchmark can measure several things."""
    timings: list[Timing] = field(default_factory=list)
    musts: list[Must] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """What was counted rather than timed."""
    notes: list[str] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By name, rows with the same columns."""

    def timing(self, name: str, users: int | None = None) -> Timing:
        """Begin a timing, which is part of the report from now on."""
        made = Timing(name=name, users=users)
        self.timings.append(made)
        return made

    def must(self, name: str, found: float, *, unit: str = "×", most: float | None = None, least: float | None = None) -> None:
        self.musts.append(Must(name=name, found=found, unit=unit, most=most, least=least))

    def missed(self) -> list[str]:
        """Return a line for each must that does not hold."""
        return [f"NOT HELD: {one.name}: {one.shown}, must be {one.wanted}" for one in self.musts if not one.holds]

    def as_json(self) -> dict[str, Any]:
        return {
            "sizes": self.sizes,
            "subject": self.subject,
            "timings": [one.as_json() for one in self.timings if one.seconds],
            "musts": [one.as_json() for one in self.musts],
            "facts": self.facts,
            "notes": self.notes,
            "tables": self.tables,
        }

    def as_text(self) -> str:
        """Return tables for a terminal."""
        timings = [
            (one.name, str(len(one.seconds)), *(_shown(value) for value in (min(one.seconds), one.median, one.percentile(99))))
            for one in self.timings
            if one.seconds
        ]
        musts = [(one.name, one.wanted, one.shown, "yes" if one.holds else "NO") for one in self.musts]
        facts = [f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}" for name, value in self.facts.items()]
        parts = [
            _table(("milliseconds", "times", "least", "median", "99 %"), timings, right=(1, 2, 3, 4)),
            _table(("must", "", "is", "holds"), musts, right=(2,)),
            *(_as_text(rows) for rows in self.tables.values()),
            "\n".join(facts),
            "\n".join(f"note: {note}" for note in self.notes),
        ]
        return "\n\n".join(part for part in parts if part)


def require(holds: bool, complaint: str) -> None:
    """Raise Wrong, with what is wrong, unless something holds."""
    if not holds:
        raise Wrong(complaint)


def require_equal(what: str, found: object, wanted: object) -> None:
    """Raise Wrong unless two values are equal."""
    require(found == wanted, f"{what}: found {found!r}, and not {wanted!r}")


def _milliseconds(seconds: float) -> float:
    return _rounded(seconds * 1000)


def _rounded(value: float) -> float:
    """Keep four digits that count."""
    return float(f"{value:.4g}")


def _shown(seconds: float) -> str:
    return _significant(seconds * 1000)


def _significant(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    head = [*rows[0]] if rows else []
    cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
    return _table(head, cells, right=[place for place, name in enumerate(head) if not isinstance(rows[0][name], str)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width) for column, (cell, width) in enumerate(_pairs(row, widths))
        )
        for row in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _pairs(row: Sequence[str], widths: Sequence[int]) -> Iterator[tuple[str, int]]:
    return zip(row, widths, strict=True)
