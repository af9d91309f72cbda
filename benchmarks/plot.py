"""Bars as SVG, on a scale of powers of ten: written by hand, so that the same figures give the same file without a library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

COLOURS: Final = ("#0b6e4f", "#c8553d", "#3d5a80", "#e09f3e", "#7b5e7b", "#5f6b6d")

WIDTH: Final = 760
LEFT: Final = 150
RIGHT: Final = 90
BAR: Final = 15
GAP: Final = 14
TOP: Final = 84
BOTTOM: Final = 34


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bar; where there is no value a word stands instead."""

    series: str
    value: float | None
    instead: str = "–"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Bars that belong together, below each other."""

    name: str
    bars: Sequence[Bar]


def bars(title: str, below: str, unit: str, groups: Sequence[Group]) -> str:
    """Draw groups of bars under a title and a line below it; a series has the same colour in each. Shorter is better."""
    values = [bar.value for group in groups for bar in group.bars if bar.value is not None]
    least, most = _decades(values)
    series = list(dict.fromkeys(bar.series for group in groups for bar in group.bars))
    height = TOP + sum(len(group.bars) * BAR + GAP for group in groups) + BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12" role="img">',
        f"<title>{escape(f'{title}. {below}')}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600" fill="#1c1c1c">{escape(title)}</text>',
        f'<text x="12" y="40" fill="#555555">{escape(below)}</text>',
        *_legend(series),
        *_axis(least, most, height, unit),
        *_groups(groups, series, least, most),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten between which all values are."""
    least = math.floor(math.log10(min(values)))
    return least, max(math.ceil(math.log10(max(values))), least + 1)


def _place(value: float, least: int, most: int) -> float:
    share = (math.log10(value) - least) / (most - least)
    return LEFT + max(share, 0.0) * (WIDTH - LEFT - RIGHT)


def _legend(series: Sequence[str]) -> Iterator[str]:
    at = 12
    for place, name in enumerate(series):
        yield f'<rect x="{at}" y="52" width="11" height="11" fill="{COLOURS[place % len(COLOURS)]}"/>'
        yield f'<text x="{at + 16}" y="62" fill="#333333">{escape(name)}</text>'
        at += 34 + 7 * len(name)


def _axis(least: int, most: int, height: int, unit: str) -> Iterator[str]:
    bottom = height - BOTTOM
    for power in range(least, most + 1):
        at = _place(10.0**power, least, most)
        yield f'<line x1="{at:.1f}" y1="{TOP - 8}" x2="{at:.1f}" y2="{bottom}" stroke="#dddddd"/>'
        yield f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555555">{10.0**power:,g} {escape(unit)}</text>'


def _groups(groups: Sequence[Group], series: Sequence[str], least: int, most: int) -> Iterator[str]:
    top = TOP
    for group in groups:
        middle = top + len(group.bars) * BAR / 2 + 4
        yield f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end" fill="#1c1c1c">{escape(group.name)}</text>'
        for bar in group.bars:
            yield from _bar(bar, COLOURS[series.index(bar.series) % len(COLOURS)], top, least, most)
            top += BAR
        top += GAP


def _bar(bar: Bar, colour: str, top: int, least: int, most: int) -> Iterator[str]:
    if bar.value is None:
        yield f'<text x="{LEFT + 5}" y="{top + 11}" fill="{colour}">{escape(bar.instead)}</text>'
        return
    end = _place(bar.value, least, most)
    yield f'<rect x="{LEFT}" y="{top + 1}" width="{max(end - LEFT, 1):.1f}" height="{BAR - 2}" fill="{colour}"/>'
    yield f'<text x="{end + 5:.1f}" y="{top + 11}" fill="#333333">{significant(bar.value)}</text>'


def significant(value: float) -> str:
    """Write a number with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
