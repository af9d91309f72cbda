"""From the text of a file to definitions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from sync.audience import DEFAULT_GUARD, Cron, Definition, Every, Guard, Kind, Manual, Schedule, Share
from sync.definitions import read

Read = Callable[..., tuple[Definition, ...]]

CONTRACT = """\
# personas.yaml
defaults:
  every: 1 minute                 # schedule of whatever names none
audiences:
  - name: Order Completed Last 30days          # key: order_completed_last_30days
    query: event('Order Completed').within(30 days).count() >= 1
  - name: Big Spenders
    key: big_spender                            # optional; needed where the name gives none
    description: Spent 100 or more in the last 90 days.
    query: |
      event('Order Completed').within(90 days).sum(property('revenue')) >= 100
        AND NOT trait('plan') = 'internal'
    every: 15 minutes                           # or  cron: "0 */6 * * *"  with  timezone: Europe/Berlin ; or  schedule: manual
    guard: {max_exits: 20%, max_entries: 50%}   # stop before sending when more than this share would flip
    enabled: true
computed_traits:
  - name: Orders 90d                            # key: orders_90d
    query: event('Order Completed').within(90 days).count()
"""


def audience(fields: str, defaults: str = "") -> str:
    """Return a file with one audience of these fields, one a line."""
    lines = "".join(f"    {line}\n" for line in fields.splitlines())
    return (f"defaults: {{{defaults}}}\n" if defaults else "") + f"audiences:\n  - name: A\n    query: q\n{lines}"


def test_the_contracts_example_is_read(read_texts: Read) -> None:
    orders, spenders, count = read_texts(CONTRACT)

    assert orders == Definition(
        kind=Kind.AUDIENCE,
        key="order_completed_last_30days",
        name="Order Completed Last 30days",
        query="event('Order Completed').within(30 days).count() >= 1",
        schedule=Every(timedelta(minutes=1)),
        guard=DEFAULT_GUARD,
    )
    assert spenders == Definition(
        kind=Kind.AUDIENCE,
        key="big_spender",
        name="Big Spenders",
        description="Spent 100 or more in the last 90 days.",
        query="event('Order Completed').within(90 days).sum(property('revenue')) >= 100\n  AND NOT trait('plan') = 'internal'",
        schedule=Every(timedelta(minutes=15)),
        guard=Guard(max_exits=Share(Decimal(20)), max_entries=Share(Decimal(50))),
        enabled=True,
    )
    assert count == Definition(
        kind=Kind.COMPUTED_TRAIT,
        key="orders_90d",
        name="Orders 90d",
        query="event('Order Completed').within(90 days).count()",
        schedule=Every(timedelta(minutes=1)),
    )


def test_a_definition_knows_where_it_is_written(read_texts: Read) -> None:
    assert [str(definition.place) for definition in read_texts(CONTRACT)] == ["a.yaml:5:11", "a.yaml:8:10", "a.yaml:17:11"]


@pytest.mark.parametrize(
    ("fields", "schedule"),
    [
        ("", Every(timedelta(minutes=15))),
        ("every: 2 hours", Every(timedelta(hours=2))),
        ('cron: "0 */6 * * *"', Cron("0 */6 * * *", "UTC")),
        ("cron: 0 0 * * 1\ntimezone: Europe/Berlin", Cron("0 0 * * 1", "Europe/Berlin")),
        ("schedule: manual", Manual()),
    ],
)
def test_a_schedule_is_an_interval_a_cron_expression_or_manual(read_texts: Read, fields: str, schedule: Schedule) -> None:
    (definition,) = read_texts(audience(fields))

    assert definition.schedule == schedule


@pytest.mark.parametrize(
    ("defaults", "fields", "schedule"),
    [
        ("every: 1 minute", "", Every(timedelta(minutes=1))),
        ("schedule: manual", "", Manual()),
        ("cron: 0 0 * * *, timezone: Europe/Berlin", "", Cron("0 0 * * *", "Europe/Berlin")),
        # A definition's schedule takes the place of the whole of the default, time zone included.
        ("cron: 0 0 * * *, timezone: Europe/Berlin", "cron: 1 1 * * *", Cron("1 1 * * *", "UTC")),
        ("every: 1 minute", "schedule: manual", Manual()),
        ("schedule: manual", "every: 1 day", Every(timedelta(days=1))),
    ],
)
def test_a_default_schedule_holds_where_a_definition_names_none(
    read_texts: Read, defaults: str, fields: str, schedule: Schedule
) -> None:
    (definition,) = read_texts(audience(fields, defaults))

    assert definition.schedule == schedule


@pytest.mark.parametrize(
    ("defaults", "fields", "guard"),
    [
        # Half may not leave at once until somebody says otherwise.
        ("", "", DEFAULT_GUARD),
        ("", "guard: {max_exits: 0.5%}", Guard(max_exits=Share(Decimal("0.5")))),
        ("", "guard: {max_entries: 500}", Guard(max_entries=500)),
        ("guard: {max_exits: 10}", "", Guard(max_exits=10)),
        # A definition's guard takes the place of the whole of the default.
        ("guard: {max_exits: 10}", "guard: {max_entries: 5}", Guard(max_entries=5)),
        ("guard: {max_exits: 10}", "guard: off", None),
        ("guard: {max_exits: 10}", 'guard: "off"', None),
        ("guard: {max_exits: 10}", "guard: false", None),
        ("guard: off", "", None),
    ],
)
def test_a_guard_limits_a_run_unless_it_is_off(read_texts: Read, defaults: str, fields: str, guard: Guard | None) -> None:
    (definition,) = read_texts(audience(fields, defaults))

    assert definition.guard == guard


def test_a_default_guard_is_for_audiences_only(read_texts: Read) -> None:
    (definition,) = read_texts("defaults: {guard: {max_exits: 1}}\ncomputed_traits: [{name: A, query: q}]")

    assert definition.guard is None


@pytest.mark.parametrize(
    ("defaults", "fields", "enabled"),
    [
        ("", "", True),
        ("", "enabled: false", False),
        ("", "enabled: no", False),
        ("enabled: false", "", False),
        ("enabled: false", "enabled: true", True),
    ],
)
def test_a_definition_is_enabled_unless_it_or_the_defaults_say_otherwise(
    read_texts: Read, defaults: str, fields: str, enabled: bool
) -> None:
    (definition,) = read_texts(audience(fields, defaults))

    assert definition.enabled is enabled


def test_defaults_hold_for_their_own_file_only(read_texts: Read) -> None:
    first, second = read_texts(audience("key: one", "every: 1 minute"), audience("key: two"))

    assert first.schedule == Every(timedelta(minutes=1))
    assert second.schedule == Every(timedelta(minutes=15))


def test_defaults_hold_wherever_in_the_file_they_stand(read_texts: Read) -> None:
    (definition,) = read_texts(audience("") + "defaults: {every: 1 minute}")

    assert definition.schedule == Every(timedelta(minutes=1))


@pytest.mark.parametrize("text", ["audiences: []", "audiences:\n  # - name: A\ncomputed_traits:\n", "defaults:\naudiences:"])
def test_empty_lists_define_nothing(read_texts: Read, text: str) -> None:
    assert read_texts(text) == ()


def test_no_files_define_nothing() -> None:
    assert read([], lambda kind, query: None) == ()


def test_an_audience_may_read_others_and_a_computed_trait_that_exist_or_not(read_texts: Read) -> None:
    text = "audiences:\n  - {name: A, query: trait('b') and trait('c') and trait('plan')}\n  - {name: B, query: trait('c')}\n"

    found = read_texts(text + "computed_traits: [{name: C, query: q}]")

    assert [definition.key for definition in found] == ["a", "b", "c"]


def test_the_query_is_checked_as_it_is_written_and_kept_without_the_space_around_it() -> None:
    seen: list[tuple[Kind, str]] = []

    (definition,) = read(
        [("a.yaml", "computed_traits:\n  - name: A\n    query: |\n\n      a\n        b\n\n")], lambda *call: seen.append(call)
    )

    assert seen == [(Kind.COMPUTED_TRAIT, "\na\n  b\n")]
    assert definition.query == "a\n  b"


def test_a_byte_order_mark_is_no_part_of_the_text(read_texts: Read) -> None:
    (definition,) = read_texts(b"\xef\xbb\xbf" + audience("").encode())

    assert definition.key == "a"


def test_json_is_yaml(read_texts: Read) -> None:
    (definition,) = read_texts('{"audiences": [{"name": "A", "query": "q", "guard": {"max_exits": "5%"}, "enabled": false}]}')

    assert (definition.guard, definition.enabled) == (Guard(max_exits=Share(Decimal(5))), False)


def test_what_a_checker_raises_that_is_no_fault_of_the_query_is_not_hidden() -> None:
    def broken(kind: Kind, query: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read([("a.yaml", audience(""))], broken)
