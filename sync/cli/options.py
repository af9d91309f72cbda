"""Options that several commands have, and how times are read on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import typer


def instant(text: str) -> datetime:
    """Read an ISO 8601 date or timestamp; one without a zone is UTC, a date is its first instant. Raises BadParameter."""
    try:
        read = datetime.fromisoformat(text.strip())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        expected = "expected a date such as 2026-03-04, or a time such as 2026-03-04T09:30:00Z or 2026-03-04T10:30:00+01:00"
        raise typer.BadParameter(f"{text!r} is no time; {expected} (without a zone it is UTC)") from None


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
