"""The gate's list of the parts of what is locked: what it makes of cyclonedx-py's."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LOCKED = "a-b==1.2 \\\n    --hash=sha256:00\n    # via c\nc==3 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"


@pytest.fixture(scope="module")
def parts() -> Any:
    spec = importlib.util.spec_from_file_location("parts", ROOT / ".ci" / "parts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed(**versions: str) -> dict[str, Any]:
    return {"components": [{"name": name, "version": version} for name, version in versions.items()]}


def test_where_all_that_is_locked_is_listed_all_is_well(parts: Any) -> None:
    said = "2 parts listed, 1 packages locked for this system"

    assert parts.judged(listed(A_b="1.2", other="1"), LOCKED) == (0, [said])


@pytest.mark.parametrize("found", [{"c": "3"}, {"a-b": "1.3"}])
def test_what_is_locked_and_not_listed_at_that_version_fails_and_is_named(parts: Any, found: dict[str, str]) -> None:
    code, said = parts.judged(listed(**found), LOCKED)

    assert code == 1
    assert said[0] == "a-b 1.2: locked, and not in the list"


def test_a_list_that_could_not_be_written_is_said_and_fails_nothing(parts: Any) -> None:
    code, said = parts.judged(None, LOCKED)

    assert code == 0
    assert "NO LIST OF PARTS" in said[0]


def test_a_lock_file_in_which_nothing_is_found_is_not_called_listed(parts: Any) -> None:
    assert parts.judged(listed(a="1"), "")[0] == 1


def test_every_entry_of_our_lock_file_is_looked_for(parts: Any) -> None:
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")

    assert len(parts.NAMED.findall(locked)) == sum("==" in line and not line.startswith((" ", "#")) for line in locked.splitlines())
