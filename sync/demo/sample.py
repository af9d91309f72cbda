"""The CDNOW sample as Segment calls: 2,357 customers and their 6,919 orders, 1997-01-01 to 1998-06-30.

Real purchases at an online music shop, as used in the customer-base literature (Fader and Hardie). A line of the file is an order:
customer in the full data set, customer in the sample, date, number of CDs, dollars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib import resources
from typing import Final

from sync.instant import iso
from sync.json_value import Json

BATCH: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One purchase; a customer may have several on a day."""

    customer: str
    day: date
    quantity: int
    revenue: float
    number: int
    """Counts the orders of a customer; the first is 1."""


def orders() -> tuple[Order, ...]:
    """Return every order, by customer and then by day."""
    text = resources.files("sync.demo").joinpath("cdnow_sample.txt").read_text(encoding="ascii")
    found: list[Order] = []
    for line in text.splitlines():
        customer, _, day, quantity, dollars = line.split()
        number = found[-1].number + 1 if found and found[-1].customer == customer else 1
        when = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date()
        found.append(Order(customer=customer, day=when, quantity=int(quantity), revenue=float(dollars), number=number))
    return tuple(found)


def calls() -> Iterator[dict[str, Json]]:
    """Yield an identify call for each customer, at the first order's date, and a track call for each order."""
    for order in orders():
        if order.number == 1:
            yield _identify(order)
        yield _track(order)


def batches() -> Iterator[dict[str, Json]]:
    """Yield the calls as bodies of `POST /v1/batch`."""
    batch: list[Json] = []
    for call in calls():
        batch.append(call)
        if len(batch) == BATCH:
            yield {"batch": batch}
            batch = []
    yield {"batch": batch}


def _identify(order: Order) -> dict[str, Json]:
    return {
        "type": "identify",
        "messageId": f"cdnow-identify-{order.customer}",
        "userId": order.customer,
        "timestamp": _midnight(order.day),
        "traits": {"createdAt": order.day.isoformat()},
    }


def _track(order: Order) -> dict[str, Json]:
    order_id = f"{order.customer}-{order.number}"
    return {
        "type": "track",
        "messageId": f"cdnow-order-{order_id}",
        "userId": order.customer,
        "event": "Order Completed",
        "timestamp": _midnight(order.day),
        "properties": {"order_id": order_id, "revenue": order.revenue, "quantity": order.quantity, "currency": "USD"},
    }


def _midnight(day: date) -> str:
    return iso(datetime.combine(day, time(), UTC))
