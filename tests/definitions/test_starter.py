"""What `init` writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from sync.audience import Definition
from sync.errors import InputError
from sync.settings import VARIABLES, read
from sync.starter import DEFINITIONS, example_env, write

Read = Callable[..., tuple[Definition, ...]]


class Golden(Protocol):
    def check(self, name: str, text: str) -> None: ...


def uncommented(text: str) -> str:
    """Return the starter with every definition in force that it shows as a comment."""
    return re.sub(r"^  # (?=- | {2})", "  ", text, flags=re.MULTILINE)


def test_the_starting_definitions_are_valid(read_texts: Read) -> None:
    assert [definition.key for definition in read_texts(DEFINITIONS)] == ["order_completed_last_30days"]


def test_every_definition_that_is_shown_as_a_comment_is_valid_too(read_texts: Read) -> None:
    found = read_texts(uncommented(DEFINITIONS))

    assert [definition.key for definition in found] == ["order_completed_last_30days", "big_spender", "orders_90d"]


def test_the_example_of_the_settings_is_the_one_that_was_reviewed(golden: Golden) -> None:
    golden.check("definitions/env.example", example_env())


def test_the_example_names_every_setting_and_sets_none() -> None:
    lines = example_env().splitlines()

    assert all(line.startswith("#") or not line for line in lines)
    assert [line[2:].partition("=")[0] for line in lines if line.startswith("# SYNC_")] == [variable.name for variable in VARIABLES]


def test_the_example_is_valid_when_all_of_it_is_uncommented() -> None:
    text = re.sub(r"^# (?=SYNC_)", "", example_env(), flags=re.MULTILINE).replace("server=KEY", "server=KEY2")

    assert read({}, text).moesif_rate == 10


def test_both_files_are_written_where_there_is_none(tmp_path: Path) -> None:
    made = write(tmp_path)

    assert made.written == (tmp_path / "personas.yaml", tmp_path / ".env.example")
    assert made.kept == ()
    assert (tmp_path / "personas.yaml").read_text(encoding="utf-8") == DEFINITIONS
    assert (tmp_path / ".env.example").read_text(encoding="utf-8") == example_env()


def test_a_file_that_is_there_is_kept_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "personas.yaml").write_text("mine", encoding="utf-8")

    made = write(tmp_path)

    assert made.kept == (tmp_path / "personas.yaml",)
    assert made.written == (tmp_path / ".env.example",)
    assert (tmp_path / "personas.yaml").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*personas\.yaml"):
        write(tmp_path / "missing")
