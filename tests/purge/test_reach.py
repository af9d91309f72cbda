"""How far back a query looks: a table, and the law that nothing older has a say."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.json_value import Json
from sync.language import reading, tree
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reach import reach, reaches
from sync.language.reading import Profile
from tests import strategies

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

AUDIENCES = [
    ("trait('plan') = 'pro'", timedelta()),
    ("trait('since').within_last(30 days)", timedelta()),
    ("event('A').count() >= 1", None),
    ("event('A').within(30 days).count() = 0", 30 * DAY),
    ("NOT event('A').within(5 hours).count() >= 1", 5 * HOUR),
    # The far end, whichever is written first.
    ("event('A').between(7 days, 90 days).count() >= 1", 90 * DAY),
    ("event('A').between(90 days, 7 days).count() >= 1", 90 * DAY),
    # The narrowest of several windows holds.
    ("event('A').within(30 days).between(1 day, 7 days).count() >= 1", 7 * DAY),
    # The widest of several streams counts, one without end most of all.
    ("event('A').within(3 days).count() >= 1 AND event('B').within(9 days).count() >= 1", 9 * DAY),
    ("event('A').within(3 days).count() >= 1 OR event('B').count() >= 1", None),
    ("event('A').within(3 days).count() >= event('B').within(9 days).count()", 9 * DAY),
    # Dates have no part in it: the events that hold them do.
    ("event('A').within(3 days).where(property('at').within_last(90 days)).count() >= 1", 3 * DAY),
    ("event('A').where(property('at').within_last(90 days)).count() >= 1", None),
    # Funnels: a child after its parent is no older than that.
    ("event('A').within(30 days).where(event('B').within(parent: 3 days).count() >= 1).count() >= 1", 30 * DAY),
    ("event('A').within(30 days).where(event('B').between(parent: 1 day, 3 days).count() = 0).count() >= 1", 30 * DAY),
    ("event('A').within(30 days).where(event('B').within(60 days).count() >= 1).count() >= 1", 60 * DAY),
    ("event('A').within(30 days).where(event('B').count() >= 1).count() >= 1", None),
    ("event('A').where(event('B').within(parent: 3 days).count() >= 1).count() >= 1", None),
    ("event('A').where(event('B').within(parent: 3 days).within(2 days).count() >= 1).count() >= 1", None),
    (
        "event('A').within(9 days).where(event('B').within(parent: 1 day)"
        ".where(event('C').within(parent: 1 day).count() >= 1).count() >= 1).count() >= 1",
        9 * DAY,
    ),
    (
        "event('A').within(9 days).where(event('B').where(event('C').within(parent: 1 day).count() >= 1)"
        ".within(20 days).count() >= 1).count() >= 1",
        20 * DAY,
    ),
]

COMPUTED_TRAITS = [
    ("event('A').within(90 days).sum(property('p'))", 90 * DAY),
    ("event('A').last(property('p'))", None),
    # A session may have begun at any time, unless a window bounds it.
    ("event('A').expires_after(1 hour).count()", None),
    ("event('A').within(2 days).expires_after(9 days).count()", 2 * DAY),
    ("event('A').within(2 days).unique(property('p'))", 2 * DAY),
]


@pytest.mark.parametrize(("query", "span"), AUDIENCES, ids=str)
def test_an_audience_looks_back_so_far(query: str, span: timedelta | None) -> None:
    assert reach(parse_audience(query)) == span


@pytest.mark.parametrize(("query", "span"), COMPUTED_TRAITS, ids=str)
def test_a_computed_trait_looks_back_so_far(query: str, span: timedelta | None) -> None:
    assert reach(parse_computed_trait(query)) == span


def test_each_stream_is_named_with_its_own_reach() -> None:
    query = parse_audience("event('A').within(3 days).where(event('B').count() >= 1).count() >= 1 OR event('C').count() = 0")

    assert [(one.event, one.span) for one in reaches(query)] == [("A", 3 * DAY), ("B", None), ("C", None)]


def answer(query: tree.Query, profile: Profile, now: datetime) -> Json:
    if isinstance(query, tree.Count | tree.UniqueCount | tree.Arithmetic | tree.Extreme | tree.Mode | tree.Pick | tree.Unique):
        return reading.value(query, profile, now)
    return reading.member(query, profile, now)


slow = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


@slow
@given(query=strategies.queries(), profile=strategies.profiles(), later=st.sampled_from([timedelta(), HOUR, DAY]))
def test_what_is_older_than_the_reach_has_no_say(query: tree.Query, profile: Profile, later: timedelta) -> None:
    span = reach(query)
    now = strategies.NOW + later
    if span is None:
        return

    younger = tuple(event for event in profile.events if event.timestamp > now - span)

    assert answer(query, replace(profile, events=younger), now) == answer(query, profile, now)
