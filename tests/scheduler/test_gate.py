"""How many runs go on at once, and that whoever takes long keeps nobody."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest

from sync.gate import Gate
from tests.scheduler.running import wait_until

NEVER = timedelta(hours=1)


class Crowd:
    """Threads that go through a gate and stay there until they are told to leave."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.inside: list[int] = []
        self._leave: list[threading.Event] = []
        self._threads: list[threading.Thread] = []

    def come(self) -> None:
        number = len(self._threads)
        self._leave.append(threading.Event())
        self._threads.append(threading.Thread(target=self._pass, args=(number,)))
        self._threads[-1].start()

    def leave(self, number: int) -> None:
        self._leave[number].set()
        self._threads[number].join()

    def disperse(self) -> None:
        for number in range(len(self._threads)):
            self._leave[number].set()
        for thread in self._threads:
            thread.join()

    def _pass(self, number: int) -> None:
        with self._gate.passed():
            self.inside.append(number)
            self._leave[number].wait()


def crowd(stack: ExitStack, gate: Gate, number: int) -> Crowd:
    made = Crowd(gate)
    stack.callback(made.disperse)
    for _ in range(number):
        made.come()
    return made


def test_no_more_go_through_than_there_is_room_for_until_one_leaves() -> None:
    with ExitStack() as stack:
        people = crowd(stack, Gate(2, NEVER), 2)
        wait_until(lambda: len(people.inside) == 2)
        people.come()
        time.sleep(0.1)
        assert sorted(people.inside) == [0, 1]

        people.leave(1)

        wait_until(lambda: 2 in people.inside)


def test_whoever_has_been_there_for_long_keeps_nobody() -> None:
    long, began = timedelta(seconds=0.3), time.monotonic()
    with ExitStack() as stack:
        people = crowd(stack, Gate(2, long), 6)

        wait_until(lambda: len(people.inside) == 6)

    # Two at once, and two more whenever those before have grown old.
    assert 0.6 <= time.monotonic() - began < 3


def test_room_is_given_back_after_an_error() -> None:
    gate = Gate(1, NEVER)
    with pytest.raises(KeyError), gate.passed():
        raise KeyError

    with gate.passed():
        pass
