"""Two processes race for half an hour of slots: each is run once, and nothing older is told after what is newer (row 8)."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from sync.audience import Every
from sync.standin import StandIn
from sync.store import Store
from sync.store.schema import changes
from tests.crash import oracle
from tests.crash.life import KEY
from tests.make import after, computed_trait, keep, track
from tests.scheduler.rivals import LATE, PATIENCE, racing
from tests.scheduler.running import run_instants, wait_until

SLOTS = [after(minutes=number) for number in range(30)]


def test_two_processes_that_race_for_each_of_thirty_slots_run_each_once_and_tell_nothing_older_after_what_is_newer(
    store: Store, database_url: str, standin: StandIn
) -> None:
    computed_trait(store, "orders", schedule=Every(timedelta(minutes=1)))
    environ = {"SYNC_DATABASE_URL": database_url, "SYNC_MOESIF_URL": standin.url, "SYNC_MOESIF_APPLICATION_ID": KEY}

    def is_told() -> bool:
        return standin.users().get("ann", {}).get("metadata", {}).get("orders") == len(SLOTS)

    with racing(environ, "orders", SLOTS) as meeting:
        for slot in SLOTS:
            keep(store, track("ann", at=slot), now=slot)
            meeting.wait(PATIENCE)
            meeting.wait(PATIENCE)
        wait_until(is_told, PATIENCE)

    ran = run_instants(store)
    assert [at.replace(second=0) for at in ran] == SLOTS
    assert {at - at.replace(second=0) for at in ran} <= set(LATE)
    with store.reading() as connection:
        values = connection.scalars(select(changes.c.value).order_by(changes.c.run_id)).all()
    assert values == [str(number + 1) for number in range(len(SLOTS))]
    oracle.ledger(store)
    oracle.nothing_newer_was_overtaken(standin.history())
