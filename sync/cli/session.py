"""What a command works with: the settings, the store and the definitions."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sync.cli.logs import log_to_stderr
from sync.cli.output import note

if TYPE_CHECKING:
    from sync.app import App
    from sync.apply import Changes
    from sync.settings import Settings


def settings() -> Settings:
    """Read the settings of the environment and the working directory; warnings go to standard error. Raises SettingsError.

    From then on the log has the form that they ask for.
    """
    from sync.settings import from_folder

    found = from_folder(os.environ, Path.cwd())
    log_to_stderr(logging.WARNING, found.log_format)
    for warning in found.warnings:
        note(f"personas-sync: warning: {warning}")
    return found


@contextmanager
def opened_app(given: Settings | None = None) -> Iterator[App]:
    """Open the program on a store that has the schema it needs. Raises SettingsError, Unreachable and SchemaMismatch."""
    from sync.app import opened

    with opened(given or settings()) as app:
        app.store.require_current_schema()
        yield app


def require_key(app: App) -> None:
    """Raise SettingsError where nothing could be sent, before anything is done."""
    app.collector().close()


def follow_definitions(app: App) -> None:
    """Make the store agree with the definitions file, as `serve` does, and say what that changed.

    Without a file the store's definitions stand; without those, too, there is nothing to work on. Raises InputError.
    """
    from sync.apply import apply
    from sync.store import audiences

    if not app.settings.definitions.exists():
        with app.store.reading() as connection:
            if audiences.all_stored(connection):
                return
    for line in changed_lines(apply(app.store, app.definitions(), app.clock())):
        note(f"definitions: {line}")


def changed_lines(changes: Changes) -> list[str]:
    """Say what applying does, or did: a line for each definition."""
    added = [f"+ {definition.key} (new)" for definition in changes.added]
    changed = [f"~ {change.definition.key} ({', '.join(change.fields)})" for change in changes.changed]
    return [*added, *changed, *(f"- {stored.key} (retired)" for stored in changes.retired)]
