"""The tests that a document names as holding what it says exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAME = r"`(tests/[\w/]+\.py)(?:::(\w+))?`"
NAMED = [
    pytest.param(document, id=document.name)
    for document in sorted((ROOT / "docs").rglob("*.md"))
    if re.search(_NAME, document.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("document", NAMED)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(_NAME, document.read_text(encoding="utf-8")))

    missing = [f"{file}::{test}" for file, test in sorted(named) if not _exists(ROOT / file, test)]

    assert named
    assert missing == []


def _exists(file: Path, test: str) -> bool:
    return file.is_file() and (
        not test or re.search(rf"^(async )?def {test}\(", file.read_text(encoding="utf-8"), re.MULTILINE) is not None
    )


@pytest.mark.parametrize("page", ["security.md", "reliability.md"])
def test_every_row_of_the_page_names_a_test(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| threat", "| fault", "| ---"))]

    assert len(rows) > 25
    assert [row for row in rows if "`tests/" not in row] == []
