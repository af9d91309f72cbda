"""How a process asks for memory and gives it back: Python's collector of garbage, and the C library's allocator.

It knows nothing of what the memory is for.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

GARBAGE: Final = (10_000, 5, 5)
"""How many objects more than are gone, and then how many younger collections, before Python collects."""

LARGE_BYTES: Final = 128 * 1024
"""From where on a block is the system's: taken from it alone, and given back when it is free. What glibc begins with."""

_M_MMAP_THRESHOLD: Final = -3
"""Its number in glibc's malloc.h."""


def settle_memory() -> None:
    """Let this process be as fast and as even as a long-lived one should be; call it before there are threads."""
    _collect_seldom()
    _keep_large_blocks_apart()


@contextmanager
def frozen() -> Iterator[None]:
    """Take all that there is by now, modules mostly, for what stays, and look for garbage among what comes after it alone.

    Python looks at everything only once what is new is a quarter of what it looks at. So what a door throws away, some
    hundred objects that were in use while garbage was looked for, lay among modules for hours.
    """
    gc.collect()
    gc.freeze()
    # By which Python counts what it looks at, of which the quarter is one.
    gc.collect()
    try:
        yield
    finally:
        gc.unfreeze()


def _collect_seldom() -> None:
    """Let Python look for garbage in cycles less often than after every 700 objects.

    A push, or an import, makes hundreds of thousands, all of which are gone without that: looking took a fifth of the processor.
    """
    gc.set_threshold(*GARBAGE)


def _keep_large_blocks_apart() -> None:
    """Hold glibc to what it calls a large block, where it is glibc's memory.

    By itself it takes larger and larger blocks for small ones, as it sees them freed (mallopt(3), M_MMAP_THRESHOLD). The body of a
    batch, which lives for moments, then lies among what stays, and leaves holes of which a process grows.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
