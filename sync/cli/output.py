"""Output: one JSON object, or tables and lines for people.

People's output is readable at 80 columns and has no colour in a pipe. Names and ids come from strangers, so whatever could steer a
terminal is shown as an escape.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol, cast

from sync.instant import iso

if TYPE_CHECKING:
    from rich.table import Table

    from sync.json_value import Json


class Bar(Protocol):
    """Told how much of the work is done; shows it on a terminal, and nowhere else."""

    def __call__(self, done: float, detail: str = "") -> None:
        """Say how much is done by now, in all, and anything worth reading beside the bar."""


def say(line: str = "") -> None:
    """Print a line of the result."""
    sys.stdout.write(f"{line}\n")


def note(line: str) -> None:
    """Print a line that is not a part of the result, to standard error."""
    sys.stderr.write(f"{line}\n")


def say_json(value: Mapping[str, object]) -> None:
    """Print one JSON object, on one line."""
    from sync.json_value import encode

    say(encode(cast("Json", value)))


def shown_at(at: datetime | None, absent: str = "-") -> str:
    """Write an instant for people: to the second."""
    return absent if at is None else iso(at, "seconds")


def in_table(at: datetime | None, absent: str = "-") -> str:
    """Write an instant for a table, where there is little room: to the minute."""
    return absent if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")


def age(since: datetime, now: datetime) -> str:
    """Write how long ago something was, in its largest unit: `40 s`, `12 min`, `5 h`, `3 d`."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clean(text: str) -> str:
    """Return a text that a terminal only shows: control characters, line breaks among them, are written as escapes."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun: `1 user`, `1,204 users`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str | int]], *, right: Sequence[str] = (), fold: Sequence[str] = ()
) -> None:
    """Print a table. `right` names the columns of numbers, `fold` those that give way where there is no room for all."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        gives_way = heading in fold
        drawn.add_column(
            heading, justify=justify, overflow="fold", no_wrap=not gives_way, min_width=max(len(heading), 10) if gives_way else None
        )
    for row in rows:
        drawn.add_row(*(f"{cell:,}" if isinstance(cell, int) else clean(cell) for cell in row))
    _draw(drawn)


def facts(pairs: Mapping[str, str]) -> None:
    """Print names and values, a line each; long values are folded under themselves."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True, style="bold")
    drawn.add_column(overflow="fold")
    for name, value in pairs.items():
        drawn.add_row(clean(name), "\n".join(clean(line) for line in value.split("\n")))
    _draw(drawn)


def _draw(drawn: Table) -> None:
    from rich.console import Console

    # Nothing in what is printed is taken for markup.
    console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(drawn)
    for line in captured.get().splitlines():
        say(line.rstrip())


@contextmanager
def progress(title: str, total: float | None, *, is_bytes: bool = False) -> Iterator[Bar]:
    """Show how the work goes on, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield _quiet
        return
    from rich import progress as rich_progress
    from rich.console import Console

    done = rich_progress.DownloadColumn() if is_bytes else rich_progress.MofNCompleteColumn()
    rate = (rich_progress.TransferSpeedColumn(),) if is_bytes else ()
    columns = (rich_progress.TextColumn("{task.description}"), rich_progress.BarColumn(), done, *rate)
    left = (rich_progress.TimeRemainingColumn(), rich_progress.TextColumn("{task.fields[detail]}", markup=False))
    console = Console(file=sys.stderr, stderr=True)
    with rich_progress.Progress(*columns, *left, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total, detail="")

        def show(done: float, detail: str = "") -> None:
            bar.update(task, completed=done, detail=detail)

        yield show


def _quiet(done: float, detail: str = "") -> None:
    """Show nothing: nobody is looking."""
