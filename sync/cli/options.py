"""Options that several commands have, and how what is typed is read: times, numbers, words.

What is wrong is said in our own words, whatever typer's release would say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final, TypeAlias

import typer

from sync.reports.instants import instant as read_instant

DAY: Final = 86_400
"""Seconds."""


def instant(text: str) -> datetime:
    """Read an ISO 8601 date or timestamp; one without a zone is UTC, a date is its first instant. Raises BadParameter."""
    try:
        return read_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def whole(lowest: int, highest: int) -> Callable[[object], int]:
    """Return a reader of a whole number, both ends included, that says in our words what was expected."""

    def read(text: object) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", str(text)) or not lowest <= int(str(text)) <= highest:
            raise typer.BadParameter(f"'{text}' is not what was expected: a whole number from {lowest:,} to {highest:,}")
        return int(str(text))

    return read


def seconds(text: object) -> float:
    """Read a number of seconds, from one to a day."""
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,6})?", str(text)) or not 1 <= float(str(text)) <= DAY:
        raise typer.BadParameter(f"'{text}' is not what was expected: a number of seconds from 1 to {DAY:,}")
    return float(str(text))


def word(*known: str) -> Callable[[object], str]:
    """Return a reader of one of a few words."""

    def read(text: object) -> str:
        if text not in known:
            raise typer.BadParameter(f"'{text}' is not what was expected: {', '.join(known[:-1])} or {known[-1]}")
        return str(text)

    return read


JsonFlag: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

At: TypeAlias = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        parser=instant,
        metavar="TIME",
        help="The instant that counts as now, in ISO 8601; without a zone it is UTC. Default: now.",
    ),
]

Keys: TypeAlias = Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Keys of audiences or computed traits.")]

Wait: TypeAlias = Annotated[
    float,
    typer.Option(
        "--wait",
        parser=seconds,
        metavar="SECONDS",
        help="How long to wait without progress for Moesif, or for another process that sends. Default: 30.",
    ),
]


def since_option(help: str) -> typer.models.OptionInfo:
    """Return the option `--since`."""
    option: typer.models.OptionInfo = typer.Option("--since", parser=instant, metavar="TIME", help=help)
    return option


def until_option(help: str) -> typer.models.OptionInfo:
    """Return the option `--until`."""
    option: typer.models.OptionInfo = typer.Option("--until", parser=instant, metavar="TIME", help=help)
    return option


def limit_option(help: str) -> typer.models.OptionInfo:
    """Return the option `--limit`."""
    option: typer.models.OptionInfo = typer.Option("--limit", parser=whole(1, 1_000_000), metavar="N", help=help)
    return option
