"""One user who says to be active, by HTTP, and whether Moesif has been told."""

from __future__ import annotations

import requests

from sync.standin import StandIn


def is_on(url: str, user: str) -> None:
    body = {"writeKey": "any", "userId": user, "traits": {"on": True}}
    assert requests.post(f"{url}/v1/identify", json=body, timeout=10).status_code == 200


def is_told(standin: StandIn, user: str) -> bool:
    return standin.users().get(user, {}).get("metadata", {}).get("active") is True
