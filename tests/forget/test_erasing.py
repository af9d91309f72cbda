"""Forgetting here: whatever the store holds about a user goes, whatever it holds about others stays, and nothing comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from sync.call import CallType, Incoming
from sync.compute import compute
from sync.delivery import Lane, Rejected, Unknown
from sync.errors import NotFound
from sync.forget import Forgotten, find, forget
from sync.ingest import Span, accept, replay
from sync.membership import Outcome
from sync.payload import Mapping
from sync.store import Store, calls, erase, metadata_types, receipts, suppressions
from sync.store.receipts import Receipt
from sync.store.schema import rejected_calls
from tests.forget.conftest import Post, everything, tables_that_name
from tests.make import (
    NOW,
    after,
    again,
    alias,
    audience,
    call,
    computed_trait,
    group,
    identify,
    keep,
    people,
    record,
    rejected,
    run_of,
    standing_clock,
    track,
)

Forget = Callable[..., Forgotten]

BUYERS = "event('Order Completed').count() >= 1"


def a_life(store: Store, user_id: str, anonymous_id: str) -> None:
    """Let a user browse, sign up, buy and join a company."""
    keep(
        store,
        track(None, "Docs Searched", anonymous_id=anonymous_id, properties={"q": f"who is {anonymous_id}"}),
        identify(user_id, {"email": f"{user_id}@example.org", "born": "1990-01-01"}, anonymous_id=anonymous_id),
        track(user_id, properties={"when": "2026-04-01", "to": user_id}, context={"ip": "192.0.2.1"}),
        group(user_id, "acme", {"plan": "team"}),
        alias(user_id, f"{anonymous_id}-2"),
        forward=True,
    )


def counts(store: Store) -> dict[str, int]:
    return {name: len(rows) for name, rows in everything(store).items()}


def test_no_table_names_a_forgotten_user_any_more(store: Store, forgotten: Forget, post: Post) -> None:
    a_life(store, "ann", "visitor-of-ann")
    buyers, orders = audience(store, query=BUYERS), computed_trait(store)
    for stored in (buyers, orders):
        compute(store, stored, NOW, standing_clock())
    assert tables_that_name(store, "ann")

    forgotten("ann")

    assert tables_that_name(store, "ann") == []
    left = counts(store)
    assert [left[name] for name in ("profiles", "calls", "identifiers", "dates", "memberships", "changes", "deliveries")] == [0] * 7


def test_a_metadata_key_that_was_made_of_their_id_goes_and_others_stay(store: Store, forgotten: Forget) -> None:
    a_life(store, "ann.lee", "a-1")
    keys = {"scores": "object", "scores.ann.lee": "number", "seen.a-1.at": "string", "ann": "string", "ann.leeds": "string"}
    with store.writing() as connection:
        metadata_types.learn(connection, Lane.USERS, keys, NOW)

    forgotten("ann.lee")

    with store.reading() as connection:
        assert [one.key for one in metadata_types.listed(connection)] == ["ann", "ann.leeds", "scores"]


def test_what_is_known_of_others_stays_as_it_is(store: Store, forgotten: Forget) -> None:
    a_life(store, "bob", "visitor-of-bob")
    buyers = audience(store, query=BUYERS)
    compute(store, buyers, NOW, standing_clock())
    tables = ("profiles", "calls", "identifiers", "dates", "memberships", "changes", "deliveries")
    before = {name: rows for name, rows in everything(store).items() if name in tables}
    a_life(store, "ann", "visitor-of-ann")

    forgotten("ann")

    assert {name: rows for name, rows in everything(store).items() if name in tables} == before


def test_the_receipt_says_how_much_and_not_of_whom(store: Store, forgotten: Forget) -> None:
    a_life(store, "ann", "visitor-of-ann")
    record(store, audience(store), ["ann"])

    done = forgotten("ann")

    assert not done.before
    assert done.receipt.erased == {
        "calls": 5,
        "deliveries": 4,
        "identifiers": 2,
        "dates": 2,
        "memberships": 1,
        "changes": 1,
        "profiles": 1,
        "rejected_calls": 0,
    }
    assert "ann" not in repr(done.receipt)
    assert done.receipt.in_moesif is None


def test_calls_of_a_forgotten_user_are_dropped_under_each_of_their_ids(store: Store, forgotten: Forget) -> None:
    keep(store, identify("ann", anonymous_id="a-1"), identify("ann", anonymous_id="a-2"))
    forgotten("ann")

    kept = keep(
        store,
        track("ann"),
        track(None, anonymous_id="a-1"),
        track("ann-too", anonymous_id="a-2"),
        alias("bob", "ann"),
        track("bob"),
        forward=True,
    )

    assert (kept.accepted, kept.duplicate, kept.suppressed) == (1, 0, 4)
    assert tables_that_name(store, "ann", "a-1", "a-2") == []
    assert [counts(store)[name] for name in ("profiles", "calls", "deliveries")] == [1, 1, 1]


def test_a_batch_of_nobody_but_forgotten_users_leaves_no_trace(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    forgotten("ann")
    before = everything(store)

    assert keep(store, track("ann"), track("ann")).suppressed == 2

    assert everything(store) == before


def test_a_duplicate_stays_a_duplicate_where_somebody_else_was_forgotten(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    order = track("bob")
    keep(store, order)
    forgotten("ann")

    kept = keep(store, order, track("ann"))

    assert (kept.accepted, kept.duplicate, kept.suppressed) == (0, 1, 1)


def test_replay_brings_nothing_of_a_forgotten_user_back(store: Store, forgotten: Forget) -> None:
    a_life(store, "ann", "visitor-of-ann")
    keep(store, track("bob"))
    forgotten("ann")

    queued = sum(replay(store, Span(since=after(days=-1)), Mapping(), standing_clock()))

    assert queued == 1
    assert tables_that_name(store, "ann") == []


def test_whoever_is_forgotten_twice_has_one_receipt(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    first = forgotten("ann")

    second = forgotten("ann")

    assert second.before
    assert second.receipt == first.receipt
    assert find(store, "ann") == first.receipt
    assert counts(store)["receipts"] == 1


def test_nobody_is_forgotten_whom_nobody_knows(store: Store, forgotten: Forget) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))
    forgotten("ann")

    for stranger in ("bob", "Ann", "a-1"):
        with pytest.raises(NotFound, match="letter by letter"):
            forgotten(stranger)
        with pytest.raises(NotFound):
            find(store, stranger)


def test_a_user_into_whom_a_visitor_was_merged_takes_the_visitors_calls_along(store: Store, forgotten: Forget) -> None:
    keep(store, call(CallType.PAGE, event="Page Viewed", user_id=None, anonymous_id="a-1"))
    keep(store, track(None, "Page Viewed", anonymous_id="a-3"))
    keep(store, identify("ann", anonymous_id="a-1"))

    forgotten("ann")

    assert tables_that_name(store, "ann", "a-1") == []
    assert counts(store)["calls"] == 1, "of the other visitor"
    assert keep(store, track(None, anonymous_id="a-1")).suppressed == 1
    assert keep(store, track(None, anonymous_id="a-3")).accepted == 1


def test_an_anonymous_id_of_somebody_else_on_a_users_calls_is_not_suppressed(store: Store, forgotten: Forget) -> None:
    keep(store, identify("bob", anonymous_id="shared"))
    keep(store, identify("ann", anonymous_id="shared"))

    forgotten("ann")

    assert keep(store, track("bob", anonymous_id="shared")).accepted == 1


def test_the_list_of_the_forgotten_names_nobody_and_can_be_asked(store: Store, forgotten: Forget) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))

    done = forgotten("ann")

    with store.reading() as connection:
        assert suppressions.digest(connection, "ann") == done.receipt.digest
        assert suppressions.digest(connection, "a-1") is not None
        assert suppressions.digest(connection, "bob") is None
    assert len(done.receipt.digest) == 64


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_does_not_wait_for_a_user_who_was_forgotten(store: Store, forgotten: Forget, post: Post) -> None:
    people(store, "ann", "bob")
    run = record(store, audience(store), ["ann", "bob"])

    forgotten("ann")

    assert (run_of(store, run).outcome, run_of(store, run).owed) == (Outcome.DELIVERING, 1)
    post.drain()
    ended = run_of(store, run)
    assert (ended.outcome, ended.owed, ended.accepted) == (Outcome.DONE, 1, 1)
    assert ended.balanced


def test_a_run_ends_when_the_last_it_waits_for_is_forgotten(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    run = record(store, audience(store), ["ann"])

    forgotten("ann")

    ended = run_of(store, run)
    assert (ended.outcome, ended.owed) == (Outcome.DONE, 0)
    assert ended.balanced


def test_what_was_rejected_stays_counted_and_balanced(store: Store, forgotten: Forget, post: Post) -> None:
    people(store, "ann", "bob")
    run = record(store, audience(store), ["ann", "bob"])
    post.take_right()
    post.settle(post.claim(), Rejected(reason="400"))

    forgotten("ann")

    ended = run_of(store, run)
    assert (ended.outcome, ended.owed, ended.rejected) == (Outcome.INCOMPLETE, 2, 2)
    assert ended.balanced


def test_what_an_ended_run_held_or_did_not_know_is_counted_anew(store: Store, forgotten: Forget, post: Post) -> None:
    people(store, "ann", "bob")
    buyers = audience(store)
    run = record(store, buyers, ["ann", "bob"])
    post.take_right()
    post.settle(post.claim(), Unknown(reason="no answer"))

    forgotten("ann")

    open_still = run_of(store, run)
    assert (open_still.owed, open_still.unknown, open_still.held) == (1, 1, 0)
    assert open_still.balanced


def test_an_audience_counts_its_members_without_the_forgotten(store: Store, forgotten: Forget) -> None:
    people(store, "ann", "bob", "cid")
    buyers, others = audience(store), audience(store, "others")
    orders = computed_trait(store)
    record(store, buyers, ["ann", "bob"])
    record(store, others, ["ann"])
    record(store, others, ["bob"], at=after(hours=1))
    record(store, orders, {"ann": 3, "cid": 1})

    forgotten("ann")

    assert [again(store, stored).members for stored in (buyers, others, orders)] == [1, 1, 1]
    assert record(store, buyers, ["bob"], at=after(hours=2)).changed == 0


class Meanwhile:
    """A store in which something happens after a run has looked and before it writes down what it saw."""

    def __init__(self, store: Store, happens: Callable[[], object]) -> None:
        self._store = store
        self._happens = [happens]

    def connected(self) -> Any:
        outer = self

        class Sessions:
            def __enter__(self) -> Any:
                self._context = outer._store.connected()
                self._session = self._context.__enter__()
                return self

            def __exit__(self, *reason: Any) -> Any:
                return self._context.__exit__(*reason)

            def reading(self) -> Any:
                return self._session.reading()

            def writing(self) -> Any:
                while outer._happens:
                    outer._happens.pop()()
                return self._session.writing()

        return Sessions()


def test_a_run_that_was_looking_while_a_user_was_forgotten_looks_again(store: Store, forgotten: Forget) -> None:
    keep(store, track("ann"), track("bob"))
    buyers = audience(store, query=BUYERS)
    beside: Any = Meanwhile(store, lambda: forgotten("ann"))

    run = compute(beside, buyers, NOW, standing_clock())

    assert (run.members, run.entered) == (1, 1)
    assert counts(store)["memberships"] == counts(store)["changes"] == counts(store)["profiles"] == 1


def test_a_run_sees_a_user_forgotten_beside_it_in_the_generation_alone(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    buyers = audience(store)

    forgotten("ann")

    now = again(store, buyers)
    assert now.generation == buyers.generation + 1
    assert now.members == buyers.members


def test_the_next_run_tells_of_nobody_who_was_forgotten(store: Store, forgotten: Forget) -> None:
    keep(store, track("ann"), track("bob"))
    buyers = audience(store, query=BUYERS)
    compute(store, buyers, NOW, standing_clock())
    forgotten("ann")

    run = compute(store, again(store, buyers), after(hours=1), standing_clock(after(hours=1)), rebuild=True)

    assert (run.members, run.entered, run.exited) == (1, 0, 0)
    assert again(store, buyers).members == 1


# ── beside others ────────────────────────────────────────────────────────────────────────────────────────────────────────


def in_a_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    done: list[Any] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001 - handed to whoever joins
            done.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, done


def test_a_call_that_is_being_taken_in_is_erased_with_the_others(store: Store, forgotten: Forget) -> None:
    people(store, "ann")

    with store.writing() as connection:
        calls.keep(connection, [("web", track("ann", anonymous_id="a-9"))], lambda call: (), NOW)
        thread, done = in_a_thread(lambda: forgotten("ann"))
        thread.join(0.3)
        assert thread.is_alive(), "it waits for the call"
    thread.join()

    assert isinstance(done[0], Forgotten)
    assert tables_that_name(store, "ann", "a-9") == []
    assert keep(store, track(None, anonymous_id="a-9")).suppressed == 1


@pytest.mark.parametrize("late", [{"user_id": "ann"}, {"user_id": None, "anonymous_id": "a-1"}], ids=["user", "visitor"])
def test_a_call_that_comes_in_while_its_user_is_being_erased_is_dropped(store: Store, late: dict[str, Any]) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))

    with store.writing() as connection:
        profile_id = erase.hold(connection, "ann")
        assert profile_id is not None
        suppressions.add(connection, erase.ids_of(connection, "ann", profile_id), NOW)
        erase.erase(connection, profile_id, NOW)
        thread, done = in_a_thread(lambda: keep(store, call(event="Order Completed", **late)))
        thread.join(0.3)
    thread.join()

    assert (done[0].accepted, done[0].suppressed) == (0, 1)
    assert counts(store)["calls"] == counts(store)["profiles"] == 0


def test_two_who_forget_the_same_user_at_once_leave_one_receipt(store: Store, forgotten: Forget) -> None:
    a_life(store, "ann", "visitor-of-ann")

    found = [in_a_thread(lambda: forgotten("ann")) for _ in range(2)]
    for thread, _ in found:
        thread.join()

    assert sorted(done[0].before for _, done in found) == [False, True]
    assert counts(store)["receipts"] == 1


def test_a_user_with_very_many_calls_is_forgotten_in_one_go(store: Store, forgotten: Forget) -> None:
    for start in range(0, 6_000, 2_000):
        keep(store, *(track("ann", message_id=f"big-{start + number}") for number in range(2_000)), forward=True)

    done = forgotten("ann")

    assert (done.receipt.erased["calls"], done.receipt.erased["deliveries"]) == (6_000, 6_000)


def test_nothing_is_erased_where_it_cannot_all_be(store: Store, forgotten: Forget) -> None:
    a_life(store, "ann", "visitor-of-ann")
    before = everything(store)

    with pytest.raises(RuntimeError), store.writing() as connection:
        profile_id = erase.hold(connection, "ann")
        assert profile_id is not None
        erase.erase(connection, profile_id, NOW)
        raise RuntimeError

    assert everything(store) == before


# ── rejected calls ───────────────────────────────────────────────────────────────────────────────────────────────────────


def refuse(store: Store, *bodies: str) -> None:
    refused = tuple(rejected(body=body) for body in bodies)
    accept(store, [Incoming(source="web", rejected=refused)], Mapping(), NOW)


def bodies(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(select(rejected_calls.c.body).order_by(rejected_calls.c.id)))


NAMES_ANN = (
    '{"userId":"ann","type":"nonsense"}',
    '{"batch":[{"user":{"friends":["ann"]}}]}',
    # Escapes say the same.
    '{"userId":"\\u0061nn"}',
    # Not JSON, or cut off: then as a word.
    "userId=ann&event=X",
    '{"userId":"ann","properties":{"text":"' + "x" * 50,
    '{"anonymousId":"a-1"}',
)
NAMES_OTHERS = (
    '{"userId":"anna"}',
    '{"userId":"bob","properties":{"text":"dear ann, hello"}}',
    "userId=joanne",
    '{"userId":"Ann"}',
    "nothing at all",
)


def test_rejected_calls_that_name_the_user_go_and_others_stay(store: Store, forgotten: Forget) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))
    refuse(store, *NAMES_ANN, *NAMES_OTHERS)

    done = forgotten("ann")

    assert bodies(store) == list(NAMES_OTHERS)
    assert done.receipt.erased["rejected_calls"] == len(NAMES_ANN)


def test_rejected_calls_are_found_however_many_there_are(store: Store, forgotten: Forget) -> None:
    people(store, "ann")
    refuse(store, *(f'{{"userId":"{user}"}}' for number in range(2_500) for user in ("ann", f"user-{number}")))

    assert forgotten("ann").receipt.erased["rejected_calls"] == 2_500
    assert len(bodies(store)) == 2_500


def test_an_id_that_came_as_a_number_is_found_in_fields_for_ids(store: Store, forgotten: Forget) -> None:
    people(store, "17")
    refuse(
        store, '{"userId":17}', '{"user_id" : 17, "event": 1}', '{"userId":"x","quantity":17}', '{"userId":170}', '{"userId":17.5}'
    )

    forgotten("17")

    assert bodies(store) == ['{"userId":"x","quantity":17}', '{"userId":170}', '{"userId":17.5}']


def test_calls_that_are_not_understood_are_not_kept_where_they_name_a_forgotten_user(store: Store, forgotten: Forget) -> None:
    keep(store, identify("ann", anonymous_id="a-1"))
    forgotten("ann")

    refuse(store, '{"userId":"ann","traits":7}', '{"anonymousId":"a-1"}', '{"userId":"bob"}', "no JSON")

    assert bodies(store) == ['{"userId":"bob"}', "no JSON"]


# ── on disk ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sqlite_overwrites_what_was_erased(tmp_path: Path, sqlite_template: bytes) -> None:
    path = tmp_path / "personas.db"
    path.write_bytes(sqlite_template)
    store = Store.at(f"sqlite:///{path}")
    a_life(store, "ann-of-the-disk", "visitor-of-the-disk")
    refuse(store, '{"userId":"ann-of-the-disk"}')
    keep(store, *(track("bob", message_id=f"m-{number}") for number in range(500)))
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"ann-of-the-disk" in path.read_bytes()

    forget(store, "ann-of-the-disk", None, standing_clock(), patience=timedelta())

    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    content = path.read_bytes()
    assert b"ann-of-the-disk" not in content
    assert b"visitor-of-the-disk" not in content


def test_a_receipt_reads_back_as_it_was_written(store: Store) -> None:
    with store.writing() as connection:
        written = receipts.write(connection, NOW, "digest", {"calls": 2})
        receipts.note(connection, written.id, "deleted (200 OK)")
        read = receipts.latest(connection, "digest")

    assert read == Receipt(id=written.id, at=NOW, digest="digest", erased={"calls": 2}, in_moesif="deleted (200 OK)")
