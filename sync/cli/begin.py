"""The commands with which one begins: demo, init, config, db upgrade, db downgrade, db check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sync.cli.options import JsonFlag
from sync.cli.output import say, say_json, table
from sync.cli.session import settings

if TYPE_CHECKING:
    from sync.store import Store


def demo(
    serve: Annotated[bool, typer.Option("--serve", help="Stay up afterwards, until Ctrl-C.")] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", file_okay=False, help="Keep the store and the definitions here."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Run the main job on a sample: a year of purchases, three audiences, a sync a week.

    Everything is on this machine: a store in SQLite, and a stand-in for Moesif. At the end the stand-in must hold exactly the
    computed membership; exit 1 if it does not.
    """
    from sync.demo.show import run

    raise typer.Exit(run(folder=folder, serve=serve, as_json=json))


def init() -> None:
    """Write a commented personas.yaml and .env.example into this folder; never overwrites."""
    from sync.starter import write

    done = write(Path.cwd())
    for path in done.written:
        say(f"wrote {path.name}")
    for path in done.kept:
        say(f"kept {path.name}, which was here already")
    if done.written:
        say("Next: personas-sync db upgrade, personas-sync definitions check, personas-sync serve")


def config(json: JsonFlag = False) -> None:
    """Show the settings in force, and where each comes from; secrets are masked."""
    from sync.settings import describe

    shown = describe(settings())
    if json:
        say_json(
            {
                "settings": [
                    {"name": one.name, "value": one.value, "origin": one.origin.value, "meaning": one.meaning} for one in shown
                ]
            }
        )
    else:
        table(("setting", "value", "from"), [(one.name, one.value or "-", one.origin.value) for one in shown], fold=("value",))


def db_upgrade(json: JsonFlag = False) -> None:
    """Make the store's tables, or bring them up to date; what is there already is kept."""
    from sync.app import opened
    from sync.store import migrate

    with opened(settings()) as app:
        with app.store.reading() as connection:
            before = migrate.revision(connection)
        if before is not None and before > migrate.head():
            app.store.require_current_schema()
        _migrated(app.store, migrate.upgrade, migrate.head())
        if json:
            say_json({"store": app.store.name, "before": before, "revision": migrate.head()})
        elif before == migrate.head():
            say(f"{app.store.name} was up to date already, at revision {before}")
        else:
            say(f"{app.store.name} is now at revision {migrate.head()}")


def db_downgrade(
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="REVISION", help="The one that the older release's `db check` asks for; without it, the one before."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Take the store's tables back to those of an older release, before that one is installed again.

    No call, member, change or debt is lost; what only newer tables hold is. `serve --only web` may go on; whatever computes or
    sends must stop before.
    """
    from sync.app import opened
    from sync.errors import InputError
    from sync.store import migrate

    with opened(settings()) as app:
        app.store.require_current_schema()
        older = migrate.revisions()[:-1]
        target = older[-1] if to is None else to
        if target not in older:
            raise InputError(f"--to must be one of the revisions before this release's {migrate.head()}: {', '.join(older)}")
        _migrated(app.store, migrate.downgrade, target)
    if json:
        say_json({"store": app.store.name, "before": migrate.head(), "revision": target})
    else:
        say(f"{app.store.name} is now at revision {target}: install the release that needs it before anything is started again")


def _migrated(store: Store, step: Callable[[Any, str], None], revision: str) -> None:
    # A migration lets go of all connections of its engine; the one that stays open turns a store that is away into a sentence.
    with store.once_more(store.patience) as moved, store.connected():
        step(moved.engine, revision)


def db_check(json: JsonFlag = False) -> None:
    """Say whether the store's tables are those that this program needs; exit 5 if not."""
    from sync.app import opened
    from sync.store import migrate

    with opened(settings()) as app:
        with app.store.reading() as connection:
            found, wanted = migrate.revision(connection), migrate.head()
        if json:
            say_json({"store": app.store.name, "revision": found, "needed": wanted, "current": found == wanted})
            raise typer.Exit(0 if found == wanted else 5)
        app.store.require_current_schema()
        say(f"{app.store.name} is up to date, at revision {found}")
