"""Forgetting here: whatever the store holds about a user goes, whatever it holds about others stays, and nothing comes back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sync.call import CallType
from sync.compute import compute
from sync.delivery import Lane
from sync.errors import NotFound
from sync.forget import find, forget
from sync.ingest import Span, replay
from sync.payload import Mapping
from sync.store import Store, metadata_types, receipts, suppressions
from sync.store.receipts import Receipt
from tests.forget.conftest import Post, everything, tables_that_name
from tests.forget.lives import BUYERS, Forget, a_life, counts, refuse
from tests.make import NOW, after, alias, audience, call, computed_trait, identify, keep, people, record, standing_clock, track


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
