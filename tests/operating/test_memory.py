"""What a process does with memory that is free again: real processes, whose allocator is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASK = """
import ctypes, sys
from sync.memory import settle_memory

class Info(ctypes.Structure):
    # mallinfo(3): hblkhd is how many bytes are in blocks of their own.
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Info
if sys.argv[1] == "settled":
    settle_memory()
freed = bytearray(16 * 1024 * 1024)
del freed
before = mallinfo().hblkhd
large = bytearray(256 * 1024)
print(mallinfo().hblkhd - before)
"""


def apart(way: str) -> int:
    """Have a block of 256 KiB taken after a larger one was freed; how many bytes more are in blocks of their own."""
    return int(subprocess.run((sys.executable, "-c", ASK, way), capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(("way", "least", "most"), [("settled", 256 * 1024, 512 * 1024), ("as it comes", 0, 0)])
def test_a_large_block_lies_apart_from_small_ones_whatever_was_freed_before(way: str, least: int, most: int) -> None:
    assert least <= apart(way) <= most


AMONG_WHAT_STAYS = """
import gc, sys
from contextlib import nullcontext
from weakref import ref
from sync.memory import frozen, settle_memory

class Knot:
    def __init__(self):
        self.end = self

settle_memory()
modules = [[] for _ in range(1_000_000)]
gc.collect()
with frozen() if sys.argv[1] == "frozen" else nullcontext():
    thrown_away = Knot()
    # As what is in use while garbage is looked for, which goes to the oldest then.
    gc.collect(1)
    thrown_away = ref(thrown_away)
    for _ in range(400_000):
        Knot()
    print(thrown_away() is None, gc.get_freeze_count() > 0)
print(gc.get_freeze_count())
"""


@pytest.mark.parametrize(("way", "found"), [("frozen", "True True"), ("as it comes", "False False")])
def test_what_is_thrown_away_is_found_among_what_stays(way: str, found: str) -> None:
    done = subprocess.run((sys.executable, "-c", AMONG_WHAT_STAYS, way), capture_output=True, text=True, check=True).stdout

    assert done.splitlines() == [found, "0"]
