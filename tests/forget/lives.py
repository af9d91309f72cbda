"""Users who have done what users do, and how much of it is in the store."""

from __future__ import annotations

from collections.abc import Callable

from sync.call import Incoming
from sync.forget import Forgotten
from sync.ingest import accept
from sync.payload import Mapping
from sync.store import Store
from tests.forget.conftest import everything
from tests.make import NOW, alias, group, identify, keep, rejected, track

Forget = Callable[..., Forgotten]

BUYERS = "event('Order Completed').count() >= 1"


def a_life(store: Store, user_id: str, anonymous_id: str) -> None:
    """Let a user browse, sign up, buy and join a company."""
    keep(
        store,
        track(None, "Docs Searched", anonymous_id=anonymous_id, properties={"q": f"who is {anonymous_id}"}),
        identify(user_id, {"email": f"{user_id}@example.org", "born": "1990-01-01"}, anonymous_id=anonymous_id),
        track(user_id, properties={"when": "2026-04-01", "to": user_id}, context={"ip": "192.0.2.1"}),
        group(user_id, "acme", {"plan": "team"}),
        alias(user_id, f"{anonymous_id}-2"),
        forward=True,
    )


def counts(store: Store) -> dict[str, int]:
    return {name: len(rows) for name, rows in everything(store).items()}


def refuse(store: Store, *bodies: str) -> None:
    refused = tuple(rejected(body=body) for body in bodies)
    accept(store, [Incoming(source="web", rejected=refused)], Mapping(), NOW)
