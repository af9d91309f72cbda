"""What happens to the tools, one scene after the other: the same to each of them, at the same instants, and what came of it.

After every sync the stand-in is asked whom it holds to be in, and that is held to who ordered when.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Final

from benchmarks.peers.standin import StandIn
from benchmarks.peers.tool import Cost, Setting, Tool, median
from benchmarks.peers.world import World

SYNCS_TO_HEAL: Final = 3
"""After so many syncs without a further fault, what is still wrong is lost."""

MEBI: Final = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What one scene did with one tool. Without times where the values were wrong at the end, or the tool was killed."""

    setting: str
    scene: str
    tool: str
    times: int
    changed: int
    """Users whose membership changed, each time."""
    seconds: float | None
    cpu_seconds: float | None
    """Of the tool and of the database server."""
    server_seconds: float | None
    """Of the database server alone."""
    standin_seconds: float | None
    """Of the stand-in, beside those of the tool and the server: it works on the same processors."""
    peak_mib: float | None
    requests: float
    rows: float
    rows_per_change: float | None
    repeated: int
    """Rows that told what the stand-in held already."""
    wrong: int
    """Users of whom the stand-in held the wrong value after the sync."""
    healed_after: int | None = None
    """Further syncs until nothing was wrong; None where that was not the question, or never came."""
    heal_seconds: float | None = None
    lost: int = 0
    """Users of whom it still held the wrong value at the end."""
    state_mib: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(kw_only=True, slots=True)
class Player:
    """A tool, its stand-in, and what should have come out of its last sync."""

    tool: Tool
    standin: StandIn
    world: World
    members: frozenset[str] = frozenset()
    """Who was in as of the last sync."""
    cost: Cost | None = None
    """Of the last sync."""
    standin_seconds: list[float] = field(default_factory=list)
    """What each sync cost the stand-in, since the last scene."""

    def sync(self, *, with_faults: bool = False) -> Cost:
        before = self.standin.cpu_seconds()
        self.tool.start(with_faults=with_faults)
        self.cost = self.tool.finish()
        self.standin_seconds.append(self.standin.cpu_seconds() - before)
        self.look()
        return self.cost

    def look(self) -> None:
        """Learn who was in as of the last sync. To be done before anything else happens in the world."""
        self.world.move_to(self.tool.instant())
        self.members = self.world.members(self.tool.instant())

    def wrong(self) -> int:
        """Return of how many users the stand-in holds the wrong value."""
        return len(self.standin.members() ^ self.members)


class Stage:
    """The tools under one setting, from the first day on."""

    def __init__(self, world: World, tools: Sequence[Tool], setting: Setting) -> None:
        self._world, self._setting = world, setting
        self._players = [Player(tool=tool, standin=tool.begin(setting), world=world) for tool in tools]
        self._draw = random.Random(7)
        self.rows: list[Row] = []

    # ── scenes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def first_push(self) -> None:
        self._several("first push", 1, lambda: None)

    def changes(self, name: str, users: int, times: int) -> None:
        """Half of the users enter, and half leave."""
        self._several(name, times, lambda: self._world.pass_by(users // 2, users - users // 2))

    def expiry(self, users: int, times: int) -> None:
        """Nobody does anything; the clock moves."""
        self._several("expiry only", times, lambda: self._world.pass_by(0, users))

    def nothing(self, times: int) -> None:
        self._world.into_a_lull(timedelta(seconds=times + 4))
        for player in self._players:
            player.sync()
        self._world.refresh()
        # What all tools had the server do before is nobody's cost of doing nothing.
        self._world.write_back()
        for player in self._players:
            player.standin.count_anew()
            before = player.members
            beside = player.standin.cpu_seconds()
            cost = player.tool.idle(times)
            player.standin_seconds = [(player.standin.cpu_seconds() - beside) / times]
            player.look()
            self._note("nothing changed", player, [cost], len(before ^ player.members), times=times)

    def rejected(self, users: int) -> None:
        """One user in a hundred of those that changed is refused, with the batch that they are in; then they are mended."""
        before = self._world.members()
        self._world.pass_by(users // 2, users - users // 2)
        changed = sorted(before ^ self._world.members())
        refused = self._draw.sample(changed, max(1, len(changed) // 100))
        for player in self._players:
            player.standin.behave(latency=self._setting.latency, refused=refused)
            self._with_fault("1 % rejected, then mended", player, with_faults=False)

    def timed_out(self, users: int, held_seconds: float) -> None:
        """The first request is taken, and never answered."""
        self._world.pass_by(users // 2, users - users // 2)
        for player in self._players:
            player.standin.behave(latency=self._setting.latency, held=1, held_seconds=held_seconds)
            self._with_fault("time-out after acceptance", player, with_faults=True)

    def killed(self, users: int) -> None:
        """The tool is killed when half of the changes were taken."""
        self._world.pass_by(users // 2, users - users // 2)
        for player in self._players:
            before = player.members
            player.standin.count_anew()
            player.tool.start(with_faults=True)
            player.standin.wait_for(users // 2)
            player.tool.kill()
            player.look()
            self._heal("kill -9 at half", player, before, None)

    # ── how they are played ──────────────────────────────────────────────────────────────────────────────────────────────

    def _several(self, name: str, times: int, happen: Callable[[], None]) -> None:
        measured: dict[str, list[Cost]] = {player.tool.name: [] for player in self._players}
        changed: Counter[str] = Counter()
        for player in self._players:
            player.standin.count_anew()
        for _ in range(times):
            happen()
            self._world.refresh()
            for player in self._players:
                before = player.members
                measured[player.tool.name].append(player.sync())
                changed[player.tool.name] += len(before ^ player.members)
        for player in self._players:
            self._note(name, player, measured[player.tool.name], changed[player.tool.name], times=times)

    def _with_fault(self, name: str, player: Player, *, with_faults: bool) -> None:
        before = player.members
        player.standin.count_anew()
        cost = player.sync(with_faults=with_faults)
        self._heal(name, player, before, cost)
        player.standin.behave(latency=self._setting.latency)

    def _heal(self, name: str, player: Player, before: frozenset[str], cost: Cost | None) -> None:
        """Let a tool sync without further faults until nothing is wrong, or there is no hope."""
        player.standin.behave(latency=self._setting.latency)
        wrong = left = player.wrong()
        began, syncs = time.monotonic(), 0
        while left and syncs < SYNCS_TO_HEAL:
            player.tool.mend()
            player.sync(with_faults=cost is None)
            syncs += 1
            left = player.wrong()
        took = time.monotonic() - began
        healed = {"healed_after": None if left else syncs, "heal_seconds": None if left else took if syncs else 0.0}
        changed = len(before ^ player.members)
        self._note(name, player, [cost] if cost else [], changed, times=1, wrong=wrong, lost=left, **healed)

    def _note(
        self, name: str, player: Player, costs: list[Cost], changed: int, *, times: int, wrong: int | None = None, **more: Any
    ) -> None:
        counts, wrong_now = player.standin.counts(), player.wrong()
        beside, player.standin_seconds = player.standin_seconds, []
        cost = median(costs) if costs and not wrong_now else None
        self.rows.append(
            Row(
                setting=self._setting.name,
                scene=name,
                tool=player.tool.name,
                times=times,
                changed=round(changed / times),
                seconds=cost.seconds if cost else None,
                cpu_seconds=cost.cpu_seconds + cost.server_seconds if cost else None,
                server_seconds=cost.server_seconds if cost else None,
                standin_seconds=statistics.median(beside) if cost and beside else None,
                peak_mib=cost.peak_bytes / MEBI if cost else None,
                requests=counts.requests / times,
                rows=counts.rows / times,
                rows_per_change=counts.rows / changed if changed else None,
                repeated=counts.repeated,
                wrong=wrong_now if wrong is None else wrong,
                state_mib=player.tool.state_bytes() / MEBI,
                **more,
            )
        )
