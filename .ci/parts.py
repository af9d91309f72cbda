#!/usr/bin/env python3
"""Write the list of the parts of an environment (SBOM, CycloneDX), and look that it has every package of a lock file.

    python .ci/parts.py PYTHON LOCKED OUT       the environment's Python, `requirements.txt`, and the file to write

cyclonedx-py does the writing, in an environment of its own. Exit 1: a package is missing, or stands at another version. Exit 0: all
is there, or cyclonedx-py could not be installed, which is said and is no reason for a gate to fail.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from packaging.markers import Marker

NAMED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))? \\$", re.MULTILINE)
"""A name, a version, and for which systems, where not for all."""
LONGEST = 180
"""Seconds."""


def main(arguments: list[str]) -> int:
    """Write the list, say what is in it, and return the exit code."""
    python, locked, out = arguments
    code, said = judged(_parts(python, Path(out)), Path(locked).read_text(encoding="utf-8"))
    print("\n".join(said))
    return code


def judged(parts: dict[str, Any] | None, locked: str) -> tuple[int, list[str]]:
    """Return the exit code and what there is to say about a list; None is one that could not be written."""
    if parts is None:
        return 0, ["NO LIST OF PARTS: cyclonedx-py could not be installed"]
    found = {(_plain(part["name"]), part["version"]) for part in parts["components"]}
    wanted = [
        (_plain(name), version) for name, version, systems in NAMED.findall(locked) if not systems or Marker(systems).evaluate()
    ]
    missing = [f"{name} {version}: locked, and not in the list" for name, version in wanted if (name, version) not in found]
    return 1 if missing or not wanted else 0, [
        *missing,
        f"{len(found)} parts listed, {len(wanted)} packages locked for this system",
    ]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _parts(python: str, out: Path) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        own = Path(folder) / "bin" / "python"
        try:
            installed = _run([own, "-m", "pip", "install", "-q", "cyclonedx-bom>=7"])
        except subprocess.TimeoutExpired:
            return None
        if installed.returncode:
            print(installed.stderr.strip().rpartition("\n")[2], file=sys.stderr)
            return None
        _run([own, "-m", "cyclonedx_py", "environment", python, "--of", "JSON", "-o", out]).check_returncode()
        parts: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return parts


def _run(command: list[Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)  # noqa: S603 - our own words


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
