"""The threads of a process write to a SQLite file first come, first served."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
from sqlalchemy import insert, select

from sync.errors import StoreBusy
from sync.store import Store
from sync.store.schema import heartbeats
from sync.store.turns import Turns
from tests.make import NOW


def queue_up(turns: Turns, name: str, order: list[str]) -> threading.Thread:
    def take() -> None:
        with turns.turn(10):
            order.append(name)

    thread = threading.Thread(target=take)
    thread.start()
    time.sleep(0.02)
    return thread


def test_whoever_has_waited_longest_is_next() -> None:
    turns, order = Turns(), []
    with turns.turn(1):
        threads = [queue_up(turns, name, order) for name in "abcd"]
    for thread in threads:
        thread.join()

    assert order == ["a", "b", "c", "d"]


def test_who_does_not_get_a_turn_in_time_is_told_and_is_not_in_the_way_later() -> None:
    turns = Turns()
    with turns.turn(1):
        with pytest.raises(StoreBusy), turns.turn(0.01):
            raise AssertionError("it was not free")
        order: list[str] = []
        later = queue_up(turns, "later", order)
    later.join(5)

    assert order == ["later"]


def test_a_turn_that_ends_in_an_error_is_over() -> None:
    turns = Turns()
    with suppress(ValueError), turns.turn(1):
        raise ValueError

    with turns.turn(0.01):
        pass


def test_nobody_waits_for_ever_behind_those_who_write_without_a_rest(sqlite_store: Store) -> None:
    stop = threading.Event()
    with sqlite_store.writing() as connection:
        connection.execute(insert(heartbeats).values(name="a", at=NOW, detail="0"))

    def write_on() -> None:
        while not stop.is_set():
            one_write()

    def one_write() -> None:
        with sqlite_store.writing() as connection:
            connection.execute(select(heartbeats)).all()
            time.sleep(0.02)

    greedy = [threading.Thread(target=write_on) for _ in range(3)]
    for thread in greedy:
        thread.start()
    waits = []
    for _ in range(10):
        began = time.monotonic()
        one_write()
        waits.append(time.monotonic() - began)
    stop.set()
    for thread in greedy:
        thread.join()
    assert max(waits) < 1
