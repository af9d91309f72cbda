"""The main job against memberships that were worked out without any of our code: the CDNOW purchases, week by week."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from sync.app import App, opened
from sync.apply import apply
from sync.call import Incoming, open_batch, read
from sync.demo.sample import Order, batches, orders
from sync.ingest import accept
from sync.json_value import encode
from sync.membership import Outcome
from sync.moesif import Collector
from sync.send import Desk, Sender
from sync.settings import read as read_settings
from sync.standin import StandIn
from sync.synchronise import chosen, synchronise

DEFINITIONS = """
audiences:
  - name: Order Completed Last 30days
    query: event('Order Completed').within(30 days).count() >= 1
  - name: Big Spenders
    query: event('Order Completed').within(90 days).sum(property('revenue')) >= 100
  - name: Twice But Not Lately
    query: event('Order Completed').count() >= 2 AND NOT event('Order Completed').between(1 hour, 60 days).count() >= 1
  - name: Bulk Buyers
    query: event('Order Completed').where(property('quantity') > 5 OR property('revenue') >= 75.5).within(45 days).count() >= 1
defaults: {schedule: manual}
"""

Flags = dict[str, set[str]]


def expected(history: tuple[Order, ...], at: datetime) -> Flags:
    """Work the four audiences out by hand, from the purchases alone."""
    moment = {order: datetime.combine(order.day, datetime.min.time(), UTC) for order in history}

    def within(days: int) -> list[Order]:
        return [order for order in history if at - timedelta(days=days) < moment[order] <= at]

    so_far = [order.customer for order in history if moment[order] <= at]
    spent: dict[str, float] = {}
    for order in within(90):
        spent[order.customer] = spent.get(order.customer, 0.0) + order.revenue
    lately = {order.customer for order in within(60) if moment[order] <= at - timedelta(hours=1)}
    return {
        "order_completed_last_30days": {order.customer for order in within(30)},
        "big_spenders": {customer for customer, dollars in spent.items() if round(dollars, 9) >= 100},
        "twice_but_not_lately": {customer for customer in set(so_far) if so_far.count(customer) >= 2 and customer not in lately},
        "bulk_buyers": {order.customer for order in within(45) if order.quantity > 5 or order.revenue >= 75.5},
    }


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> Iterator[App]:
    (tmp_path / "personas.yaml").write_text(DEFINITIONS)
    settings = read_settings({"SYNC_DATABASE_URL": database_url, "SYNC_DEFINITIONS": str(tmp_path / "personas.yaml")})
    with opened(settings) as made:
        apply(made.store, made.definitions(), made.clock())
        yield made


def import_everything(app: App) -> None:
    for body in batches():
        calls, rejected = read(open_batch(encode(body).encode()), received_at=app.clock())
        incoming = Incoming(source="sample", calls=tuple(calls), rejected=tuple(rejected))
        accept(app.store, [incoming], app.mapping, app.clock(), forward=False)


def flags_held(standin: StandIn) -> Flags:
    held: Flags = {}
    for user, document in standin.users().items():
        for key, value in document["metadata"].items():
            if value is True:
                held.setdefault(key, set()).add(user)
    return held


def test_every_sync_tells_exactly_who_changed_and_moesif_ends_equal(app: App) -> None:
    history = orders()
    import_everything(app)
    before: Flags = {}
    at = datetime(1997, 3, 15, tzinfo=UTC)
    with StandIn.start(application_id="k") as standin, Collector("k", standin.url, clock=app.clock) as collector:
        sender = Sender(
            desk=Desk(store=app.store, destination=collector, mapping=app.mapping, space_id="s", clock=app.clock), owner="test"
        )
        while at.date() <= date(1998, 6, 30):
            report = synchronise(app.store, sender, chosen(app.store, ()), at, app.clock, patience=timedelta(seconds=10))
            members = expected(history, at)
            for run in report.runs:
                now, then = members[run.audience], before.get(run.audience, set())
                assert (run.members, run.entered, run.exited) == (len(now), len(now - then), len(then - now)), (run.audience, at)
                assert (run.owed, run.accepted, run.outcome) == (len(now ^ then), len(now ^ then), Outcome.DONE)
            assert flags_held(standin) == {key: users for key, users in members.items() if users}
            before, at = members, at + timedelta(days=23, hours=5)

    everybody_ever_told = {user for user, document in standin.users().items()}
    assert everybody_ever_told <= {order.customer for order in history}
