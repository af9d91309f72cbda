"""What `--help` says, and how soon: read the files in tests/golden/help as a stranger would."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sync.cli.program import SECTIONS, Group, program

COMMANDS = [
    *((entry.name,) for entries in SECTIONS.values() for entry in entries),
    *(
        (entry.name, command.name)
        for entries in SECTIONS.values()
        for entry in entries
        if isinstance(entry, Group)
        for command in entry.commands
    ),
]


@pytest.mark.parametrize("command", [(), *COMMANDS], ids="-".join)
def test_help_reads_as_it_was_written(bare: Any, golden: Any, command: tuple[str, ...]) -> None:
    done = bare(*command, "--help")

    assert done.code == 0
    assert max(map(len, done.lines)) <= 80
    golden.check(f"help/{'-'.join(command) or 'personas-sync'}.txt", done.out)


def test_every_command_of_the_program_has_a_golden_file(golden: Any) -> None:
    import typer.main

    names = {"-".join(path) for path in walk(typer.main.get_command(program()))}

    assert {path.stem for path in (golden.folder / "help").glob("*.txt")} == names | {"personas-sync"}


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


@pytest.mark.parametrize("command", COMMANDS, ids="-".join)
def test_every_help_has_an_example_that_begins_as_one_types_it(bare: Any, command: tuple[str, ...]) -> None:
    examples = bare(*command, "--help").out.partition("Example")[2]

    assert re.search(rf"personas-sync {command[0]}\b", examples)


def test_help_needs_none_of_the_heavy_libraries() -> None:
    heavy = "sqlalchemy alembic requests rich lark starlette uvicorn apscheduler msgspec yaml"
    question = f"import sync.cli, sys; print([name for name in '{heavy}'.split() if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package(bare: Any) -> None:
    from sync import __version__

    assert bare("--version").out == f"personas-sync {__version__}\n"
