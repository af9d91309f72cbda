"""What a shop's Segment SDKs send: bodies of single calls and of batches, and what a store must hold once it has taken them.

Of 100 calls 80 are track, 15 identify and 5 page calls. Nine of ten are about users who are known by then. Every second user uses
a browser, so that their calls carry an anonymous id beside the user id, and are visitors without a user id until they sign in.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

BATCH: Final = 100
"""Calls that an SDK sends together: the default of Segment's own."""

BEGIN: Final = datetime(2026, 3, 1, tzinfo=UTC)
NEW: Final = 0.1
"""The share of the calls that are about somebody who was not there before."""

_EVENTS: Final = ("Product Viewed", "Product Added", "Checkout Started", "Order Completed")
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"


@dataclass
class Traffic:
    """An endless stream of calls, the same for the same seed."""

    seed: int = 5
    message_ids: list[str] = field(default_factory=list)
    """Of everything that was handed out."""
    forwarded: int = 0
    """How many of those are owed to Moesif: what users do, and who they are; of visitors without a user id nothing."""
    people: int = 0
    _visiting: set[int] = field(default_factory=set)
    """Those who have not signed in."""

    def __post_init__(self) -> None:
        self._draw = random.Random(self.seed)

    def batch(self, size: int = BATCH) -> bytes:
        """Return the body of the next batch."""
        calls = [self._call() for _ in range(size)]
        return _written({"batch": calls, "sentAt": self._time(3), "writeKey": "benchmark"})

    def single(self) -> tuple[str, bytes]:
        """Return path and body of the next call, sent alone."""
        call = self._call()
        return f"/v1/{call.pop('type')}", _written({**call, "sentAt": self._time(1), "writeKey": "benchmark"})

    def _call(self) -> dict[str, Any]:
        number = len(self.message_ids)
        who = self._who()
        kind = self._draw.choices(("track", "identify", "page"), (80, 15, 5))[0]
        message_id = f"ajs-{self.seed:08x}-{self._draw.getrandbits(64):016x}-{number}"
        self.message_ids.append(message_id)
        is_browser = bool(who % 2)
        if kind == "identify":
            self._visiting.discard(who)
        ids = {"userId": None if who in self._visiting else f"user-{self.seed}-{who}"}
        if is_browser:
            ids["anonymousId"] = f"{self.seed:08x}-0000-4000-8000-{who:012x}"
        self.forwarded += kind != "page" and ids["userId"] is not None
        said = {"track": self._track, "identify": self._identify, "page": self._page}[kind](who)
        context = self._browser(who) if is_browser else {"library": {"name": "analytics-python", "version": "2.4.0"}}
        at = self._time(0)
        return {"type": kind, **ids, "messageId": message_id, "timestamp": at, "context": context, "integrations": {}, **said}

    def _who(self) -> int:
        if not self.people or self._draw.random() < NEW:
            self.people += 1
            if self.people % 2:
                self._visiting.add(self.people)
            return self.people
        return self._draw.randint(1, self.people)

    def _track(self, who: int) -> dict[str, Any]:
        event = self._draw.choices(_EVENTS, (60, 25, 8, 7))[0]
        products = [
            {"product_id": f"p{self._draw.randrange(5000)}", "sku": f"S-{who % 97}", "price": self._draw.randrange(100, 9900) / 100}
            for _ in range(self._draw.choice((1, 1, 2, 3)) if event == "Order Completed" else 1)
        ]
        if event != "Order Completed":
            return {"event": event, "properties": {**products[0], "currency": "EUR", "category": "Shoes", "quantity": 1}}
        revenue = round(sum(float(str(one["price"])) for one in products), 2)
        order_id = f"o{self._draw.getrandbits(40)}"
        return {"event": event, "properties": {"order_id": order_id, "revenue": revenue, "currency": "EUR", "products": products}}

    def _identify(self, who: int) -> dict[str, Any]:
        joined = (BEGIN - timedelta(days=who % 700)).isoformat()
        plan = self._draw.choice(("free", "pro", "team"))
        logins = self._draw.randrange(500)
        return {
            "traits": {"email": f"{who}@example.com", "name": f"Ann No. {who}", "plan": plan, "logins": logins, "createdAt": joined}
        }

    def _page(self, who: int) -> dict[str, Any]:
        path = f"/c/{who % 100}"
        return {
            "name": "Category",
            "properties": {"path": path, "url": f"https://shop.example{path}", "title": "Shoes", "search": ""},
        }

    def _browser(self, who: int) -> dict[str, Any]:
        path = f"/p/{self._draw.randrange(5000)}"
        return {
            "ip": f"203.0.113.{who % 250}",
            "locale": "de-DE",
            "timezone": "Europe/Berlin",
            "userAgent": _AGENT,
            "library": {"name": "analytics.js", "version": "npm:next-1.81.0"},
            "page": {"path": path, "url": f"https://shop.example{path}", "title": "A product", "referrer": "", "search": ""},
        }

    def _time(self, later: int) -> str:
        """Return an instant of the senders' clock; a call's is up to a minute before or after its neighbours'."""
        seconds = len(self.message_ids) / 50 + later + (0 if later else self._draw.random() * 60)
        return (BEGIN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
