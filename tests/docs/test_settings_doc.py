"""docs/settings.md is written from the table of variables; `pytest --update-golden` writes it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.settings import VARIABLES, Variable

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"

HEAD = """\
# Settings

Environment variables, or a `.env` file in the working directory; the environment wins. A variable marked *secret* can also be given
as a file whose path stands in `NAME_FILE`; it is masked wherever a setting is shown. An empty variable counts as not set. A wrong
value stops the program with the variable's name and what was expected, and so does a name that is nearly one of these.

`personas-sync config` shows what is in force, and where each value comes from. This page is written from the same table.

| variable | default | meaning |
| --- | --- | --- |
"""


def test_the_settings_page_says_what_the_program_reads(request: pytest.FixtureRequest) -> None:
    text = HEAD + "".join(f"{_row(variable)}\n" for variable in VARIABLES)
    if request.config.getoption("--update-golden"):
        DOCUMENT.write_text(text, encoding="utf-8")

    assert DOCUMENT.read_text(encoding="utf-8") == text


def _row(variable: Variable) -> str:
    default = "none" if variable.default is None else f"`{variable.default}`"
    secret = " *Secret.*" if variable.secret else ""
    return f"| `{variable.name}` | {default} | {variable.meaning.replace('|', chr(92) + '|')}{secret} |"
