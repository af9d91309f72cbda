#!/usr/bin/env python3
"""Look for known vulnerabilities among the packages of an environment, and say plainly what was not looked at.

    python .ci/audit.py [FOLDER]       the site-packages of the environment; default: those of the Python that runs this

pip-audit does the looking, in an environment of its own. It calls a package that its service does not know "skipped", says that no
vulnerability is known, and ends well; so its report is read here. Exit 1: something is known. Exit 0: nothing is, or nobody could
be asked, which is said and is no reason for a gate to fail. With --strict the latter is exit 2.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

OURS = "personas-sync"
LONGEST = 180
"""Seconds."""


def main(arguments: list[str]) -> int:
    """Audit, say what was found, and return the exit code."""
    strict = "--strict" in arguments
    places = [argument for argument in arguments if not argument.startswith("-")] or [sysconfig.get_path("purelib")]
    code, said = judged(_report(Path(places[0])), strict=strict)
    print("\n".join(said))
    return code


def judged(report: dict[str, Any] | None, *, strict: bool) -> tuple[int, list[str]]:
    """Return the exit code and what there is to say about pip-audit's report; None is one that never came."""
    if report is None:
        return 2 if strict else 0, ["NOT AUDITED: nobody could be asked about known vulnerabilities"]
    found = [one for one in report["dependencies"] if one["name"] != OURS]
    skipped = [one["name"] for one in found if "skip_reason" in one]
    known = [f"{one['name']} {one['version']}: {fault['id']}{_mended(fault)}" for one in found for fault in one.get("vulns", ())]
    lines = [*known, f"{len(found) - len(skipped)} of {len(found)} packages audited, {len(known)} vulnerabilities known"]
    if skipped:
        lines.append(f"NOT AUDITED, since the service does not know them: {', '.join(skipped)}")
    return 1 if known else 2 if skipped and strict else 0, lines


def _mended(fault: dict[str, Any]) -> str:
    return f", mended in {', '.join(fault['fix_versions'])}" if fault.get("fix_versions") else ""


def _report(packages: Path) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python, out = Path(folder) / "bin" / "python", Path(folder) / "report.json"
        _run([python, "-m", "pip", "install", "-q", "pip-audit>=2.10"]).check_returncode()
        ask = [python, "-m", "pip_audit", "--path", packages, "-f", "json", "-o", out, "--progress-spinner", "off"]
        try:
            done = _run([*ask, "--timeout", "10"])
        except subprocess.TimeoutExpired:
            return None
        if not out.exists():
            print(done.stderr.strip().rpartition("\n")[2], file=sys.stderr)
            return None
        report: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return report


def _run(command: list[Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)  # noqa: S603 - our own words


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
