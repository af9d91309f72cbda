"""Options that several commands have, and how times are read on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

import typer

from sync.reports.instants import instant as read_instant


def instant(text: str) -> datetime:
    """Read an ISO 8601 date or timestamp; one without a zone is UTC, a date is its first instant. Raises BadParameter."""
    try:
        return read_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


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
        min=1,
        max=86_400,
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
    option: typer.models.OptionInfo = typer.Option("--limit", min=1, max=1_000_000, metavar="N", help=help)
    return option
