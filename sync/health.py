"""Whether this process can do its work: what a balancer, or whoever supervises it, is told.

Without a spool a process is ready while the store can be used, its schema is this program's, and a scheduler's heart beats
somewhere. With one it is ready for as long as it takes calls, into the store or into the spool: a balancer that took them nowhere
would lose what the spool is there to keep. What is not as it should be is named either way.
"""

from __future__ import annotations

from sync.app import STALE, App
from sync.errors import SyncError
from sync.json_value import Json
from sync.scheduler import HEARTBEAT
from sync.spool import Spool
from sync.store import Store, leases
from sync.web import Health

OK = "ok"


def health(app: App, store: Store, spool: Spool | None) -> Health:
    """Look at the store, at the scheduler's heart, and at the spool; `store` is the one that calls are put into."""
    found = _of_store(app, store)
    usable = found["store"] == OK
    if spool is None:
        return _told(found, ready=usable and found["scheduler"] == OK)
    waiting = spool.lying.calls
    # What comes while anything lies there goes behind it, be the store back or not.
    takes = spool.can_take() if waiting or not usable else True
    state = "full, or cannot be written" if not takes else "calls wait in it" if waiting else OK
    return _told(found | {"spool": state}, ready=takes, spooled_calls=waiting)


def beats(app: App, store: Store) -> bool:
    """Whether a scheduler's heart has beaten lately."""
    with store.reading() as connection:
        last = leases.last_beat(connection, HEARTBEAT)
    # Ahead of now it was by a clock that was wrong.
    return last is not None and abs(app.clock() - last) < STALE


def _of_store(app: App, store: Store) -> dict[str, str]:
    try:
        store.require_current_schema()
        return {"store": OK, "scheduler": OK if beats(app, store) else "no heartbeat"}
    except SyncError:
        return {"store": "not usable"}


def _told(found: dict[str, str], *, ready: bool, **more: Json) -> Health:
    degraded: list[Json] = [name for name, state in found.items() if state != OK]
    return Health(ready=ready, facts={"degraded": degraded, **found, **more})
