"""What is installed where nothing is to be installed that nobody looked at: `requirements.txt`, each package with its hashes.

That it can be installed, and that the program works with nothing else, is seen in the gate, by `.ci/run`.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED: Final = [Requirement(one) for one in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["postgres"])]
LOCKED: Final = (ROOT / "requirements.txt").read_text(encoding="utf-8")

ENTRY: Final = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; [^\\\n]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+((?:    # .*\n)+)", re.MULTILINE
)
"""A name, a version, for which systems where not for all, the hashes of its files, and who needs it."""


def test_there_is_nothing_but_packages_each_with_its_hashes() -> None:
    left = [line for line in ENTRY.sub("", LOCKED).splitlines() if not line.startswith("# ")]

    assert left == []


@pytest.mark.parametrize("needed", NEEDED, ids=lambda one: one.name)
def test_what_the_program_needs_is_locked_at_a_version_that_it_may_have(needed: Requirement) -> None:
    versions = {name: version for name, version, _ in ENTRY.findall(LOCKED)}

    assert needed.specifier.contains(versions[canonicalize_name(needed.name)])


def test_nothing_is_locked_that_nobody_needs() -> None:
    needed = {canonicalize_name(one.name) for one in NEEDED}
    locked = {name: set(re.findall(r"# +(?:via )?([a-z0-9-]+)", who)) for name, _, who in ENTRY.findall(LOCKED)}

    assert {name for name, who in locked.items() if PROJECT["name"] in who} == needed
    assert all(who - {"via"} <= {*locked, PROJECT["name"]} for who in locked.values())
