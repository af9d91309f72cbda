"""What a run costs when nothing, something or everything changed; and what it takes to look one user up.

A store of users who ordered or did not over ninety days, and an audience of two users in five: those who ordered in the last
thirty or, with `--audience revenue`, those who spent 80 or more in the last sixty. Computed as the running service does it,
`sync.compute.compute_slot` in a process that is warm; nothing is sent, but what is owed counts as sent before the next run. Each
run is held to what must come out.

The musts are meant for a million users with ten million events.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from benchmarks import by_hand, looking, push
from benchmarks.audiences import AUDIENCES, Asked
from benchmarks.databases import opened, refreshed
from benchmarks.population import fill
from benchmarks.report import Report, Timing, require_equal
from benchmarks.shop import Shop
from sync.store import leases

TIMES: Final = {10: 30, 100: 20, 1_000: 12, 10_000: 5, 100_000: 3}
"""How often a run is measured, by how many users change."""

WHOLE: Final = 5
"""How often a run over everyone is measured, and the statement by hand beside it."""

WARM: Final = 20
"""Ticks before the first that is measured."""

SMALLER: Final = 100
"""How many times smaller the second store is."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audience", choices=[*AUDIENCES], default="ordered", help="which audience is computed")
    parser.add_argument("--profiles", type=int, default=100_000, metavar="N")
    parser.add_argument("--events", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--idle", type=int, default=500, metavar="N", help="how many ticks without a change to measure")
    parser.add_argument("--looks", type=int, default=500, metavar="N", help="how many users and pages to look up")
    parser.add_argument("--changed", type=int, nargs="*", default=[*TIMES], metavar="K", help="numbers of users that change")
    parser.add_argument("--smaller", action="store_true", help=f"idle ticks of a store {SMALLER} times smaller, too")
    parser.add_argument("--push", action="store_true", help="push every user once to a stand-in, and tell the memory")


def run(arguments: argparse.Namespace, urls: Iterator[str]) -> Report:
    """Measure everything, one after the other."""
    report = Report(sizes={"profiles": arguments.profiles, "events": arguments.events}, subject=arguments.audience)
    with ExitStack() as stack:
        url = next(urls)
        asked = AUDIENCES[arguments.audience]
        shop = _filled(report, stack, url, asked, arguments.profiles, arguments.events)
        _first_run(report, shop)
        rebuild = _rebuilds(report, shop)
        smaller = None
        if arguments.smaller:
            sizes = (max(1, arguments.profiles // SMALLER), max(1, arguments.events // SMALLER))
            smaller = _filled(report, stack, next(urls), asked, *sizes, name=f"fill, {SMALLER} times smaller")
            smaller.first_run(Timing(name="unreported"))
            smaller.settle()
        _idle(report, shop, smaller, arguments.idle)
        _changing(report, shop, rebuild, arguments.changed)
        shop.require_members()
        shop.rebuild(Timing(name="unreported"))
        shop.settle()
        looking.measure(report, shop, arguments.looks)
        if arguments.push:
            push.measure(report, shop, url)
    if arguments.profiles < 1_000_000 or arguments.events < 10_000_000:
        report.notes.append("the musts are meant for 1,000,000 profiles and 10,000,000 events; these are fewer")
    return report


def _filled(report: Report, stack: ExitStack, url: str, asked: Asked, profiles: int, events: int, name: str = "fill") -> Shop:
    with report.timing(name).once():
        purchases = fill(url, profiles, events, purchases=asked.known(profiles))
    shop = Shop(store=stack.enter_context(opened(url)), purchases=purchases, users=profiles, asked=asked)
    shop.define()
    return shop


def _first_run(report: Report, shop: Shop) -> None:
    hand = report.timing("everyone: by hand, before the first run")
    wanted = len(shop.purchases.members(shop.now))
    for _ in range(3):
        with hand.once():
            found = by_hand.difference(shop.store, shop.asked, shop.stored().id, shop.now)
        require_equal("the difference by hand before the first run", found, wanted)
    shop.first_run(report.timing("everyone: first run"))
    shop.settle()
    refreshed(shop.store)
    report.facts["audience"] = shop.asked.definition.query
    report.facts["members"] = wanted


def _rebuilds(report: Report, shop: Shop) -> Timing:
    hand, rebuild = report.timing("everyone: by hand"), report.timing("everyone: rebuild")
    for _ in range(WHOLE):
        with hand.once():
            found = by_hand.difference(shop.store, shop.asked, shop.stored().id, shop.now)
        require_equal("the difference by hand", found, 0)
        shop.rebuild(rebuild)
    report.must("rebuild ÷ the SQL by hand", rebuild.median / hand.median, most=1.5)
    return rebuild


def _idle(report: Report, shop: Shop, smaller: Shop | None, times: int) -> None:
    idle, commit = report.timing("nothing changed: a tick"), report.timing("nothing changed: a commit alone")
    small = report.timing(f"nothing changed: a tick, {SMALLER} times smaller")
    for one in (shop, smaller) if smaller is not None else (shop,):
        for _ in range(WARM):
            one.idle()
    # One after the other, so that whatever else the machine does falls upon all alike.
    for _ in range(times):
        shop.idle(idle)
        _commit(shop, commit)
        if smaller is not None:
            smaller.idle(small)
    report.facts["statements of a tick with nothing changed"] = len(shop.statements(shop.idle))
    report.must("a tick with nothing changed, median", idle.median * 1000, unit="ms", most=5)
    report.must("a tick with nothing changed, 99 %", idle.percentile(99) * 1000, unit="ms", most=5)
    if smaller is not None:
        report.must(f"a tick with nothing changed ÷ one {SMALLER} times smaller", idle.median / small.median, most=2)


def _commit(shop: Shop, timing: Timing) -> None:
    """Change one row and commit, as the service's heart does: what a tick cannot do without."""
    with timing.once(), shop.store.writing() as connection:
        leases.beat(connection, "benchmark", shop.now, "")


def _changing(report: Report, shop: Shop, rebuild: Timing, numbers: list[int]) -> None:
    idle = next(one for one in report.timings if one.name == "nothing changed: a tick").median
    measured: dict[int, Timing] = {}
    for users in sorted(numbers):
        timing = report.timing(f"{users:,} users changed: a tick", users)
        for _ in range(TIMES.get(users, 5)):
            if not shop.changing(timing, users):
                report.notes.append(f"{users:,} changes: too few users are in or out for more than {len(timing.seconds)} times")
                break
            shop.settle()
        if timing.seconds:
            measured[users] = timing
    base = measured.get(1000)
    if base is None:
        return
    per_user, above_idle = base.median / 1000, max(base.median - idle, 1e-9) / 1000
    for users, timing in measured.items():
        if users != 1000:
            report.must(f"{users:,} changed ÷ 1,000 changed, a user", timing.median / users / per_user, most=3)
            more = (timing.median - idle) / users / above_idle
            report.facts[f"{users:,} changed ÷ 1,000 changed, a user, less an idle tick each"] = round(more, 2)
    report.must("rebuild ÷ 1,000 changed", rebuild.median / base.median, least=50)
