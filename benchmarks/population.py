"""A shop's users and what they did over ninety days, put into a store fast.

Some users do much, most do little; one call in six or so is an order, such that about two users in five ordered within the last
thirty days. Calls stand in the order of their time, as if they had come in one by one. Who ordered when, and what they spent, is
kept beside the store, in plain Python, so that whatever a run says can be checked.

The rows go straight into the tables, with every column as `sync.ingest` would write it: no ingest could be waited for.
"""

from __future__ import annotations

import json
import random
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import exp
from typing import Any, Final

from sqlalchemy import Connection, ForeignKeyConstraint, Index
from sqlalchemy.schema import AddConstraint, DropConstraint

from benchmarks.databases import opened, refreshed
from sync.json_value import Json, encode
from sync.store import Store, arrivals
from sync.store.schema import belongs_to, calls, profiles
from sync.store.types import from_micros, span, to_micros

NOW: Final = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
"""When the history ends."""
HISTORY: Final = timedelta(days=90)
WINDOW: Final = timedelta(days=30)
SHARE: Final = 0.4
"""Of the users, how many ordered within the window."""

ORDER: Final = "Order Completed"
OTHERS: Final = ("Product Viewed", "Product Viewed", "Product Viewed", "Product Added", "Cart Viewed", "Page Viewed")

PORTION: Final = 100_000
"""Rows in one transaction."""

_SKEW: Final = 1.5
_PRIME: Final = 2_654_435_761

_PROFILE: Final = ("id", "user_id", "traits", "traits_at", "created_at", "arrival", "traits_arrival")
_CALL: Final = (
    *("message_id", "source", "type", "profile_id", "event", "timestamp", "received_at", "user_id"),
    *("properties", "context", "integrations", "arrival"),
)


class Purchases:
    """When each user ordered last: all that one needs to know to say who is in the audience at any instant."""

    def __init__(self, number: int) -> None:
        self._latest = array("q", bytes(8 * (number + 1)))

    def ordered(self, profile_id: int, micros: int, cents: int) -> None:
        """Take in an order that is no older than those before it."""
        self._latest[profile_id] = micros

    def members(self, at: datetime) -> list[int]:
        """Return the profiles that are in at an instant, in the order of their ids."""
        after = to_micros(at) - span(WINDOW)
        return [id for id, latest in enumerate(self._latest) if latest > after]

    def is_member(self, profile_id: int, at: datetime) -> bool:
        return self._latest[profile_id] > to_micros(at) - span(WINDOW)

    def others(self, at: datetime) -> list[int]:
        """Return the profiles that are not in at an instant."""
        after = to_micros(at) - span(WINDOW)
        return [id for id, latest in enumerate(self._latest) if id and latest <= after]

    def leaving(self, at: datetime) -> Leaving:
        """Return when those who are in at an instant leave, if they order nothing more."""
        after = to_micros(at) - span(WINDOW)
        return Leaving(sorted(latest + span(WINDOW) for latest in self._latest if latest > after))


class Spending(Purchases):
    """Who spent what: all that one needs to know where as much as `least`, in cents, within a window is what makes a member."""

    def __init__(self, number: int, window: timedelta, least: int) -> None:
        super().__init__(number)
        self._number, self._window, self._least = number, span(window), least
        self._at, self._who, self._cents = array("q"), array("q"), array("q")
        self._known: tuple[int, list[int]] | None = None

    def ordered(self, profile_id: int, micros: int, cents: int) -> None:
        self._at.append(micros)
        self._who.append(profile_id)
        self._cents.append(cents)
        self._known = None

    def members(self, at: datetime) -> list[int]:
        return [id for id, cents in enumerate(self._spent(at)) if cents >= self._least]

    def is_member(self, profile_id: int, at: datetime) -> bool:
        return self._spent(at)[profile_id] >= self._least

    def others(self, at: datetime) -> list[int]:
        return [id for id, cents in enumerate(self._spent(at)) if id and cents < self._least]

    def leaving(self, at: datetime) -> Leaving:
        spent, least, instants = [*self._spent(at)], self._least, []
        # In the order in which they were made, orders also pass out of the window.
        for place in self._within(to_micros(at)):
            id = self._who[place]
            before, spent[id] = spent[id], spent[id] - self._cents[place]
            if before >= least > spent[id]:
                instants.append(self._at[place] + self._window)
        return Leaving(instants)

    def _within(self, micros: int) -> range:
        return range(bisect_right(self._at, micros - self._window), bisect_right(self._at, micros))

    def _spent(self, at: datetime) -> list[int]:
        """Return what each user spent within the window, in cents, by the id of the profile."""
        micros = to_micros(at)
        if self._known is None or self._known[0] != micros:
            spent, places = [0] * (self._number + 1), self._within(micros)
            for id, cents in zip(self._who[places.start : places.stop], self._cents[places.start : places.stop], strict=True):
                spent[id] += cents
            self._known = micros, spent
        return self._known[1]


class Leaving:
    """The instants at which members leave, one after the other; no two are the same."""

    def __init__(self, instants: Sequence[int]) -> None:
        self._instants = instants

    def after(self, at: datetime, number: int) -> datetime | None:
        """Return the instant by which exactly so many more have left than at an earlier one; None where there are too few."""
        begin = bisect_right(self._instants, to_micros(at))
        if begin + number >= len(self._instants):
            return None
        return from_micros(self._instants[begin + number - 1]) if number else at

    def before_a_lull(self, at: datetime, length: timedelta) -> datetime:
        """Return the first instant, not before the given one, after which nobody leaves for so long."""
        instants = [to_micros(at), *self._instants[bisect_right(self._instants, to_micros(at)) :]]
        following = [*instants[1:], instants[-1] + 2 * span(length)]
        return from_micros(next(one for one, after in zip(instants, following, strict=True) if after - one > span(length)))


def fill(url: str, users: int, events: int, seed: int = 1, purchases: Purchases | None = None) -> Purchases:
    """Put users and their events into an empty store, and return what is known about the orders, in `purchases` where given."""
    draw = random.Random(seed)
    purchases = Purchases(users) if purchases is None else purchases
    with opened(url) as store:
        with _unhindered(store):
            _load(store, profiles.name, _PROFILE, _profiles(users), numbers=2)
            _load(store, calls.name, _CALL, _calls(draw, users, events, purchases), numbers=1)
        if not store.on_sqlite:
            with store.writing() as connection:
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('profiles', 'id'), {users})")
        refreshed(store)
    return purchases


def fill_profiles(store: Store, users: int, after: int = 0) -> None:
    """Put users about whom no call is kept into a store that has this many already."""
    # A connection of SQLite's that has been used would still see the indexes that another one dropped.
    with nullcontext() if after else _unhindered(store):
        _load(store, profiles.name, _PROFILE, _profiles(users, after), numbers=2)
    refreshed(store)


def order_share(events_per_user: float) -> float:
    """Return which share of the events must be orders for SHARE of the users to have one in the window."""
    least, most = 0.0, 1.0
    for _ in range(30):
        middle = (least + most) / 2
        least, most = (middle, most) if _share_in(middle * events_per_user) < SHARE else (least, middle)
    return most


def _share_in(orders_per_user: float) -> float:
    parts = 1000
    in_window = orders_per_user * (WINDOW / HISTORY)
    # The density of `random() ** _SKEW`: few users have much of it.
    densities = (((part + 0.5) / parts) ** (1 / _SKEW - 1) / _SKEW for part in range(parts))
    return sum(1 - exp(-in_window * density) for density in densities) / parts


def _profiles(users: int, after: int = 0) -> Iterator[tuple[Any, ...]]:
    created = to_micros(NOW - HISTORY)
    plans = ("free", "free", "free", "basic", "pro")
    for id in range(after + 1, after + users + 1):
        traits = f'{{"email":"user-{id}@example.com","plan":"{plans[id % 5]}","age":{18 + id % 60}}}'
        traits_at = f'{{"age":{created},"email":{created},"plan":{created}}}'
        yield id, f"user-{id}", traits, traits_at, created


def _calls(draw: random.Random, users: int, events: int, purchases: Purchases) -> Iterator[tuple[Any, ...]]:
    chance = draw.random
    share = order_share(events / users)
    orders, views = [_order(draw) for _ in range(1000)], [_view(draw) for _ in range(1000)]
    contexts = [_context(draw) for _ in range(100)]
    cents = [round(json.loads(order)["revenue"] * 100) for order in orders]
    begin, length = to_micros(NOW - HISTORY), span(HISTORY)
    for number in range(events):
        # Each in a stretch of time of its own, so that no two are at the same instant.
        stretch = length // events
        at = begin + stretch * number + int(chance() * stretch)
        id = int(users * chance() ** _SKEW) * _PRIME % users + 1
        if chance() < share:
            place = int(chance() * 1000)
            event, properties = ORDER, orders[place]
            purchases.ordered(id, at, cents[place])
        else:
            event, properties = OTHERS[int(chance() * len(OTHERS))], views[int(chance() * 1000)]
        source, context = ("web", "server")[number & 1], contexts[int(chance() * 100)]
        # One second later it was there.
        yield f"m-{number}", source, "track", id, event, at, at + 1_000_000, f"user-{id}", properties, context, "{}"


def _order(draw: random.Random) -> str:
    products: list[dict[str, Any]] = [
        {"product_id": f"p{draw.randrange(5000)}", "sku": f"s{draw.randrange(500)}", "price": draw.randrange(100, 9900) / 100}
        for _ in range(draw.choice([1, 1, 1, 2, 3]))
    ]
    revenue = round(sum(one["price"] for one in products), 2)
    return encode({"order_id": f"o{draw.randrange(10**9)}", "revenue": revenue, "currency": "EUR", "products": [*products]})


def _view(draw: random.Random) -> str:
    return encode({"product_id": f"p{draw.randrange(5000)}", "sku": f"s{draw.randrange(500)}", "category": draw.choice("abcdef")})


def _context(draw: random.Random) -> str:
    library: Json = {"name": "analytics.js", "version": "4.0.4"}
    return encode(
        {"page": {"path": f"/c/{draw.randrange(100)}", "title": "A page of the shop"}, "locale": "de-DE", "library": library}
    )


# ── into the tables ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _load(store: Store, table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]], numbers: int) -> None:
    """Write rows in portions; `numbers` times the number of the arrival is put behind each."""
    listed = ", ".join(columns)
    while some := list(islice(rows, PORTION)):
        with store.writing() as connection:
            behind = (arrivals.number(connection),) * numbers
            if store.on_sqlite:
                places = ", ".join("?" * len(columns))
                connection.exec_driver_sql(f"INSERT INTO {table} ({listed}) VALUES ({places})", [(*row, *behind) for row in some])
            else:
                _copy(connection, f"COPY {table} ({listed}) FROM STDIN", ((*row, *behind) for row in some))


def _copy(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None, "it is connected"
    # Nothing in it has a tab, a line break or a backslash.
    text = "".join(["\t".join(map(str, row)) + "\n" for row in rows])
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text)


@contextmanager
def _unhindered(store: Store) -> Iterator[None]:
    """Do without indexes, checks and waiting for the disk until the rows are there: cheaper at once than row by row."""
    indexes = [one for one in (*calls.indexes, *profiles.indexes) if belongs_to(store.engine.dialect.name, one)]
    checks = [one for one in calls.constraints if isinstance(one, ForeignKeyConstraint)]
    with store.writing() as connection:
        _without(connection, indexes, [] if store.on_sqlite else checks)
    if store.on_sqlite:
        # Of connections that are closed with this store.
        with store.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None, "it is connected"
            for pragma in ("synchronous=OFF", "foreign_keys=OFF"):
                driver.execute(f"PRAGMA {pragma}")
    yield
    with store.writing() as connection:
        for index in indexes:
            index.create(connection)
        for check in checks:
            if not store.on_sqlite:
                connection.execute(AddConstraint(check))


def _without(connection: Connection, indexes: Iterable[Index], checks: Iterable[ForeignKeyConstraint]) -> None:
    for index in indexes:
        index.drop(connection)
    for check in checks:
        connection.execute(DropConstraint(check))
