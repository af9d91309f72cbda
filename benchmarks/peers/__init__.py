"""What a sync costs with this program and with what a user would pick instead, on the same work, and whether it is right.

A shop's events in PostgreSQL, ten a user; the audience of those who ordered within thirty days; a stand-in for Moesif. The tools
sync it to one stand-in each while the same things happen to all of them. Each is as it is in production: ours a running service,
the others a process that a clock starts, with the SQL that a user has to write around it. Their processors' time has the database
server's in it. No time is given where the values that came out are wrong.

The musts are meant for a million users.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg
from sqlalchemy import text

from benchmarks.databases import POSTGRESQL, opened
from benchmarks.peers import environments, musts
from benchmarks.peers.ours import Ours
from benchmarks.peers.processors import Server
from benchmarks.peers.scenes import Row, Stage
from benchmarks.peers.tool import Cost, Scheduled, Setting, Tool, median
from benchmarks.peers.world import EVENTS_PER_USER, MEMBERS, World, filled
from benchmarks.report import Report, require_equal

EQUAL: Final = Setting(name="equal", latency=0.0, batch=100, connections=1)
DEFAULTS: Final = Setting(name="defaults", latency=0.010, batch=None, connections=None)
TUNED: Final = Setting(name="tuned", latency=0.010, batch=500, connections=4)
SETTINGS: Final = {setting.name: setting for setting in (EQUAL, DEFAULTS, TUNED)}

COMMANDS: Final = {"script": ("python", "sync.py"), "drt": ("./sync.sh",), "dlt": ("./sync.sh",), "singer": ("./sync.sh",)}
"""What cron starts, by tool, in a copy of the folder of that name."""


SCENES: Final[dict[str, Callable[[Stage, argparse.Namespace], None]]] = {
    "first": lambda stage, _: stage.first_push(),
    "nothing": lambda stage, given: stage.nothing(max(given.times, 20)),
    "0.1": lambda stage, given: stage.changes("0.1 % changed", given.size // 1000, given.times),
    "1": lambda stage, given: stage.changes("1 % changed", given.size // 100, max(1, given.times // 2)),
    "10": lambda stage, given: stage.changes("10 % changed", given.size // 10, 1),
    "expiry": lambda stage, given: stage.expiry(given.size // 1000, max(1, given.times // 2)),
    "rejected": lambda stage, given: stage.rejected(given.size // 100),
    "time-out": lambda stage, given: stage.timed_out(given.size // 1000, given.held),
    "kill": lambda stage, given: stage.killed(given.size // 10),
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(database=POSTGRESQL)
    parser.add_argument("--size", type=int, default=10_000, metavar="N")
    parser.add_argument("--tools", nargs="*", default=[*COMMANDS], choices=[*COMMANDS], help="which peers, beside this program")
    parser.add_argument("--settings", nargs="*", default=[*SETTINGS], choices=[*SETTINGS])
    parser.add_argument("--scenes", nargs="*", default=[*SCENES], choices=[*SCENES], help="of the setting `equal`")
    parser.add_argument("--times", type=int, default=5, metavar="N", help="how often the scenes that can be repeated are measured")
    parser.add_argument("--held", type=float, default=35.0, metavar="SECONDS", help="how long a time-out after acceptance lasts")
    parser.add_argument("--environments", default=".peers", metavar="FOLDER", help="where the peers' virtual environments are kept")
    parser.add_argument("--here", action="store_true", help="use this Python for the peers: whoever has installed what they need")


def run(arguments: argparse.Namespace, urls: Iterator[str]) -> Report:
    """Play every scene under every setting that is asked for."""
    report = Report(sizes={"users": arguments.size, "events": arguments.size * EVENTS_PER_USER})
    with ExitStack() as stack:
        world = _world(report, stack, urls, arguments)
        server, tools = _tools(report, stack, world, arguments)
        rows: list[Row] = []
        for name in arguments.settings:
            stage = Stage(world, tools, SETTINGS[name])
            (_whole if name == EQUAL.name else _short)(stage, arguments)
            rows += stage.rows
        by_hand = _by_hand(report, world, server, arguments.times)
    report.tables["syncs"] = [row.as_json() for row in rows]
    musts.add(report, rows, by_hand)
    if arguments.size < 1_000_000:
        report.notes.append("the musts are meant for 1,000,000 users; these are fewer")
    return report


def _world(report: Report, stack: ExitStack, urls: Iterator[str], arguments: argparse.Namespace) -> World:
    with report.timing("fill").once():
        url, purchases = filled(urls, arguments.size, keep=arguments.keep is not None)
    return World(url, stack.enter_context(opened(url)), purchases, arguments.size)


def _tools(report: Report, stack: ExitStack, world: World, arguments: argparse.Namespace) -> tuple[Server, list[Tool]]:
    poll = stack.enter_context(psycopg.connect(world.libpq_url(), autocommit=True))
    server = Server(world.store, [poll.info.backend_pid])
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="personas-sync-peers-", ignore_cleanup_errors=True)))
    tools: list[Tool] = [Ours(world, poll, server, folder)]
    for name in arguments.tools:
        environment = environments.here() if arguments.here else environments.made(name, Path(arguments.environments).resolve())
        report.facts[f"installed for {name}"] = str(environment)
        tools.append(Scheduled(name, COMMANDS[name], world, server, environment, folder))
    for tool in tools:
        stack.callback(tool.end)
    return server, tools


def _whole(stage: Stage, arguments: argparse.Namespace) -> None:
    for name in arguments.scenes:
        SCENES[name](stage, arguments)


def _short(stage: Stage, arguments: argparse.Namespace) -> None:
    stage.first_push()
    stage.changes("0.1 % changed", arguments.size // 1000, max(1, arguments.times // 2))


def _by_hand(report: Report, world: World, server: Server, times: int) -> Cost:
    """Measure the windowed SQL alone."""
    timing, costs = report.timing("the windowed SQL by hand, nothing compared and nothing sent"), list[Cost]()
    for _ in range(times):
        before = server.seconds()
        with world.store.reading() as connection, timing.once():
            found = connection.execute(text(MEMBERS), {"now": world.now}).scalar_one()
        require_equal("members by hand", found, len(world.members()))
        costs.append(Cost(seconds=timing.seconds[-1], cpu_seconds=0.0, server_seconds=server.seconds() - before, peak_bytes=0))
    return median(costs)
