"""The commands that stay up until they are told to stop: serve, stand-in."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.logs import log_dying_threads, log_to_stderr
from sync.cli.options import whole, word
from sync.cli.output import note, say
from sync.cli.session import settings

if TYPE_CHECKING:
    from sync.settings import Settings


def serve(
    only: Annotated[
        str | None,
        typer.Option(
            "--only", parser=word("web", "worker"), metavar="web|worker", help="Leave out the scheduler and delivery, or HTTP."
        ),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="HOST", help="Listen here instead of at SYNC_HOST.")] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", parser=whole(0, 65_535), metavar="N", help="Listen here instead of at SYNC_PORT; 0: any."),
    ] = None,
) -> None:
    """Take in calls over HTTP, compute audiences on schedule and send what is owed, in one process.

    Any Segment SDK can be pointed at it. Stops cleanly on SIGTERM and Ctrl-C. The log goes to standard error.
    """
    from sync.app import opened
    from sync.serve import Part
    from sync.serve import serve as serve_app

    given = _listening(settings(), host, port)
    log_to_stderr(logging.getLevelNamesMapping()[given.log_level.upper()], given.log_format)
    log_dying_threads()
    with opened(given) as app:
        serve_app(app, None if only is None else Part(only), note)


def stand_in(
    port: Annotated[
        int,
        typer.Option("--port", parser=whole(0, 65_535), metavar="N", help="Where it listens; 0 takes a free one. Default: 8500."),
    ] = 8500,
    application_id: Annotated[
        str | None, typer.Option("--application-id", metavar="ID", help="Take only this key. Default: any.")
    ] = None,
    type_lock: Annotated[
        bool, typer.Option("--type-lock", help="Let a metadata key keep its first JSON type, as Moesif documents for actions.")
    ] = False,
) -> None:
    """Play Moesif on this machine: a sandbox that takes what Moesif takes, and shows what it holds.

    What it holds is at /_standin/users, /_standin/actions, /_standin/companies and /_standin/requests; it forgets everything when
    it stops. POST /_standin/faults tells it to misbehave.
    """
    from sync.standin import run

    def ready(url: str) -> None:
        say(f"Moesif's stand-in listens on {url}; see {url}/_standin/users. To point personas-sync at it:")
        say(f"export SYNC_MOESIF_URL={url}")
        say(f"export SYNC_MOESIF_APPLICATION_ID={application_id or 'anything'}")
        typer.get_text_stream("stdout").flush()

    run("127.0.0.1", port, application_id, type_lock=type_lock, ready=ready)


def _listening(given: Settings, host: str | None, port: int | None) -> Settings:
    from sync.settings.values import host as read_host

    try:
        changed = given if host is None else replace(given, host=read_host(host))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="'--host'") from None
    return changed if port is None else replace(changed, port=port)
