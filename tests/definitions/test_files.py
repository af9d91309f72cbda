"""Definitions on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.definitions import load
from sync.errors import InputError


def test_a_file_is_loaded_under_its_path(tmp_path: Path) -> None:
    path = tmp_path / "any.name"
    path.write_bytes(b"audiences: []\n")

    assert load(path) == [(str(path), b"audiences: []\n")]


def test_a_folder_is_loaded_by_name_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.yaml~", ".#b.yaml", "notes.md"):
        (tmp_path / name).write_text(name, encoding="utf-8")

    assert [Path(name).name for name, _ in load(tmp_path)] == ["a.yml", "b.yaml"]


def test_a_missing_file_is_told_with_the_way_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no .*personas\.yaml; `personas-sync init` writes one"):
        load(tmp_path / "personas.yaml")


def test_a_folder_with_nothing_to_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no \*\.yaml"):
        load(tmp_path)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()

    with pytest.raises(InputError, match=r"cannot read .*a\.yaml"):
        load(tmp_path)
