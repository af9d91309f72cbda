"""What is asked about audiences and computed traits, and runs; and to sync one."""

from __future__ import annotations

from datetime import datetime

from sync.errors import InputError
from sync.instant import iso, optional_iso
from sync.json_value import Json
from sync.reports.audiences import history_report, listed, shown
from sync.reports.people import member_report
from sync.reports.runs import past_run_report
from sync.store import audiences as stored_audiences
from sync.store import ledger, purges, requested
from sync.store import members as stored_members
from sync.store import runs as stored_runs
from sync.web.api.program import Program


class Conflict(InputError):
    """It cannot be done as things stand."""


def audiences(program: Program, *, retired: bool) -> Json:
    """List audiences and computed traits."""
    with program.store.snapshot() as connection:
        found = listed(connection, program.clock(), program.next_slot, retired=retired)
    return {"audiences": [one.report() for one in found]}


def audience(program: Program, *, key: str, limit: int) -> Json:
    """Show one: definition, size, schedule, last run, what its query reads."""
    with program.store.snapshot() as connection:
        return shown(connection, key, program.clock(), program.next_slot, limit).report()


def members(program: Program, *, key: str, at: datetime | None, after: int, limit: int) -> Json:
    """List who is in, or was at an instant, and since when; page by page."""
    with program.store.snapshot() as connection:
        stored = stored_audiences.by_key(connection, key)
        if at is None:
            page = ledger.members(connection, stored, after, limit)
        else:
            purges.require_changes(connection, at)
            page = stored_members.page_at(connection, stored, at, after, limit)
    told: list[Json] = [member_report(stored, user_id, since, value) for _, user_id, since, value in page]
    following = page[-1][0] if len(page) == limit else None
    return {"audience": key, "at": optional_iso(at), "members": told, "next": following}


def history(program: Program, *, key: str, limit: int) -> Json:
    """List the sizes of the latest runs, oldest first."""
    with program.store.snapshot() as connection:
        stored = stored_audiences.by_key(connection, key)
        sizes = stored_runs.size_history(connection, stored.id, limit)
    return {"audience": key, "history": history_report(sizes)}


def runs(program: Program, *, audience: str | None, after: int | None, before: int | None, limit: int) -> Json:
    """List runs, the latest first."""
    with program.store.snapshot() as connection:
        if audience is not None:
            stored_audiences.by_key(connection, audience)
        found = stored_runs.recent(connection, audience, limit, after=after, before=before)
    return {"runs": [past_run_report(run) for run in found]}


def sync(program: Program, *, key: str) -> Json:
    """Ask for a sync of one audience or computed trait, and say where its outcome will be seen."""
    now = program.clock()
    with program.store.snapshot() as connection:
        stored = stored_audiences.by_key(connection, key)
        last = stored_runs.last(connection, stored.id) or 0
    if stored.retired:
        raise Conflict(f"{key} is retired: it is no longer in the definitions")
    program.store.write(lambda connection: requested.ask(connection, stored.id, now))
    return {
        "audience": key,
        "requested_at": iso(now),
        "scheduler": "ok" if program.is_scheduled() else "no heartbeat",
        "see": f"/api/runs?audience={key}&after={last}",
    }
