"""docs/definitions.md shows files that are read without a fault, and names every field."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sync.compute import traits_read
from sync.definitions import read
from sync.definitions.fields import AUDIENCE, COMPUTED_TRAIT, DEFAULTS, FILE, GUARD
from tests.docs.examples import DOCS, blocks

DOCUMENTS = ["docs/definitions.md", "README.md"]


def yaml_of(document: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", (DOCS.parent / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_shown_is_read_without_a_fault(document: str) -> None:
    shown = yaml_of(document)

    assert shown
    for text in shown:
        assert read([(document, text)], traits_read)


def test_the_page_names_every_field() -> None:
    page = (Path(DOCS) / "definitions.md").read_text(encoding="utf-8")
    fields = {*FILE, *DEFAULTS, *AUDIENCE, *COMPUTED_TRAIT, *GUARD}

    assert sorted(name for name in fields if not re.search(rf"\b{name}\b", page)) == []


def test_the_page_shows_definitions() -> None:
    assert len(blocks("definitions.md", "yaml")) == 2
