"""The SQL that somebody would write by hand for an audience of the benchmark `compute`: who is in, and what differs.

One statement for each database: the set of those who are in (`benchmarks.audiences`), compared with the ledger in both directions,
the difference written into a temporary table. It records nothing, so it does less than a run. Each is the fastest of several
wordings. Of who ordered, a join with DISTINCT or GROUP BY, EXCEPT in both directions and, on SQLite, a full join took up to three
times as long, or for ever. Of who spent, the users joined before the sums or looked up by EXISTS or IN, the revenue as a text or as
a numeric, `json_extract`, the index of profiles and a sum for each user took up to three times as long.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import text

from benchmarks.audiences import Asked
from benchmarks.population import ORDER
from sync.store import Store
from sync.store.types import span, to_micros

_DIFFERENCE: Final = {
    "postgresql": """
CREATE TEMPORARY TABLE by_hand ON COMMIT DROP AS
SELECT coalesce(now_in.profile_id, was_in.profile_id) AS profile_id, now_in.profile_id IS NOT NULL AS value
FROM ({members}) AS now_in
FULL JOIN (
  SELECT profile_id FROM memberships WHERE audience_id = :audience AND value = 'true'
) AS was_in ON was_in.profile_id = now_in.profile_id
WHERE now_in.profile_id IS NULL OR was_in.profile_id IS NULL
""",
    "sqlite": """
INSERT INTO by_hand
WITH now_in AS MATERIALIZED ({members})
SELECT profile_id, 'true' FROM now_in
WHERE NOT EXISTS (
  SELECT 1 FROM memberships
  WHERE memberships.audience_id = :audience AND memberships.profile_id = now_in.profile_id AND memberships.value = 'true'
)
UNION ALL
SELECT profile_id, 'false' FROM memberships
WHERE audience_id = :audience AND value = 'true' AND profile_id NOT IN (SELECT profile_id FROM now_in)
""",
}


def difference(store: Store, asked: Asked, audience_id: int, at: datetime) -> int:
    """Work out the difference, in a transaction of its own, and return how many users it has."""
    until, database = to_micros(at), store.engine.dialect.name
    values = {"event": ORDER, "after": until - span(asked.window), "until": until, "audience": audience_id}
    statement = text(_DIFFERENCE[database].format(members=asked.by_hand[database]))
    with store.reading() as connection:
        if store.on_sqlite:
            connection.execute(text("CREATE TEMPORARY TABLE IF NOT EXISTS by_hand (profile_id INTEGER, value TEXT)"))
            connection.execute(text("DELETE FROM by_hand"))
        return connection.execute(statement, values).rowcount
