"""The gate's look for known vulnerabilities: what it makes of pip-audit's report."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[1] / ".ci" / "audit.py"

GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_known_vulnerability_fails_and_is_named_with_its_remedy(audit: Any) -> None:
    code, said = audit.judged({"dependencies": [GOOD, BAD, UNKNOWN]}, strict=False)

    assert code == 1
    assert said[0] == "bad 2: PYSEC-1, mended in 3"


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 2)])
def test_what_nobody_could_be_asked_about_is_not_called_audited(audit: Any, strict: bool, code: int) -> None:
    skipped = audit.judged({"dependencies": [GOOD, UNKNOWN]}, strict=strict)

    assert skipped[0] == code
    assert skipped[1][0] == "1 of 2 packages audited, 0 vulnerabilities known"
    assert "NOT AUDITED" in skipped[1][1]
    assert audit.judged(None, strict=strict)[0] == code


@pytest.mark.parametrize("strict", [False, True])
def test_where_all_was_audited_and_nothing_is_known_all_is_well(audit: Any, strict: bool) -> None:
    ours = UNKNOWN | {"name": "personas-sync"}

    assert audit.judged({"dependencies": [GOOD, ours]}, strict=strict) == (0, ["1 of 1 packages audited, 0 vulnerabilities known"])
