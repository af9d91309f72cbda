"""What strangers write, fuzzed for as long as you like by atheris, which watches the branches that the program takes.

    pip install atheris                          # for the Pythons that it has wheels for
    python -m tests.fuzz calls --seconds 600     # bodies of requests: a call, a rejection or a refusal
    python -m tests.fuzz queries --seconds 600   # queries of audiences: a tree, or what is wrong and where

It ends with an error, and leaves the input in a file, as soon as anything else comes of it. In the gate the same laws are held by
Hypothesis: tests/web/test_fuzz.py and tests/language.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final

import atheris

with atheris.instrument_imports(include=["sync"]):
    from sync.call import CallType, InvalidCall, open_batch, open_call
    from sync.language.faults import InvalidQuery
    from sync.language.parse import parse_audience, parse_computed_trait
    from tests.web.test_fuzz import taken


def calls(data: bytes) -> None:
    """Read bytes as the body of each kind of request."""
    for type in (*CallType, None):
        try:
            taken(open_call(data, type) if type else open_batch(data))
        except InvalidCall:
            continue


def queries(data: bytes) -> None:
    """Read bytes as the query of an audience, and of a computed trait."""
    for parse in (parse_audience, parse_computed_trait):
        try:
            parse(data.decode(errors="replace"))
        except InvalidQuery:
            continue


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {"calls": calls, "queries": queries}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what strangers write.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    wanted = parser.parse_args()
    atheris.Setup([sys.argv[0], f"-max_total_time={wanted.seconds}", "-max_len=4096"], TARGETS[wanted.target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
