"""The script that a competent engineer writes in an afternoon: SQL, a set difference, Moesif's own client; cron starts it.

Who was told `true` stands in a file, one user a line, written when the script ends. A batch that Moesif does not take is left out
of it, so that the next run tries again; the other batches go on.

The environment says the database (SHOP_URL), the instant (NOW), where Moesif is (MOESIF_URL), how many users make a batch (BATCH)
and how many requests are made at a time (CONNECTIONS).
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import requests
from moesifapi.configuration import Configuration
from moesifapi.exceptions.api_exception import APIException
from moesifapi.models import UserModel
from moesifapi.moesif_api_client import MoesifAPIClient

KEY = "ordered_last_30_days"
TOLD = Path("told.txt")
MEMBERS = """
SELECT DISTINCT user_id FROM shop.events
WHERE event = 'Order Completed' AND at > %(now)s::timestamptz - interval '30 days' AND at <= %(now)s::timestamptz
"""


def main() -> int:
    with psycopg.connect(os.environ["SHOP_URL"]) as connection:
        members = {user_id for (user_id,) in connection.execute(MEMBERS, {"now": os.environ["NOW"]})}
    told = set(TOLD.read_text().split()) if TOLD.exists() else set()
    changes = [(user, True) for user in members - told] + [(user, False) for user in told - members]
    if not changes:
        return 0
    size = int(os.environ.get("BATCH", "100"))
    batches = [changes[start : start + size] for start in range(0, len(changes), size)]
    with ThreadPoolExecutor(int(os.environ.get("CONNECTIONS", "1"))) as pool:
        taken = list(pool.map(send, batches))
    for batch in (batch for batch, is_taken in zip(batches, taken, strict=True) if is_taken):
        told.update(user for user, value in batch if value)
        told.difference_update(user for user, value in batch if not value)
    new = TOLD.with_suffix(".new")
    new.write_text("\n".join(told))
    new.replace(TOLD)
    return 0 if all(taken) else 1


def send(batch: list[tuple[str, bool]]) -> bool:
    users = [UserModel(user_id=user, metadata={KEY: value}) for user, value in batch]
    try:
        api.update_users_batch(users)
    except (APIException, requests.RequestException) as error:
        print(f"{len(batch)} users were not taken: {error!r}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    Configuration.BASE_URI = os.environ["MOESIF_URL"]
    api = MoesifAPIClient("benchmark").api
    sys.exit(main())
