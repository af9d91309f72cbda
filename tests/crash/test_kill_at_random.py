"""kill -9 at random moments of ingest, compute and delivery, all at once."""

from __future__ import annotations

from sync.standin import StandIn
from sync.store import Store
from tests.crash.kills import kill_often
from tests.crash.life import Folder

CONNECTIONS, BATCH = 4, 10


def test_a_service_that_is_killed_again_and_again_loses_nothing_and_claims_nothing(
    folder: Folder, store: Store, standin: StandIn
) -> None:
    tally = kill_often(folder, store, standin, kills=12, seed=1)

    assert tally.answered > 0
    assert tally.requests > 0
    # What was on the way when it died is sent again; lost answers add to that.
    assert tally.sent_twice <= (tally.kills * 2) * CONNECTIONS * BATCH
