"""kill -9 at every single time that a command asks the kernel to write, to write through, or to cut or remove a file (row 3).

Steps of a transaction are ours to name; these are the kernel's, within SQLite's own commit. strace lets the command die at the
n-th. At some of them only, unless the night asks for all (CRASH_AT_ALL_STEPS=1).
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from signal import SIGKILL

import pytest

from sync.standin import StandIn
from sync.store import Store
from sync.store import schema as t
from tests.crash import oracle
from tests.crash.kills import let_leases_end
from tests.crash.life import Folder
from tests.crash.test_kill_at_every_step import arrive, moesif_is_as_the_ledger, numbers, order

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace"),
    # PostgreSQL's writes are its server's, which tests/faults stops at once instead.
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

ROOT = Path(__file__).parents[2]
AT_ALL = os.environ.get("CRASH_AT_ALL_STEPS") == "1"
EVERY = {"pwrite64": 7, "fdatasync": 1, "ftruncate": 1, "unlink": 1}
"""At every n-th of what the kernel is asked for; of the first there are some fifty, of the others a few."""


def dies(folder: Folder, call: str, number: int, *command: str) -> bool:
    """Let a command die at its n-th call of a name to the kernel; whether it did, or had no such call and ended well."""
    traced = ("strace", "-f", "-o", os.devnull, "-e", f"trace={call}")
    dying = ("-e", f"inject={call}:signal=SIGKILL:when={number}")
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | folder.environ
    with (folder.path / "log").open("ab") as log:
        run = [*traced, *dying, sys.executable, "-m", "sync", *command]
        done = subprocess.run(run, cwd=folder.path, env=environ, stdout=log, stderr=log, timeout=60, check=False)
    assert done.returncode in (0, -SIGKILL), folder.log()[-2000:]
    return done.returncode != 0


def is_sound(folder: Folder) -> bool:
    with sqlite3.connect(folder.environ["SYNC_DATABASE_URL"].removeprefix("sqlite:///")) as connection:
        return bool(connection.execute("PRAGMA quick_check").fetchall() == [("ok",)])


def deaths(folder: Folder, call: str, *command: str) -> Iterator[int]:
    """Let a command die at one call after another until it has no such call; where it says WRITE it is told which that is."""
    for number in count(1, 1 if AT_ALL else EVERY[call]):
        if not dies(folder, call, number, *(word.replace("WRITE", f"{call}-{number}") for word in command)):
            return
        assert is_sound(folder)
        yield number


@pytest.mark.parametrize("call", EVERY)
def test_an_import_is_all_or_nothing_at_every_write(folder: Folder, store: Store, call: str) -> None:
    for number in range(1, 200):
        calls = [order(f"user-{one % 2}", f"{number}:{one}") for one in range(3)]
        (folder.path / f"{call}-{number}.jsonl").write_text("\n".join(map(json.dumps, calls)), encoding="utf-8")

    died = []
    for number in deaths(folder, call, "import", "WRITE.jsonl", "--forward"):
        died.append(number)
        assert numbers(store, t.calls) % 3 == 0, "a part of a file was stored"

    assert died, "it never died"
    assert folder.run("import", *[f"{call}-{number}.jsonl" for number in died], "--forward") == 0
    assert numbers(store, t.calls) == numbers(store, t.deliveries) == 3 * (len(died) + 1)


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_sync_that_dies_at_any_write_ends_with_moesif_as_the_ledger(
    folder: Folder, store: Store, standin: StandIn, call: str
) -> None:
    arrive(store, "first")
    died = 0
    for number in deaths(folder, call, "sync"):
        died += 1
        let_leases_end(store, standin)
        oracle.changes_lead_to_the_ledger(store)
        arrive(store, f"then-{number}")
    assert died
    assert folder.run("sync") == 0
    moesif_is_as_the_ledger(store, standin)
