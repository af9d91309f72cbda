"""The release after this one, as a program of its own: the same code with one migration more, beside which this one goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import sync
from sync.store import migrate
from tests.crash.life import Folder

STARTER = Path(__file__).with_name("starter.py")
REVISION = f"{int(migrate.head()) + 1:04}"
MIGRATION = f'''\
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{REVISION}", "{migrate.head()}"

def upgrade():
    for table in ("calls", "profiles", "deliveries"):
        op.add_column(table, sa.Column("later", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        op.create_index(f"ix_{{table}}_later", table, ["later", "id"], unique=False)

def downgrade():
    for table in ("calls", "profiles", "deliveries"):
        op.drop_index(f"ix_{{table}}_later", table_name=table)
        op.drop_column(table, "later")
'''
"""What a migration may do beside which the release before goes on, to all tables that calls are written to."""


@dataclass
class NextRelease:
    """Installed in a folder of its own, and run in folders in which another release lives."""

    starter: subprocess.Popen[str]
    serving: list[int] = field(default_factory=list)

    def run(self, folder: Folder, *words: str) -> int:
        """Run a command to its end, and return its exit code."""
        return self._told(folder, words, wait=True)

    def serve(self, folder: Folder, *options: str) -> str:
        """Start to serve, and return the URL once it does."""
        said = len(folder.log())
        self.serving.append(self._told(folder, ("serve", *options), wait=False))
        ends = time.monotonic() + 60
        while "\npersonas-sync " not in (new := "\n" + folder.log()[said:]):
            assert time.monotonic() < ends, f"it did not start: {new}"
            time.sleep(0.01)
        return new.partition(" listens on ")[2].partition("\n")[0]

    def leave(self, folder: Folder) -> None:
        """Serve no more, and take the schema back: the tests' stores are emptied by this release, which knows its own alone."""
        for process in self.serving:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.serving.clear()
        assert self.run(folder, "db", "downgrade", "--to", migrate.head()) == 0, folder.log()[-2000:]

    def _told(self, folder: Folder, words: tuple[str, ...], *, wait: bool) -> int:
        assert self.starter.stdin is not None
        assert self.starter.stdout is not None
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SYNC_")} | folder.environ
        wanted = {"words": words, "folder": str(folder.path), "environ": environ, "wait": wait}
        self.starter.stdin.write(json.dumps(wanted) + "\n")
        self.starter.stdin.flush()
        return int(self.starter.stdout.readline())


@contextmanager
def next_release(folder: Path) -> Iterator[NextRelease]:
    """Install it."""
    package = folder / "sync"
    shutil.copytree(Path(sync.__file__).parent, package)
    shutil.copytree(migrate.scripts(), package / "migrations", dirs_exist_ok=True)
    (package / "migrations" / "versions" / f"{REVISION}_later.py").write_text(MIGRATION, encoding="utf-8")
    environ = os.environ | {"PYTHONPATH": str(folder)}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, STARTER], env=environ, text=True, **streams) as starter:
        yield NextRelease(starter)
