"""The commands about the JSON types that Moesif holds metadata keys to: types list, types forget."""

from __future__ import annotations

from typing import Annotated

import typer

from sync.cli.options import JsonFlag, word
from sync.cli.output import clean, count, in_table, say, say_json, table
from sync.cli.session import opened_app

_lane = word("users", "actions", "companies")


def listing(
    lane: Annotated[
        str | None, typer.Option("--lane", parser=_lane, metavar="LANE", help="Only of users, actions or companies.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List the JSON type that each metadata key was accepted with first.

    Moesif holds a key to it; whatever has another type is rejected before it is sent, and `deliveries` shows it.
    """
    from sync.delivery import Lane
    from sync.reports.types import item
    from sync.store import metadata_types

    with opened_app() as app, app.store.reading() as connection:
        found = metadata_types.listed(connection, None if lane is None else Lane(lane))
    if json:
        say_json({"types": [item(one) for one in found]})
    elif not found:
        say("no metadata key has been accepted yet")
    else:
        rows = [(one.lane.value, clean(one.key), one.type, in_table(one.since)) for one in found]
        table(("lane", "key", "type", "since"), rows, fold=("key",))


def forget(
    lane: Annotated[str, typer.Argument(parser=_lane, metavar="LANE", help="users, actions or companies.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="As `types` lists it, with dots where it lies within an object.")],
    json: JsonFlag = False,
) -> None:
    """Hold a metadata key, and what lies within it, to no type any more.

    For a key whose type was changed in Moesif. `deliveries retry --reason 'metadata key KEY'` then owes again what was rejected; a
    process that sends notices within half a minute at the latest.
    """
    from sync.delivery import Lane
    from sync.reports.types import forgotten

    with opened_app() as app:
        report = app.store.write(lambda connection: forgotten(connection, Lane(lane), key))
    if json:
        say_json(report)
    else:
        say(f"forgotten: the type of {count(report['forgotten'], 'key')}")
