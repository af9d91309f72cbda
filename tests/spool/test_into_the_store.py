"""What was spooled goes the way of every call into the store: once each, and not about people who were forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sync.call import Incoming
from sync.errors import Unreachable
from sync.forget import forget
from sync.ingest import accept
from sync.payload import Mapping
from sync.spool import Spool
from sync.store import Store
from sync.store import schema as t
from tests.make import NOW, identify, keep, rejected, standing_clock, track
from tests.spool.conftest import Accept, away, until

MAPPING = Mapping(uri_fallback="https://example.com/")


@pytest.fixture
def into(store: Store) -> Accept:
    def accepted(batch: Sequence[Incoming]) -> None:
        accept(store, batch, MAPPING, NOW)

    return accepted


def left_behind(spool: Callable[..., Spool], *batch: Incoming) -> None:
    former = spool()
    former.before(away)(batch)
    former.close()


def drained(spool: Callable[..., Spool], into: Accept) -> None:
    opened = spool()
    opened.before(into)
    until(lambda: not opened.lying.bytes, "it was not drained")
    opened.close()


def number(store: Store, table: object) -> int:
    with store.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)  # type: ignore[arg-type]


def test_nobody_who_was_forgotten_comes_back_by_way_of_the_spool(store: Store, spool: Callable[..., Spool], into: Accept) -> None:
    keep(store, identify("zoe"))
    left_behind(
        spool,
        Incoming(source="web", calls=(track("zoe", message_id="m1"), track("ann", message_id="m2"))),
        Incoming(source="web", rejected=(rejected(body='{"userId":"zoe"}'),)),
    )
    forget(store, "zoe", None, standing_clock())

    drained(spool, into)
    with store.reading() as connection:
        assert connection.scalars(select(t.calls.c.user_id)).all() == ["ann"]
        assert connection.scalars(select(t.profiles.c.user_id)).all() == ["ann"]
    assert number(store, t.rejected_calls) == 0


def test_calls_keep_the_instant_at_which_they_came_in(store: Store, spool: Callable[..., Spool], into: Accept) -> None:
    came_in = NOW.replace(hour=1, microsecond=1)
    left_behind(spool, Incoming(source="web", calls=(track("ann", at=came_in, received_at=came_in),)))

    drained(spool, into)
    with store.reading() as connection:
        assert connection.execute(select(t.calls.c.received_at, t.calls.c.source)).all() == [(came_in, "web")]


def test_a_crash_between_the_store_and_the_removal_of_the_file_doubles_no_call(
    store: Store, spool: Callable[..., Spool], into: Accept, folder: Path
) -> None:
    calls = (track("ann", message_id="m1"), track("ann", message_id="m2"))
    # Two that a sender made the same mistake in are two.
    left_behind(spool, Incoming(source="web", calls=calls, rejected=(rejected(), rejected())))
    kept = {path: path.read_bytes() for path in folder.glob("*.spool")}

    drained(spool, into)
    for path, content in kept.items():
        path.write_bytes(content)
    drained(spool, into)
    assert (number(store, t.calls), number(store, t.deliveries), number(store, t.rejected_calls)) == (2, 2, 2)


def test_a_store_that_took_a_batch_and_could_not_say_so_lists_its_rejections_once(
    store: Store, spool: Callable[..., Spool], into: Accept
) -> None:
    """The connection was cut at the commit: the batch goes to the spool, and from there to the store again."""

    def taken_without_a_word(batch: Sequence[Incoming]) -> None:
        into(batch)
        raise Unreachable("the connection was cut")

    former = spool()
    former.before(taken_without_a_word)((Incoming(source="web", rejected=(rejected(),)),))
    former.close()
    drained(spool, into)
    assert number(store, t.rejected_calls) == 1
