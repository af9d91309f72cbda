"""The schema's version: which one the store has, which one this program needs, and how to get from one to the other.

The scripts live at the top of the repository and travel in the wheel as `sync/migrations`, so that an installed program needs no
checkout.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, select

_VERSION: Final = Table("alembic_version", MetaData(), Column("version_num", String))
"""Where alembic keeps the revision. Asked here and not by alembic, which makes a table and a statement for each time: SQLAlchemy
keeps hundreds of those, and whoever asks for readiness asks every few seconds."""

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def scripts(package: Path = _PACKAGE) -> Path:
    """Return the folder of the migration scripts: inside of the package in a wheel, beside it in a checkout."""
    return package / "migrations" if (package / "migrations").is_dir() else package.parent / "migrations"


@cache
def head() -> str:
    """Return the revision that this program needs."""
    found = ScriptDirectory(str(scripts())).get_current_head()
    if found is None:
        raise RuntimeError(f"no migrations in {scripts()}")
    return found


@cache
def revisions() -> tuple[str, ...]:
    """Return all revisions there are, the first one first."""
    return tuple(sorted(script.revision for script in ScriptDirectory(str(scripts())).walk_revisions()))


def revision(connection: Connection) -> str | None:
    """Return the store's revision; None for a store that was never made."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalars(select(_VERSION.c.version_num)).one_or_none()


def difference(name: str, found: str | None, wanted: str) -> str:
    """Say what is wrong with a store's schema and which command mends it."""
    if found is None:
        return f"the store {name} has no tables yet: run  personas-sync db upgrade"
    if found > wanted:
        return f"the store {name} is at revision {found}, newer than this program's {wanted}: install a newer personas-sync"
    return f"the store {name} is at revision {found}, this program needs {wanted}: run  personas-sync db upgrade"


def upgrade(engine: Engine, target: str = "head") -> None:
    """Bring the schema up to a revision; what is there already is left alone."""
    _run(engine, command.upgrade, target)


def downgrade(engine: Engine, target: str) -> None:
    """Take the schema back to a revision (`base` for nothing at all)."""
    _run(engine, command.downgrade, target)


def _run(engine: Engine, step: Any, target: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["engine"] = engine
    step(config, target)
