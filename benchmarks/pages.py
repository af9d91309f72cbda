"""The page of results: `python -m benchmarks report` reads what `run … --into FILE` wrote, and writes tables and plots.

The same results give the same page, to the byte. Knows the shape of the results; what only one benchmark has to show, it shows
itself (`show`, in its module).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.plot import significant

Told = Mapping[str, Any]
"""What one run told."""
Show = Callable[[Told, str], tuple[list[str], dict[str, str]]]
"""From what was told, and how its files shall begin, to lines of Markdown and to SVG by file name."""

_INTRODUCTION: Final = """\
# Benchmarks

Every figure here comes out of one command, printed above it, and can be had on the reader's own machine:

```
python -m pip install -e '.[dev]'
python -m benchmarks list                                         # what there is to run
python -m benchmarks run peers --size 10000 --into docs/benchmarks/peers-10000.json
python -m benchmarks report                                       # this page and its plots, from docs/benchmarks/*.json
```

A figure is only given where the answers were checked; what must hold stands beside what was found, and so does what does not hold.
"""


def write(results: Path, page: Path, shows: Mapping[str, Show]) -> list[Path]:
    """Write the page, and the plots beside the results; return what was written."""
    parts, written = [_INTRODUCTION], [page]
    for file in sorted(results.glob("*.json"), key=_order):
        told = json.loads(file.read_text(encoding="utf-8"))
        lines, plots = _section(told, file.stem, shows.get(told["benchmark"]))
        parts.append("\n".join(lines))
        for name, svg in plots.items():
            place = results / name
            place.write_text(svg, encoding="utf-8")
            written.append(place)
    page.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
    return written


def _order(file: Path) -> tuple[str, int]:
    """Sort by name and then by the number at its end, largest first."""
    name, _, number = file.stem.rpartition("-")
    return (name, -int(number)) if number.isdigit() else (file.stem, 0)


def _section(told: Told, stem: str, show: Show | None) -> tuple[list[str], dict[str, str]]:
    lines, plots = ([], {}) if show is None else show(told, stem)
    return [*_head(told), *_musts(told["musts"]), *lines, *_timings(told["timings"]), *_facts(told), ""], plots


def _head(told: Told) -> Iterator[str]:
    on, installed = told["machine"], told["versions"]
    sizes = ", ".join(f"{value:,} {name}" for name, value in told["sizes"].items())
    shown = ", ".join(f"{name} {value}" for name, value in installed.items() if isinstance(value, str))
    # Results of before there was a subject have none.
    name = f"{told['benchmark']} ({told['subject']})" if told.get("subject") else told["benchmark"]
    yield f"## {name}, {told['database']}: {sizes}" if sizes else f"## {name}, {told['database']}"
    yield from ["", "```", told["command"], "```", ""]
    computer = f"{on['cores']} cores, {on['memory_gib']} GiB, {on['cpu']}, {on['system']}"
    yield f"{told['date']}; {computer}, load before {on['load_before']}."
    changes = ", with uncommitted changes" if installed.get("uncommitted") else ""
    yield f"{shown}{changes}."
    yield ""


def _musts(musts: Sequence[Told]) -> Iterator[str]:
    rows = [
        (one["name"], _wanted(one), f"{significant(one['found'])} {one['unit']}", "yes" if one["holds"] else "**no**")
        for one in musts
    ]
    yield from table(("must", "", "is", "holds"), rows, right=(2,))


def _wanted(must: Told) -> str:
    parts = [f"≤ {must['most']:g}"] if must["most"] is not None else []
    parts += [f"≥ {must['least']:g}"] if must["least"] is not None else []
    return f"{' and '.join(parts)} {must['unit']}"


def _timings(timings: Sequence[Told]) -> Iterator[str]:
    rows = [
        (one["name"], str(one["times"]), *(significant(one[name]) for name in ("min_ms", "median_ms", "p99_ms"))) for one in timings
    ]
    yield from table(("milliseconds", "times", "least", "median", "99 %"), rows, right=(1, 2, 3, 4))


def _facts(told: Told) -> Iterator[str]:
    for name, value in told["facts"].items():
        yield f"- {name}: {value:,}" if isinstance(value, int) else f"- {name}: {value}"
    for note in told["notes"]:
        yield f"- note: {note}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """Give a table in Markdown, and an empty line; nothing without rows."""
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---:' if place in right else '---' for place in range(len(head)))} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
