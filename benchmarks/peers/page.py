"""How the page of results shows the comparison: correctness first, then what a sync costs, as tables and as bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from benchmarks.pages import table
from benchmarks.plot import Bar, Group, bars, significant

Row = Mapping[str, Any]

SETTINGS: Final = {
    "equal": "Equal: 100 users in a request, one request at a time, no latency",
    "defaults": "Defaults: each tool as it comes, 10 ms latency",
    "tuned": "Tuned: 500 users in a request and 4 at a time where a tool can, 10 ms latency",
}

WRONG: Final = "wrong"
"""What stands in place of a time."""

_COSTS: Final = (
    *("scene", "tool", "times", "users changed", "wall s", "processors s", "of these the server's", "beside them the stand-in"),
    *("requests", "rows ÷ changes", "wrong", "memory MiB", "state MiB"),
)

FAULTS: Final = ("1 % rejected, then mended", "time-out after acceptance", "kill -9 at half")


def show(told: Mapping[str, Any], stem: str) -> tuple[list[str], dict[str, str]]:
    """Return tables and plots; a plot's file name begins with `stem`."""
    rows = told["tables"]["syncs"]
    lines, plots = [*_faults(rows)], dict[str, str]()
    for setting, title in SETTINGS.items():
        of_setting = [row for row in rows if row["setting"] == setting and row["scene"] not in FAULTS]
        if of_setting:
            name = f"{stem}-{setting}.svg"
            plots[name] = _plot(title, of_setting)
            lines += [f"### {title}", "", f"![Seconds of processors a sync](benchmarks/{name})", "", *_costs(of_setting)]
    return lines, plots


def _faults(rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row["scene"] in FAULTS]
    if not found:
        return
    yield from ["### What becomes of a fault", ""]
    yield from table(
        ("fault", "tool", "users changed", "wrong after it", "told again for nothing", "syncs to heal", "seconds to heal", "lost"),
        [
            (
                *(row["scene"], row["tool"], f"{row['changed']:,}", f"{row['wrong']:,}", f"{row['repeated']:,}"),
                *(_or_never(row["healed_after"]), _or_never(row["heal_seconds"]), f"{row['lost']:,}"),
            )
            for row in found
        ],
        right=range(2, 8),
    )


def _costs(rows: Sequence[Row]) -> Iterator[str]:
    yield from table(
        _COSTS,
        [
            (
                *(row["scene"], row["tool"], str(row["times"]), f"{row['changed']:,}"),
                *(_time(row, name) for name in ("seconds", "cpu_seconds", "server_seconds", "standin_seconds")),
                *(f"{row['requests']:,g}", "" if row["rows_per_change"] is None else significant(row["rows_per_change"])),
                *(f"{row['wrong']:,}", _time(row, "peak_mib"), significant(row["state_mib"])),
            )
            for row in rows
        ],
        right=range(2, 13),
    )


def _plot(title: str, rows: Sequence[Row]) -> str:
    scenes = list(dict.fromkeys(row["scene"] for row in rows))
    groups = [Group(name=scene, bars=[_bar(row) for row in rows if row["scene"] == scene]) for scene in scenes]
    return bars("Seconds of processors a sync", title, "s", groups)


def _bar(row: Row) -> Bar:
    return Bar(series=row["tool"], value=row["cpu_seconds"], instead=f"{row['wrong']:,} users {WRONG}")


def _time(row: Row, name: str) -> str:
    if name not in row:
        # The result is of before this was measured.
        return ""
    return WRONG if row[name] is None else significant(row[name])


def _or_never(value: float | None) -> str:
    return "never" if value is None else significant(value)
