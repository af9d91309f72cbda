"""An old copy of the database is put back, after Moesif has been told more than it knows (row 32)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sync.standin import StandIn
from sync.store import Store
from tests.crash import oracle
from tests.crash.life import Folder
from tests.faults.places import Place

USERS = 12


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
