"""Processes that were forked from one which had opened the store (row 41)."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from sqlalchemy import literal, select

from sync.store import Store

QUERIES = 2000


def forked(work: Callable[[], None]) -> int:
    """Do it in a child of this process; return the child's id. It says what went wrong, and exits with 1."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001 - nothing of pytest may run in the child
        traceback.print_exc(file=sys.__stderr__)
        os._exit(1)
    os._exit(0)


def ask(store: Store, first: int) -> None:
    for number in range(first, first + QUERIES):
        with store.reading() as connection:
            assert connection.scalar(select(literal(number))) == number


def test_a_forked_process_never_gets_the_answers_of_another(store: Store) -> None:
    ask(store, 0)
    children = [forked(lambda first=first: ask(store, first)) for first in (10_000, 20_000)]
    ask(store, 30_000)

    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    ask(store, 40_000)
