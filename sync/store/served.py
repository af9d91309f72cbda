"""Who serves a SQLite file: one process at a time.

SQLite has one writer, and what a process knows of its own senders and schedulers it does not know of another's. So whoever serves
holds a lock on a file beside the database. It ends with the process, however that ends. The database's own file is not locked: to
close it would drop the locks that SQLite itself has on it. Commands that come and go are not concerned.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sync.errors import SettingsError, Unreachable
from sync.store import Store

SUFFIX: Final = ".serving"

_MODE: Final = 0o600


@contextmanager
def by_this_process(store: Store) -> Iterator[None]:
    """Serve a store. Raises SettingsError where it is a SQLite file that another process serves, and Unreachable.

    Any number serve PostgreSQL.
    """
    database = store.engine.url.database
    if not store.on_sqlite or not database or database == ":memory:":
        yield
        return
    # The same file whatever it is called.
    path = Path(database).resolve()
    lock = _locked(store, path.with_name(path.name + SUFFIX))
    try:
        yield
    finally:
        os.close(lock)


def _locked(store: Store, path: Path) -> int:
    try:
        import fcntl
    except ImportError:
        raise SettingsError(
            "SYNC_DATABASE_URL: this system has no locks that end with a process, which a SQLite file that is served needs"
        ) from None
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, _MODE)
    except OSError as error:
        raise Unreachable(f"the store {store.name} cannot be served: {path}, its lock: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 200, 0).decode(errors="replace").strip()
        os.close(lock)
        raise SettingsError(
            f"SYNC_DATABASE_URL: {holder or 'another process'} serves {store.name}, and a SQLite file is served by one process "
            "only: stop that one, or use PostgreSQL, which any number serve"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return lock
