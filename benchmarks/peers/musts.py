"""What the comparison must show."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Final

from benchmarks.peers.ours import OURS
from benchmarks.peers.scenes import Row
from benchmarks.peers.tool import Cost
from benchmarks.report import Report

SCRIPT: Final = "script"
WITHOUT_FAULTS: Final = frozenset({"first push", "nothing changed", "0.1 % changed", "1 % changed", "10 % changed", "expiry only"})


def add(report: Report, rows: Iterable[Row], by_hand: Cost) -> None:
    """Hold the rows to what they must show; what was not measured is not held to anything."""
    found = {(row.setting, row.scene, row.tool): row for row in rows}
    _correct(report, [row for row in found.values() if row.tool == OURS])
    _changes(report, found, by_hand)
    _idle(report, found)
    _first_push(report, found)


def _correct(report: Report, ours: list[Row]) -> None:
    plain = [row for row in ours if row.scene in WITHOUT_FAULTS]
    report.must("ours: users told wrong without faults", sum(row.wrong for row in plain), unit="users", most=0)
    report.must("ours: users lost, faults or not", sum(row.lost for row in ours), unit="users", most=0)
    per_change = [row.rows_per_change for row in plain if row.rows_per_change is not None]
    for name, limit in (("most", max), ("least", min)) if per_change else ():
        report.must(f"ours: rows sent ÷ rows changed without faults, {name}", limit(per_change), most=1.0, least=1.0)


def _changes(report: Report, found: dict[tuple[str, str, str], Row], by_hand: Cost) -> None:
    ours = found.get(("equal", "0.1 % changed", OURS))
    if ours is None or ours.seconds is None or ours.cpu_seconds is None:
        return
    others = _others(found, "equal", "0.1 % changed")
    if others:
        report.must("0.1 % changed: wall, best peer ÷ ours", min(seconds for seconds, _ in others) / ours.seconds, least=4)
        report.must("0.1 % changed: processors, best peer ÷ ours", min(cpu for _, cpu in others) / ours.cpu_seconds, least=4)
    report.must("0.1 % changed: wall, ours ÷ the windowed SQL", ours.seconds / by_hand.seconds, most=1.3)
    report.must("0.1 % changed: processors, ours ÷ the windowed SQL", _ratio(ours.cpu_seconds, by_hand.server_seconds), most=1.3)


def _idle(report: Report, found: dict[tuple[str, str, str], Row]) -> None:
    ours, others = found.get(("equal", "nothing changed", OURS)), _others(found, "equal", "nothing changed")
    if ours is None or ours.seconds is None or ours.cpu_seconds is None or not others:
        return
    report.must("nothing changed: wall, best peer ÷ ours", min(seconds for seconds, _ in others) / ours.seconds, least=100)
    report.must("nothing changed: processors, best peer ÷ ours", min(cpu for _, cpu in others) / ours.cpu_seconds, least=100)


def _first_push(report: Report, found: dict[tuple[str, str, str], Row]) -> None:
    ours, script = found.get(("equal", "first push", OURS)), found.get(("equal", "first push", SCRIPT))
    if ours is not None and script is not None and ours.seconds is not None and script.seconds is not None:
        report.must("first push, one connection, no latency: ours ÷ the script", ours.seconds / script.seconds, most=1.5)
    ours, others = found.get(("defaults", "first push", OURS)), _others(found, "defaults", "first push")
    if ours is not None and ours.seconds is not None and others:
        best = min(seconds for seconds, _ in others)
        report.must("first push, 10 ms, each with its defaults: best peer ÷ ours", best / ours.seconds, least=2.5)
        _tell_limit(report, ours, best)


def _tell_limit(report: Report, ours: Row, best: float) -> None:
    """Tell what could be had at most if no processor ever waited: the work of the service, of the server and of who takes it in."""
    if ours.cpu_seconds is not None and ours.standin_seconds is not None:
        at_least = (ours.cpu_seconds + ours.standin_seconds) / (os.cpu_count() or 1)
        said = "first push, 10 ms, each with its defaults: best peer ÷ ours, were every processor always at work"
        report.facts[said] = round(best / at_least, 2)


def _others(found: dict[tuple[str, str, str], Row], setting: str, scene: str) -> list[tuple[float, float]]:
    """Return what a sync took with each peer that was right."""
    return [
        (row.seconds, row.cpu_seconds)
        for (of, played, tool), row in found.items()
        if (of, played) == (setting, scene) and tool != OURS and row.seconds is not None and row.cpu_seconds is not None
    ]


def _ratio(one: float, other: float) -> float:
    return one / other if other else math.inf
