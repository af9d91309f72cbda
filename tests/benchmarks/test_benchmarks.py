"""The benchmarks run, check their answers, and give the JSON that others read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def ran(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_list_says_what_there_is() -> None:
    assert {line.split()[0] for line in ran("list").splitlines()} == {"compute", "plans"}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_small_run_gives_timings_musts_and_what_it_ran_on(database: str) -> None:
    words = ("--profiles", "300", "--events", "3000", "--idle", "3", "--looks", "3", "--changed", "10", "--json")

    told = json.loads(ran("run", "compute", "--database", database, *words))

    assert {"machine", "versions", "command"} <= told.keys()
    assert told["sizes"]["profiles"] == 300
    assert any(timing["name"] == "nothing changed: a tick" for timing in told["timings"])
