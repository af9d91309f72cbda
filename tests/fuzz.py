"""What strangers write, fuzzed for as long as you like by atheris, which watches the branches that the program takes.

    pip install atheris                          # for the Pythons that it has wheels for
    python -m tests.fuzz calls --seconds 600     # bodies of requests: a call, a rejection or a refusal
    python -m tests.fuzz queries --seconds 600   # queries of audiences: a tree, or what is wrong and where

It begins with what tests and documents have, good and bad, and with the words that mean something there; what leads to a branch
that was not taken before is kept in `--corpus`, for another time. It ends with an error, and leaves the input in a file, as soon as
anything else comes of it. In the gate the same laws are held by Hypothesis: tests/web/test_fuzz.py and tests/language.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["sync"]):
    from sync.call import CallType, InvalidCall, open_batch, open_call
    from sync.language.faults import InvalidQuery
    from sync.language.parse import parse_audience, parse_computed_trait
    from sync.language.vocabulary import ALIASES, HEADS, METHODS, SIGNS
    from tests.docs.examples import examples, refusals
    from tests.operating.test_hostile_calls import CORPUS
    from tests.web.test_fuzz import FIELDS, GOOD, taken


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


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is fuzzed, from what on."""

    does: Callable[[bytes], None]
    seeds: Iterable[bytes]
    words: Iterable[str]


DOCUMENTS: Final = ("language.md", "meaning.md")
BATCH: Final = b'{"batch":[' + GOOD + b"," + GOOD + b'],"writeKey":"k","sentAt":"2024-05-01T12:00:00Z","context":{"a":{"b":[1.5]}}}'

TARGETS: Final[dict[str, Target]] = {
    "calls": Target(
        does=calls, seeds=[BATCH, *CORPUS.values()], words=[*FIELDS, *CallType, *'[]{},:"', "\\u0000", "\\ud800", "null"]
    ),
    "queries": Target(
        does=queries,
        seeds=[
            *(one.query.encode() for document in DOCUMENTS for one in examples(document)),
            *(query.encode() for document in DOCUMENTS for _, query, _ in refusals(document)),
        ],
        words=[*HEADS, *METHODS, *ALIASES, *SIGNS, "AND", "OR", "NOT", "days", "'", "(", ")", "."],
    ),
}


def prepare(target: Target, corpus: Path) -> Path:
    """Put what one begins with into a folder, and the words that mean something beside it; return where these are."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = corpus.with_name(f"{corpus.name}.words")
    # As libFuzzer wants them: a text in quotes on each line, its own quotes and backslashes behind a backslash.
    words.write_text("".join(json.dumps(word) + "\n" for word in target.words), encoding="ascii")
    return words


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what strangers write.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument(
        "--corpus", type=Path, help="a folder to begin with, and to keep in what was found; a new one if none is named"
    )
    wanted = parser.parse_args()
    target, corpus = TARGETS[wanted.target], wanted.corpus or Path(tempfile.mkdtemp(prefix="fuzz-")) / "corpus"
    words = prepare(target, corpus)
    options = [f"-max_total_time={wanted.seconds}", "-max_len=4096", f"-dict={words}", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.does)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
