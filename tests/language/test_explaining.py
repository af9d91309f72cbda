"""An explanation gives what the reading gives, node by node, and says what bears it out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sync.json_value import Json
from sync.language import tree
from sync.language.explaining import Compared, Explained, Happened, Joined, Looked, NextChange, explain, next_change, work
from sync.language.horizon import next_change as plain_next_change
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Event, Profile, member, value
from sync.language.text import text_of
from tests import strategies
from tests.language.histories import DAY, HOUR, NOW, TICK, did

MUCH = 1_000_000
STRESS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def explained(query: str, *events: Event, **traits: Json) -> Explained:
    return explain(parse_audience(query), Profile(traits=traits, events=events), NOW)


def computed(query: str, *events: Event) -> Explained:
    return explain(parse_computed_trait(query), Profile(events=events), NOW)


def nodes(node: Explained) -> Iterator[Explained]:
    yield node
    for part in node.parts:
        yield from nodes(part)


def happened(node: Explained) -> Happened:
    assert isinstance(node.evidence, Happened)
    return node.evidence


# ── the law ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@STRESS
@given(query=strategies.audiences(), profile=strategies.profiles())
def test_the_first_node_is_true_of_whoever_is_a_member(query: tree.Condition, profile: Profile) -> None:
    found = explain(query, profile, strategies.NOW)

    assert found.value is member(query, profile, strategies.NOW)
    assert found.text == text_of(query)


@STRESS
@given(query=strategies.computed_traits(), profile=strategies.profiles())
def test_the_first_node_of_a_computed_trait_has_its_value(query: tree.Computed, profile: Profile) -> None:
    found = explain(query, profile, strategies.NOW)

    assert repr(found.value) == repr(value(query, profile, strategies.NOW))


@STRESS
@given(query=strategies.audiences(), profile=strategies.profiles())
def test_the_parts_of_a_condition_bear_out_its_value(query: tree.Condition, profile: Profile) -> None:
    for node in nodes(explain(query, profile, strategies.NOW)):
        match node.evidence:
            case Joined(word=word, holding=holding, of=of):
                assert holding == sum(part.value is True for part in node.parts)
                assert node.value is {"AND": holding == of, "OR": holding > 0, "NOT": holding == 0}[word]
            case Happened(events=events, of=of, last=last):
                assert len(events) <= of
                assert all(one.event.timestamp <= strategies.NOW for one in events)
                assert (last is None) is (of == 0)


@STRESS
@given(query=strategies.computed_traits(), profile=strategies.profiles())
def test_the_events_that_count_are_those_that_pass_every_filter(query: tree.Computed, profile: Profile) -> None:
    found = explain(query, profile, strategies.NOW)

    passed = [{id(one.event) for one in happened(part).events} for part in found.parts]

    counted = {id(one.event) for one in happened(found).events}
    # With `expires_after` the last part is the open session itself.
    assert not passed or counted == set.intersection(*passed)


@STRESS
@given(query=strategies.audiences(depth=2), seed=st.integers(0, 1_000))
def test_the_next_change_is_that_of_all_events_though_old_ones_are_left_out(query: tree.Condition, seed: int) -> None:
    for profile in strategies.population(seed, 6):
        found = next_change(query, profile, strategies.NOW, MUCH * MUCH)

        assert found == NextChange(at=plain_next_change(query, profile, strategies.NOW))


@STRESS
@given(query=strategies.computed_traits(), seed=st.integers(0, 1_000))
def test_a_computed_trait_stays_as_it_is_until_its_next_change(query: tree.Computed, seed: int) -> None:
    for profile in strategies.population(seed, 6):
        found = next_change(query, profile, strategies.NOW, MUCH * MUCH)

        if found.at is not None:
            assert found.at > strategies.NOW
            assert repr(value(query, profile, found.at)) != repr(value(query, profile, strategies.NOW))
            assert repr(value(query, profile, found.at - TICK)) == repr(value(query, profile, strategies.NOW))


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_comparison_says_which_count_was_held_against_which_threshold() -> None:
    found = explained("event('A').within(2 days).count() >= 3", did("A", HOUR), did("A", 3 * DAY), did("B"))

    assert found.evidence == Compared(left=(1,), operator=">=", right=(3,))
    assert found.value is False
    assert [part.text for part in found.parts] == ["event('A').within(2 days).count()"]


def test_a_count_says_which_events_count_and_of_how_many() -> None:
    recent, older, old = did("A", HOUR), did("A", DAY), did("A", 3 * DAY)

    evidence = happened(explained("event('A').within(2 days).count() >= 1", old, older, recent).parts[0])

    assert [one.event for one in evidence.events] == [recent, older]
    assert (evidence.of, evidence.last, evidence.reads) == (3, recent.timestamp, None)


def test_events_that_are_stamped_later_than_now_are_not_among_them() -> None:
    evidence = happened(explained("event('A').count() >= 1", did("A", -HOUR), did("A", HOUR)).parts[0])

    assert (len(evidence.events), evidence.of) == (1, 1)


def test_what_is_read_of_each_event_stands_beside_it_and_events_without_it_come_last() -> None:
    evidence = happened(computed("event('A').sum(property('p'))", did("A", HOUR), did("A", DAY, p="1.5"), did("A", 2 * DAY, p=2)))

    assert evidence.reads == "property('p')"
    assert [one.value for one in evidence.events] == ["1.5", 2, None]


@pytest.mark.parametrize(
    ("reducer", "first"),
    [
        ("min(property('p'))", 1),
        ("max(property('p'))", "9"),
        ("first(property('p'))", "9"),
        ("last(property('p'))", 5),
        ("mode(property('p'), 2)", 5),
    ],
)
def test_the_event_that_a_value_was_taken_from_comes_first(reducer: str, first: Json) -> None:
    events = [did("A", HOUR), did("A", 2 * HOUR, p=5), did("A", 3 * HOUR, p=1), did("A", 4 * HOUR, p=5), did("A", 5 * HOUR, p="9")]

    assert happened(computed(f"event('A').{reducer}", *events)).events[0].value == first


def test_each_filter_says_how_many_events_pass_it_alone() -> None:
    events = [did("A", HOUR, p=1), did("A", 3 * DAY, p=2), did("A", 4 * DAY, p=3)]

    count = explained("event('A').within(2 days).where(property('p') >= 2).count() >= 1", *events).parts[0]

    assert count.value == 0
    assert [(part.text, part.value) for part in count.parts] == [("within(2 days)", 1), ("where(property('p') >= 2)", 2)]


def test_a_condition_inside_a_where_says_of_which_events_it_holds_and_what_it_read() -> None:
    events = [did("A", HOUR, p=1, q="x"), did("A", DAY, p=2, q="y")]

    where = explained("event('A').where(property('p') >= 2 AND property('q') = 'x').count() >= 1", *events).parts[0].parts[0]
    both = where.parts[0]

    assert [(part.text, part.value) for part in both.parts] == [("property('p') >= 2", 1), ("property('q') = 'x'", 1)]
    assert [(one.event, one.value) for one in happened(both.parts[0]).events] == [(events[1], 2)]
    assert [one.value for one in happened(both.parts[0].parts[0]).events] == [1, 2]


def test_a_funnel_says_for_which_events_there_is_a_later_one() -> None:
    followed, alone = did("A", 5 * DAY, p=1), did("A", DAY, p=2)

    count = explained(
        "event('A').where(event('B').within(parent: 2 days).where(property('p') = property(parent: 'p')).count() >= 1).count() = 1",
        *(followed, alone),
        *(did("B", 4 * DAY, p=1), did("B", HOUR, p=7)),
    ).parts[0]
    condition = count.parts[0].parts[0]
    child = condition.parts[0]

    assert [one.event for one in happened(condition).events] == [followed]
    assert [(part.text, part.value) for part in child.parts] == [
        ("within(parent: 2 days)", 2),
        ("where(property('p') = property(parent: 'p'))", 1),
    ]
    of_the_parent = child.parts[1].parts[0].parts[1]
    assert of_the_parent.text == "property(parent: 'p')"
    assert [one.value for one in happened(of_the_parent).events] == [2, 1]


def test_the_session_that_is_still_open_is_a_part_of_its_own() -> None:
    events = [did("A", HOUR), did("A", 3 * HOUR), did("A", 9 * HOUR)]

    found = computed("event('A').within(1 day).expires_after(4 hours).count()", *events)

    assert found.value == 2
    assert [(part.text, part.value) for part in found.parts] == [("within(1 day)", 3), ("expires_after(4 hours)", 2)]


def test_a_trait_says_what_is_there_for_each_element() -> None:
    found = explained("trait('tags.$') = 'x'", tags=["a", "x"])

    assert found.evidence == Compared(left=("a", "x"), operator="=", right=("x",))
    assert found.parts[0].evidence == Looked(key="tags", found=("a", "x"))


def test_a_moving_instant_is_said_as_what_it_comes_to_now() -> None:
    found = explained("trait('renews').within_next(2 days)", renews="2026-03-02")

    assert found.evidence == Compared(
        left=("2026-03-02",), operator="within_next", right=("2026-03-01T12:00:00Z", "2026-03-03T12:00:00Z")
    )


def test_both_sides_are_explained_where_both_are_made_of_events() -> None:
    found = explained("event('A').count() > event('B').count()", did("A"), did("A"), did("B"))

    assert found.evidence == Compared(left=(2,), operator=">", right=(1,))
    assert [(part.text, part.value) for part in found.parts] == [("event('A').count()", 2), ("event('B').count()", 1)]


# ── the next change ──────────────────────────────────────────────────────────────────────────────────────────────────────


BUYERS = parse_audience("event('A').within(3 days).count() >= 1")


def test_what_an_audience_refers_to_changes_with_time_too() -> None:
    query = parse_audience("NOT trait('buyers') = true")
    profile = Profile(traits={"buyers": True}, events=(did("A", DAY),))

    assert next_change(query, profile, NOW, MUCH).at is None
    assert next_change(query, profile, NOW, MUCH, {"buyers": BUYERS}).at == NOW + 2 * DAY


def test_references_of_references_change_with_time_too() -> None:
    regulars = parse_audience("trait('buyers') = true AND trait('plan') = 'pro'")
    profile = Profile(traits={"buyers": True, "regulars": True, "plan": "pro"}, events=(did("A", DAY),))

    found = next_change(parse_audience("trait('regulars') = true"), profile, NOW, MUCH, {"buyers": BUYERS, "regulars": regulars})

    assert found.at == NOW + 2 * DAY


def test_a_reference_that_is_not_up_to_date_changes_the_answer_at_once() -> None:
    profile = Profile(traits={"buyers": False}, events=(did("A", DAY),))

    assert next_change(parse_audience("trait('buyers') = true"), profile, NOW, MUCH, {"buyers": BUYERS}).at == NOW


def test_a_next_change_that_would_take_too_long_to_find_is_not_known() -> None:
    profile = Profile(events=tuple(did("A", minutes * timedelta(minutes=1)) for minutes in range(100)))

    assert next_change(BUYERS, profile, NOW, 9_000) == NextChange(at=None, is_known=False)
    assert next_change(BUYERS, profile, NOW, 10_000).at == NOW + 3 * DAY


def test_events_that_no_window_can_take_in_any_more_are_no_work() -> None:
    profile = Profile(events=tuple(did("A", 3 * DAY + minutes * HOUR) for minutes in range(100)))

    assert next_change(BUYERS, profile, NOW, 0) == NextChange(at=None)


def test_a_funnel_is_more_work_than_a_count() -> None:
    events = tuple(did("A", hours * HOUR) for hours in range(10))

    assert work(parse_audience("event('A').count() = 1"), Profile(events=events)) == 10
    assert work(parse_audience("event('A').where(event('A').count() = 1).count() = 1"), Profile(events=events)) == 110
