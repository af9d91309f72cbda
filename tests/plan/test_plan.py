"""A plan says exactly what a sync would do and changes nothing; a sealed one is done exactly so or not at all."""

from __future__ import annotations

import json
import threading
import time

import pytest
from sqlalchemy import select

from sync.apply import apply
from sync.audience import Guard, Kind
from sync.compute import Wanted, compute, look, record
from sync.errors import InputError, NotFound, TookTooLong
from sync.membership import Outcome, Run
from sync.plan import Pace, Plan, Planned, apply_plan, plan, seal, unseal
from sync.store import Store
from sync.store.audiences import all_stored
from sync.store.schema import metadata
from tests.faults.endless import calls_that_cannot_be_read
from tests.make import NOW, after, again, audience, computed_trait, definition, identify, keep, standing_clock, track
from tests.meeting import several_writers, wait_for_waiting

RECENT = "event('Order Completed').within(30 days).count() >= 1"
PACE = Pace(batch=2, per_second=4)


def planned(store: Store, *keys: str, wanted: object = None, at: object = None, hour: int = 1) -> Planned:
    return plan(store, wanted, keys, at, standing_clock(after(hours=hour)), pace=PACE, sample=2)


def of(found: Planned, key: str) -> Plan:
    return next(one for one in found.plans if one.step.audience == key)


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.reading() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
            # Which numbers were given out is nothing that anybody can see.
            if table.name != "arrivals"
        }


def test_a_plan_counts_who_would_enter_and_leave_and_what_is_owed_already(store: Store) -> None:
    keep(store, track("ann", at=after(days=-20)), track("bob"), track("cid"))
    buyers = audience(store, query=RECENT)
    compute(store, buyers, after(), standing_clock())
    keep(store, track("dan"), track("eve"))

    found = of(planned(store, at=after(days=15)), "buyers")

    step = found.step
    assert (step.members, step.entered, step.exited, step.changed, step.resent, step.owed) == (3, 2, 1, 3, 2, 5)
    assert (found.requests, found.seconds) == (3, 0.75)
    assert (found.entering, found.leaving) == (("dan", "eve"), ("ann",))


def test_what_a_plan_says_a_sync_then_does(store: Store) -> None:
    keep(store, track("ann", at=after(days=-20)), track("bob"))
    buyers = audience(store, query=RECENT)
    compute(store, buyers, after(), standing_clock())
    keep(store, track("cid"))
    step = of(planned(store, at=after(days=15)), "buyers").step

    run = compute(store, again(store, buyers), after(days=15), standing_clock())

    assert (run.entered, run.exited, run.owed) == (step.entered, step.exited, step.owed)


@pytest.mark.parametrize("referring", [False, True], ids=["alone", "one refers to the other"])
def test_a_plan_changes_nothing(store: Store, referring: bool) -> None:
    keep(store, track("ann"), identify("ann", {"n": 1}))
    audience(store, "a", query=RECENT)
    audience(store, "b", query="trait('a') = true" if referring else "trait('n') = 1")
    before = everything(store)

    planned(store)

    assert everything(store) == before


def test_an_audience_is_planned_with_what_those_it_refers_to_would_become(store: Store) -> None:
    keep(store, track("ann"))
    audience(store, "a", query=RECENT)
    audience(store, "b", query="trait('a') = true")

    assert of(planned(store), "b").step.entered == 1


def test_a_plan_is_of_the_definitions_that_are_given_in_force_or_not(store: Store) -> None:
    keep(store, track("ann"), identify("bob", {"n": 1}))
    apply(store, [definition("a", query=RECENT), definition("gone")], after())
    before = everything(store)

    found = planned(store, wanted=[definition("a", query="trait('n') = 1"), definition("new", query=RECENT)])

    assert {one.step.audience: one.step.entered for one in found.plans} == {"a": 1, "new": 1}
    assert [one.key for one in found.changes.retired] == ["gone"]
    assert everything(store) == before


def test_a_plan_says_that_a_guard_would_hold(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}), identify("bob", {"n": 1}))
    buyers = audience(store, query="trait('n') = 1", guard=Guard(max_exits=0))
    compute(store, buyers, after(), standing_clock())
    keep(store, identify("ann", {"n": 2}, at=after(hours=1)))

    assert "1 of 2 members would leave" in str(of(planned(store), "buyers").objection)


def test_who_enters_and_leaves_before_moesif_was_told_is_told_once(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}))
    buyers = audience(store, query="trait('n') = 1")
    compute(store, buyers, after(), standing_clock())
    # Owed and not yet sent: that ann is in. Before it is, she leaves; Moesif was never told anything.
    keep(store, identify("ann", {"n": 2}, at=after(hours=1)))

    step = of(planned(store), "buyers").step

    assert (step.exited, step.owed, step.resent) == (1, 1, 0)


def test_an_unknown_key_and_an_earlier_instant_are_refused(store: Store) -> None:
    compute(store, audience(store, query=RECENT), after(days=1), standing_clock())

    with pytest.raises(NotFound):
        planned(store, "nobody")
    with pytest.raises(InputError, match="only move forward"):
        planned(store, at=after())


# ── sealed ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def sealed(store: Store, *keys: str, wanted: object = None) -> str:
    return seal(planned(store, *keys, wanted=wanted), after(hours=1))


def done(store: Store, text: str, wanted: object = None, hour: int = 2) -> tuple[Run, ...]:
    return apply_plan(store, wanted, unseal(text), standing_clock(after(hours=hour)))


def test_a_sealed_plan_is_done_as_of_its_own_instant(store: Store) -> None:
    keep(store, track("ann"), track("bob"))
    audience(store, "a", query=RECENT)
    audience(store, "b", query="trait('a') = true")

    runs = done(store, sealed(store))

    assert [(run.audience, run.at, run.entered) for run in runs] == [("a", after(hours=1), 2), ("b", after(hours=1), 2)]


def test_a_sealed_plan_names_nobody(store: Store) -> None:
    keep(store, track("ann@example.com"))
    audience(store, query=RECENT)

    assert "ann" not in sealed(store)


def test_calls_that_change_nothing_do_not_move_a_plan(store: Store) -> None:
    keep(store, track("ann"))
    audience(store, query=RECENT)
    text = sealed(store)
    keep(store, track("ann"), track("bob", "Something Else"))

    assert done(store, text)[0].entered == 1


def moves(store: Store, text: str, wanted: object = None) -> str:
    before = everything(store)
    with pytest.raises(InputError) as refused:
        done(store, text, wanted)
    assert everything(store) == before
    return str(refused.value)


def test_a_plan_is_refused_where_others_would_enter(store: Store) -> None:
    keep(store, track("ann"))
    audience(store, query=RECENT)
    text = sealed(store)
    keep(store, track("bob"))

    assert "buyers: 2 would enter, the plan has 1" in moves(store, text)


def test_a_plan_is_refused_where_as_many_but_not_the_same_would_change(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}), identify("bob", {"n": 2}))
    audience(store, query="trait('n') = 1")
    text = sealed(store)
    keep(store, identify("ann", {"n": 2}, at=after(minutes=1)), identify("bob", {"n": 1}, at=after(minutes=1)))

    assert "not the same users" in moves(store, text)


def test_a_plan_is_refused_where_a_value_is_another_one(store: Store) -> None:
    keep(store, track("ann"))
    computed_trait(store)
    text = sealed(store)
    keep(store, track("ann"))

    assert "not the same users or values" in moves(store, text)


def test_a_plan_is_refused_after_a_later_run(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    text = sealed(store)
    compute(store, buyers, after(days=1), standing_clock())

    assert "computed as of" in moves(store, text)


@several_writers
def test_a_plan_is_refused_after_a_run_that_was_recording_just_then(store: Store) -> None:
    keep(store, track("ann"))
    buyers = audience(store, query=RECENT)
    text = sealed(store)
    refused: list[str] = []

    def refuse() -> None:
        with pytest.raises(InputError) as error:
            done(store, text)
        refused.append(str(error.value))

    applying = threading.Thread(target=refuse)
    with store.writing() as connection:
        seen = look(connection, buyers, Wanted(at=after(days=1)), NOW)
        assert record(connection, seen, Wanted(at=after(days=1)), NOW, NOW) is not None
        applying.start()
        wait_for_waiting(store, 1)
    applying.join()

    assert "computed as of" in refused[0]


def test_a_plan_is_refused_when_its_definition_is_another_one(store: Store) -> None:
    keep(store, track("ann"))
    apply(store, [definition(query=RECENT)], after())
    text = sealed(store)
    apply(store, [definition(query="event('Order Completed').count() >= 1")], after())

    assert "version 2, the plan has 1" in moves(store, text)


def test_a_plan_is_refused_when_the_file_says_more_than_it_did(store: Store) -> None:
    keep(store, track("ann"))
    wanted = [definition("a", query=RECENT)]
    text = sealed(store, wanted=wanted)

    assert "b: its definition is added now" in moves(store, text, [*wanted, definition("b")])


def test_of_a_plan_of_several_all_is_done_or_nothing(store: Store) -> None:
    keep(store, track("ann"), identify("bob", {"n": 1}))
    audience(store, "a", query=RECENT)
    audience(store, "b", query="trait('n') = 1")
    text = sealed(store)
    keep(store, identify("cid", {"n": 1}))

    assert "b: 2 would enter, the plan has 1" in moves(store, text)


def test_a_plan_puts_the_definitions_in_force_that_it_was_made_with(store: Store) -> None:
    keep(store, track("ann"))
    wanted = [definition("a", query=RECENT), definition("c", kind=Kind.COMPUTED_TRAIT, query="event('Order Completed').count()")]
    text = sealed(store, wanted=wanted)

    runs = done(store, text, wanted)

    assert [(run.audience, run.changed) for run in runs] == [("a", 1), ("c", 1)]
    with store.reading() as connection:
        assert [one.key for one in all_stored(connection)] == ["a", "c"]


def test_the_guard_asks_a_plan_too(store: Store) -> None:
    keep(store, identify("ann", {"n": 1}), identify("bob", {"n": 1}))
    buyers = audience(store, query="trait('n') = 1", guard=Guard(max_exits=0))
    compute(store, buyers, after(), standing_clock())
    keep(store, identify("ann", {"n": 2}, at=after(minutes=1)))

    assert done(store, sealed(store))[0].outcome is Outcome.GUARDED


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found | {"format": "personas-sync plan 99"},
        lambda found: found | {"steps": []},
        lambda found: {key: value for key, value in found.items() if key != "digest"},
        lambda found: [found],
    ],
    ids=["another release", "edited", "no digest", "something else"],
)
def test_a_file_that_is_no_sealed_plan_is_refused(store: Store, change: object) -> None:
    audience(store, query=RECENT)
    text = json.dumps(change(json.loads(sealed(store))))

    with pytest.raises(InputError, match="plan"):
        unseal(text)


def test_a_plan_and_doing_it_take_as_long_as_a_run_may_and_change_nothing_then(database_url: str) -> None:
    store = Store.at(database_url, 1.0)
    keep(store, track("ann"))
    audience(store, query="event('Order Completed').count() >= 1")
    text, before = sealed(store), everything(store)

    started = time.monotonic()
    with calls_that_cannot_be_read(store):
        for late in (lambda: planned(store), lambda: done(store, text)):
            with pytest.raises(TookTooLong):
                late()

    assert time.monotonic() - started < 10
    assert everything(store) == before
    store.close()
