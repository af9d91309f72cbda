"""The long runs: the code of tests/crash, with as many repetitions as you have time for.

python -m tests.night --kills 1000 --database sqlite
python -m tests.night --kills 1000 --database postgresql --seed 7
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.databases import databases, opened
from sync.standin import StandIn
from sync.store import Store
from tests.crash.kills import Tally, kill_often
from tests.crash.life import KEY, Folder

AT_A_TIME = 50
"""Kills in one store; after so many everything is held to the oracle, and the next ones begin anew."""


def main() -> None:
    wanted = _arguments()
    done, started = 0, time.monotonic()
    for round in range(-(-wanted.kills // AT_A_TIME)):
        kills = min(AT_A_TIME, wanted.kills - done)
        with databases(wanted.database) as urls, tempfile.TemporaryDirectory() as folder, _standin() as standin:
            url = next(urls)
            with opened(url) as store:
                tally = _killed(Folder.made(Path(folder) / "folder", url, standin.url), store, standin, kills, wanted.seed + round)
        done += kills
        print(f"{done} kills, {time.monotonic() - started:.0f} s, last: seed {wanted.seed + round}, {tally}", flush=True)


def _killed(place: Folder, store: Store, standin: StandIn, kills: int, seed: int) -> Tally:
    try:
        return kill_often(place, store, standin, kills, seed)
    except AssertionError:
        print(f"seed {seed}; what the program said last:\n{place.log()[-10_000:]}")
        raise
    finally:
        place.end()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.night", description="Kill the program again and again.")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _standin() -> StandIn:
    return StandIn.start(application_id=KEY, remember=True)


if __name__ == "__main__":
    main()
