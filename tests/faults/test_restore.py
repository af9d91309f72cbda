"""An old copy of the database is put back, after Moesif has been told more than it knows (row 32)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sync.membership import Outcome
from sync.standin import StandIn
from sync.store import Store, runs
from tests.crash import oracle
from tests.crash.life import Folder
from tests.faults.places import Place

USERS = 12
GUARDED = 4
"""The exit code."""


def switched(user: int, n: int, *, on: bool) -> dict[str, Any]:
    at = f"2026-01-{n:02}T00:00:00Z"
    return {"messageId": f"{user}:{n}", "type": "identify", "userId": f"user-{user}", "traits": {"on": on}, "timestamp": at}


def import_and_sync(folder: Folder, name: str, calls: list[dict[str, Any]], *options: str) -> None:
    (folder.path / name).write_text("\n".join(json.dumps(call) for call in calls), encoding="utf-8")
    assert folder.run("import", name) == 0
    assert folder.run("sync", *options) == 0, folder.log()[-2000:]


def test_an_old_copy_converges_once_the_calls_since_have_come_again(
    folder: Folder, place: Place, store: Store, standin: StandIn, tmp_path: Path
) -> None:
    import_and_sync(folder, "first.jsonl", [switched(user, 1, on=user % 2 == 0) for user in range(USERS)])
    store.close()
    copy = place.copied(tmp_path)
    later = [switched(user, 2, on=user % 3 == 0) for user in range(USERS + 3)]
    import_and_sync(folder, "later.jsonl", later)
    told = standin.requests["users"].rows

    folder.environ["SYNC_DATABASE_URL"] = copy
    import_and_sync(folder, "later.jsonl", later, "--resync")

    restored = Store.at(copy)
    held, users = oracle.ledger(restored), standin.users()
    restored.close()
    assert {user: row["active"] for user, row in held.items() if row.get("active")} == {
        f"user-{user}": True for user in range(0, USERS + 3, 3)
    }
    assert held == {user: {key: users[user]["metadata"].get(key) for key in row} for user, row in held.items()}
    assert standin.requests["users"].rows - told <= USERS + 3, "more than one full resend"


def test_an_old_copy_of_which_too_many_would_leave_is_held_by_its_guard_and_converges_once_it_is_let_through(
    folder: Folder, place: Place, store: Store, standin: StandIn, tmp_path: Path
) -> None:
    guarded = "audiences: [{name: Active, query: trait('on') = true, guard: {max_exits: 20%}}]"
    (folder.path / "personas.yaml").write_text(guarded, encoding="utf-8")
    import_and_sync(folder, "first.jsonl", [switched(user, 1, on=True) for user in range(USERS)])
    store.close()
    copy = place.copied(tmp_path)
    folder.environ["SYNC_DATABASE_URL"] = copy
    later = [switched(user, 2, on=user % 2 == 0) for user in range(USERS)]
    (folder.path / "later.jsonl").write_text("\n".join(json.dumps(call) for call in later), encoding="utf-8")
    told = standin.requests["users"].rows

    assert folder.run("import", "later.jsonl") == 0
    assert folder.run("sync", "--resync") == GUARDED
    assert standin.requests["users"].rows == told

    restored = Store.at(copy)
    with restored.reading() as connection:
        [held] = [run.id for run in runs.recent(connection, "active", 5) if run.outcome is Outcome.GUARDED]
    assert folder.run("sync", "--accept", str(held)) == 0
    restored.close()
    assert {user: one["metadata"]["active"] for user, one in standin.users().items()} == {
        f"user-{user}": user % 2 == 0 for user in range(USERS)
    }


def test_what_only_the_lost_time_knew_stays_at_moesif_until_its_calls_come_again(
    folder: Folder, place: Place, store: Store, standin: StandIn, tmp_path: Path
) -> None:
    """What cannot be promised, held here so that it is not forgotten: the copy knows nothing of an entry that came after it."""
    import_and_sync(folder, "first.jsonl", [switched(1, 1, on=False)])
    store.close()
    copy = place.copied(tmp_path)
    import_and_sync(folder, "later.jsonl", [switched(1, 2, on=True)])
    folder.environ["SYNC_DATABASE_URL"] = copy

    assert folder.run("sync", "--resync") == 0
    assert standin.users()["user-1"]["metadata"]["active"] is True
