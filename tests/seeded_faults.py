"""Show that the search for differences between SQL and the reading can fail: seed it with faults, one at a time.

    python -m tests.seeded_faults

Each fault is one edit of a copy of the compiler; the search runs against the copy and has to find a difference. Exits with 1 if a
fault goes unnoticed. Takes a few minutes, which is why it is no test itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEARCH = "tests/compiler/test_sql_and_reading_agree_on_a_crowd.py"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One edit, and what it gets wrong."""

    what: str
    file: str
    old: str
    new: str


FAULTS = (
    Fault(
        what="a window takes in its older end",
        file="streams.py",
        old="yield micros(table.c.timestamp) > _at(window.after)",
        new="yield micros(table.c.timestamp) >= _at(window.after)",
    ),
    Fault(
        what="a child at the parent's own instant counts",
        file="streams.py",
        old="return and_(at > parent + _at(after)",
        new="return and_(at >= parent + _at(after)",
    ),
    Fault(
        what="NOT of an unknown is unknown",
        file="comparisons.py",
        old="else condition.is_not(true())",
        new="else ~condition",
    ),
    Fault(
        what="`!=` holds for an absent value",
        file="comparisons.py",
        old="return every(present(left), present(right), negated(equal(left, right)))",
        new="return negated(equal(left, right))",
    ),
    Fault(
        what="`<=` means `<`",
        file="comparisons.py",
        old="Operator.AT_MOST: lambda left, right: left <= right",
        new="Operator.AT_MOST: lambda left, right: left < right",
    ),
)


def main() -> int:
    unnoticed = [fault.what for fault in FAULTS if not noticed(fault)]
    for what in unnoticed:
        print(f"NOT NOTICED: {what}")
    return 1 if unnoticed else 0


def noticed(fault: Fault) -> bool:
    """Run the search against a copy of the program with the fault in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("sync", "tests", "migrations"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "sync" / "store" / "compiler" / fault.file
        text = path.read_text(encoding="utf-8")
        assert text.count(fault.old) == 1, f"{fault.file} has changed: mend the table of faults ({fault.what})"
        path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        environment = {**os.environ, "COMPILER_EXAMPLES": "1500", "PYTHONPATH": str(copy)}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", SEARCH, "-k", "sqlite"]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stdout[-2000:]
        print(f"{'noticed' if done.returncode == 1 else 'passed'}: {fault.what}", flush=True)
        return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
