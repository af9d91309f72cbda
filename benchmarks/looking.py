"""The part of the benchmark `compute` that looks up one user, why they are in or not, and one page of members, as the CLI does."""

from __future__ import annotations

import random

from benchmarks.report import Report, require, require_equal
from benchmarks.shop import Shop
from sync.membership import IN
from sync.store import audiences, ledger, lookup

PAGE = 100
SHOWN = 20
"""Entries and exits, as `user` shows them."""


def measure(report: Report, shop: Shop, times: int) -> None:
    """Look up random users and pages; each answer is held to what users did."""
    draw = random.Random(3)
    users = [draw.randint(1, shop.users) for _ in range(times)]
    members = shop.purchases.members(shop.now)
    for name, look in (("user", _look_at_users), ("explain", _explain), ("members, one page", _pages)):
        timing_name = f"look: {name}"
        look(report, shop, users, members, timing_name)
        timing = next((one for one in report.timings if one.name == timing_name and one.seconds), None)
        if timing is not None:
            report.must(f"{name}, 99 % of {times}", timing.percentile(99) * 1000, unit="ms", most=10)


def _look_at_users(report: Report, shop: Shop, users: list[int], _members: list[int], name: str) -> None:
    timing = report.timing(name)
    for id in users:
        with timing.once(), shop.store.reading() as connection:
            person = lookup.person(connection, f"user-{id}")
            rows = {row.key: row for row in ledger.of_user(connection, person.profile_id)}
            audiences.all_stored(connection)
            lookup.changes_of(connection, person.profile_id, SHOWN + 1)
        key = shop.asked.definition.key
        is_in = key in rows and rows[key].value == IN
        require_equal(f"whether user {id} is in", is_in, shop.purchases.is_member(id, shop.now))


def _explain(report: Report, shop: Shop, users: list[int], _members: list[int], name: str) -> None:
    from sync.explain import explain

    timing = report.timing(name)
    for id in users:
        with timing.once():
            found = explain(shop.store, shop.asked.definition.key, f"user-{id}", None, shop.now)
        require_equal(f"whether user {id} is in, explained", found.member, shop.purchases.is_member(id, shop.now))
        require(found.in_step, f"the explanation of user {id} and the ledger differ")


def _pages(report: Report, shop: Shop, users: list[int], members: list[int], name: str) -> None:
    timing, stored = report.timing(name), shop.stored()
    places = {id: place for place, id in enumerate(members)}
    for id in users:
        with timing.once(), shop.store.reading() as connection:
            page = ledger.members(connection, stored, id, PAGE)
        found = [row[0] for row in page]
        begin = places[found[0]] if found else len(members)
        require(begin == 0 or members[begin - 1] <= id, f"the page after {id} begins too late")
        require_equal(f"the page after {id}", found, members[begin : begin + PAGE])
