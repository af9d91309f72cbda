"""How long each construct of the query language takes at a size, and by which plan.

Ten events a profile, half of them `Order Completed`, spread over 175 days.

    python -m benchmarks run plans --database sqlite --profiles 100000 --explain
    python -m benchmarks.plans --database sqlite --profiles 100000 --explain

The second prints a JSON object a line: query, users found, seconds, the time relative to the first query of the same run, and with
--explain the plan.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, select

from benchmarks import databases
from benchmarks.report import Report
from sync.audience import Kind
from sync.language.parse import parse_audience, parse_computed_trait
from sync.store import Store
from sync.store.compiler import Reference, compile_audience, compile_trait
from sync.store.dialect import CANDIDATES, analyze, emptied
from sync.store.schema import calls, memberships, profiles

NOW = datetime(2026, 3, 4, tzinfo=UTC)
PORTION = 10_000
EVENTS = 10

AUDIENCES = (
    "event('Order Completed').within(30 days).count() >= 1",
    "NOT event('Order Completed').within(30 days).count() >= 1",
    "event('Order Completed').where(property('revenue') > 50).within(30 days).count() >= 2",
    "event('Order Completed').within(90 days).sum(property('revenue')) >= 100",
    "event('Order Completed').between(30 days, 60 days).max(property('revenue')) > 90",
    "event('Order Completed').where(property('sku') = 's1').count() >= 1 OR trait('plan') = 'pro'",
    "event('Product Viewed').where(event('Order Completed').within(parent: 3 days).count() = 0).within(30 days).count() >= 1",
    "trait('plan') = 'pro' AND trait('age') > 40",
    "trait('renewal').within_next(30 days)",
    "trait('tags').contains('x')",
    "event('Order Completed').where(context('page.path').starts_with('/a')).within(30 days).count() >= 1",
    "event('Order Completed').sources({exclude: 'web'}).within(30 days).count() >= 1",
    "event('Product Viewed').where(event('Order Completed').between(parent: 1 hour, 9 days)"
    ".where(property('sku') = property(parent: 'sku')).count() >= 1).within(30 days).count() >= 1",
    "event('Product Viewed').where(event('Order Completed').sum(property('revenue')) > 50).within(30 days).count() >= 1",
    "event('Product Viewed').where(event('Order Completed').last(property('sku')) = property('sku')).within(30 days).count() >= 1",
    "event('Product Viewed').where(event('Order Completed').mode(property('sku'), 1) = 's1').within(30 days).count() >= 1",
    "event('Order Completed').where(property('tags.$') = 'x').within(30 days).count() >= 1",
    "event('Order Completed').where(property('sku').one_of('s1', 's2', 's3', 's4', 's5', 's6', 's7', 's8', 's9', 's10'))"
    ".within(30 days).count() >= 1",
    "event('Order Completed').where(property('sku') = trait('plan')).within(30 days).count() = 0",
    "event('Order Completed').count() > event('Product Viewed').count()",
    "event('Order Completed').last(property('sku')) = 's1'",
    "trait('vip') = true AND trait('age') > 40",
    "trait('vip') = true AND event('Order Completed').within(30 days).count() >= 1",
)
COMPUTED_TRAITS = (
    "event('Order Completed').within(90 days).avg(property('revenue'))",
    "event('Order Completed').last(property('sku'))",
    "event('Order Completed').unique(property('sku'))",
    "event('Order Completed').unique(property('sku')).count()",
    "event('Order Completed').mode(property('sku'), 1)",
    "event('Order Completed').mode(property('tags') as array, 1)",
    "event('Order Completed').min(property('sku') as string)",
    "event('Order Completed').last(property('tags.$'))",
    "event('Order Completed').expires_after(30 days).count()",
    "event('Order Completed').expires_after(30 days).last(property('sku'))",
)
# An audience that half of the users are in.
REFERENCES = {"vip": Reference(audience_id=1, kind=Kind.AUDIENCE)}


def main() -> None:
    """Print a JSON object a line, without the rest of a report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    databases.add_flags(parser)
    add_flags(parser)
    arguments = parser.parse_args()
    with databases.databases(arguments.database, arguments.url, arguments.folder) as urls:
        first = None
        for query, found, seconds, plan in _measured(arguments, next(urls)):
            first = first or seconds
            line = {"query": query, "database": arguments.database, "profiles": arguments.profiles, "found": found}
            figures = {"seconds": round(seconds, 3), "ratio": round(seconds / first, 2)}
            print(json.dumps({**line, **figures, **({"plan": plan} if plan else {})}))


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profiles", type=int, default=100_000, metavar="N")
    parser.add_argument("--explain", action="store_true", help="the plans, too")
    parser.add_argument("--among", type=int, metavar="N", help="ask about N users only, as a run does to whom few things happened")


def run(arguments: argparse.Namespace, urls: Iterator[str]) -> Report:
    """Measure each query once."""
    report = Report(sizes={"profiles": arguments.profiles, "events": arguments.profiles * EVENTS})
    found, shown = {}, {}
    for query, number, seconds, plan in _measured(arguments, next(urls)):
        report.timing(query).seconds.append(seconds)
        found[query] = number
        if plan:
            shown[query] = plan
    report.facts |= {"users found": found, **({"plans": shown} if shown else {})}
    return report


def _measured(arguments: argparse.Namespace, url: str) -> Iterator[tuple[str, int, float, list[str]]]:
    with databases.opened(url) as store:
        _fill(store, arguments.profiles)
        for query in (*AUDIENCES, *COMPUTED_TRAITS):
            yield query, *_measure(store, _compiled(query, arguments.among), arguments.among, explain=arguments.explain)


def _compiled(query: str, number: int | None) -> Select[Any]:
    among = None if number is None else _is_candidate
    if query in AUDIENCES:
        return compile_audience(parse_audience(query), NOW, among, REFERENCES)
    return compile_trait(parse_computed_trait(query), NOW, among, REFERENCES)


def _is_candidate(profile_id: ColumnElement[Any]) -> ColumnElement[bool]:
    return profile_id.in_(select(CANDIDATES.c.profile_id))


def _measure(store: Store, statement: Select[Any], among: int | None, *, explain: bool) -> tuple[int, float, list[str]]:
    with store.reading() as connection:
        if among is not None:
            asked = emptied(connection, CANDIDATES)
            connection.execute(insert(asked).from_select(["profile_id"], select(profiles.c.id).limit(among)))
            analyze(connection, asked, among)
        started = time.perf_counter()
        found = len(connection.execute(statement).all())
        seconds = time.perf_counter() - started
        return found, seconds, _plan(connection, statement) if explain else []


def _plan(connection: Connection, statement: Select[Any]) -> list[str]:
    compiled = statement.compile(connection.engine, compile_kwargs={"render_postcompile": True})
    if connection.dialect.name == "sqlite":
        values = tuple(compiled.params[name] for name in getattr(compiled, "positiontup", []))
        return [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]
    return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)]


def _fill(store: Store, number: int) -> None:
    draw = random.Random(1)
    with store.writing() as connection:
        for begin in range(0, number, PORTION):
            some = range(begin, min(number, begin + PORTION))
            connection.execute(insert(profiles), [_profile(draw, id) for id in some])
            connection.execute(insert(calls), [_call(draw, id, event) for id in some for event in range(EVENTS)])
            connection.execute(insert(memberships), [_membership(id) for id in some])
    databases.refreshed(store)


def _profile(draw: random.Random, id: int) -> dict[str, Any]:
    traits = {"plan": draw.choice(["pro", "free"]), "age": draw.randint(1, 90), "renewal": f"2026-0{draw.randint(1, 9)}-10"}
    return {"id": id + 1, "user_id": f"user-{id}", "traits": {**traits, "tags": ["x", "y"]}, "traits_at": {}, "created_at": NOW}


def _membership(id: int) -> dict[str, Any]:
    row = {"audience_id": 1, "profile_id": id + 1, "value": "true" if id % 2 else "false", "since": NOW}
    return {**row, "state": "settled", "attempts": 0, "run_id": 1}


def _call(draw: random.Random, id: int, event: int) -> dict[str, Any]:
    return {
        "message_id": f"m{id}-{event}",
        "source": draw.choice(["web", "server"]),
        "type": "track",
        "profile_id": id + 1,
        "event": draw.choice(["Order Completed", "Product Viewed"]),
        "timestamp": NOW - timedelta(days=(id * 7 + event * 13) % 175, seconds=id),
        "received_at": NOW,
        "user_id": f"user-{id}",
        "properties": {"revenue": draw.random() * 100, "sku": f"s{draw.randint(1, 50)}", "tags": ["x", "y"][: draw.randint(0, 2)]},
        "context": {"page": {"path": draw.choice(["/a", "/b"])}},
        "integrations": {},
    }


if __name__ == "__main__":
    main()
