"""What the documents name exists, and every module has its place in the README's map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))

    missing = [link for link in links if not (document.parent / link).exists()]

    assert missing == []


def test_the_readme_names_every_module_of_the_program() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.partition("## Where is …?")[2].partition("```\n\n")[0]
    modules = {path.stem for path in (ROOT / "sync").iterdir() if path.suffix in ("", ".py") and not path.name.startswith("__")}

    missing = sorted(module for module in modules if not re.search(rf"\b{module}(\.py|/|\b)", tree))

    assert missing == []


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_a_document_names_exist(document: Path) -> None:
    named = set(re.findall(r"`(sync/[\w/]+\.(?:py|lark))`", document.read_text(encoding="utf-8")))

    missing = sorted(name for name in named if not (ROOT / name).exists())

    assert missing == []
