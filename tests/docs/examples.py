"""The examples that stand in the documents, taken out of them: queries, what is true of a user, and what the query then gives.

`docs/language.md` says how they are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sync.audience import Kind
from sync.json_value import Json
from sync.language.reading import Event, Profile
from tests.language.histories import NOW

DOCS: Final = Path(__file__).parents[2] / "docs"

_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EVENT: Final = re.compile(
    r"(?P<name>.+?) (?P<when>now|in \S+|\d+ (?:days?|hours?) ago|[\d:.]+ ago)"
    r"(?: (?P<properties>\{.*?\}))?(?: from (?P<source>\w+))?(?: in context (?P<context>\{.*\}))?"
)


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    document: str
    line: int
    tag: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Case:
    """What is true of one user, and what the query gives."""

    profile: Profile
    # What other definitions gave: the kind and the value of each key.
    referred: dict[str, tuple[Kind, Json]]
    answer: Json

    @property
    def is_of_audience(self) -> bool:
        return isinstance(self.answer, bool)


@dataclass(frozen=True)
class Example:
    """A query with its cases."""

    block: Block
    query: str
    cases: tuple[Case, ...]

    @property
    def kind(self) -> Kind:
        return Kind.AUDIENCE if self.cases[0].is_of_audience else Kind.COMPUTED_TRAIT


def blocks(document: str, tag: str) -> list[Block]:
    """Give the blocks of a document that have a tag behind the fence."""
    text = (DOCS / document).read_text(encoding="utf-8")
    found = [
        Block(document, text.count("\n", 0, match.start()) + 1, match[1], match[2].rstrip("\n")) for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if block.tag == tag]


def examples(document: str) -> list[Example]:
    """Give the examples of a document."""
    return [_example(block) for block in blocks(document, "example")]


def refusals(document: str) -> list[tuple[Block, str, str]]:
    """Give the queries of a document that are refused, and the beginning of what is said."""
    return [(block, *_halves(block)) for block in blocks(document, "refused")]


def _halves(block: Block) -> tuple[str, str]:
    query, _, rest = block.text.partition("\n\n")
    assert rest, f"{block}: an empty line parts the query from what it gives"
    return query, rest


def _example(block: Block) -> Example:
    query, rest = _halves(block)
    return Example(block, query, tuple(_case(block, line) for line in rest.split("\n")))


def _case(block: Block, line: str) -> Case:
    written, gap, rest = re.sub(r"\s{2,}", "  ", line, count=1).partition("  ")
    assert gap, f"{block}: two blanks part what a query gives from what is true: {line}"
    words: dict[str, Json] = {"yes": True, "no": False, "absent": None}
    answer = words[written] if written in words else json.loads(written)
    events: list[Event] = []
    traits: dict[str, Json] = {}
    referred: dict[str, tuple[Kind, Json]] = {}
    for order, fact in enumerate(rest.split(" | "), 1):
        if fact == "nothing":
            continue
        if found := re.fullmatch(r"member of (\w+)", fact):
            referred[found[1]] = (Kind.AUDIENCE, True)
        elif found := re.fullmatch(r"value of (\w+) = (.*)", fact):
            referred[found[1]] = (Kind.COMPUTED_TRAIT, json.loads(found[2]))
        elif found := re.fullmatch(r"traits (\{.*\})", fact):
            traits |= json.loads(found[1])
        else:
            events.append(_event(block, fact, order))
    return Case(Profile(traits=traits, events=tuple(events)), referred, answer)


def _event(block: Block, fact: str, order: int) -> Event:
    found = _EVENT.fullmatch(fact)
    assert found, f"{block}: nothing that can be true of a user: {fact}"
    return Event(
        name=found["name"],
        timestamp=NOW - _age(found["when"]),
        order=order,
        properties=json.loads(found["properties"] or "{}"),
        context=json.loads(found["context"] or "{}"),
        source=found["source"],
    )


def _age(when: str) -> timedelta:
    if when == "now":
        return timedelta(0)
    if found := re.fullmatch(r"(\d+) (day|hour)s? ago", when):
        return int(found[1]) * timedelta(**{f"{found[2]}s": 1})
    clock = re.search(r"(\d+):(\d\d):(\d\d)(?:\.(\d{6}))?", when)
    assert clock, when
    hours, minutes, seconds, micros = (int(part or 0) for part in clock.groups())
    age = timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micros)
    return -age if when.startswith("in ") else age


def names_called(document: str) -> Iterator[str]:
    """Give every name that stands before an open bracket in code, examples and all."""
    text = (DOCS / document).read_text(encoding="utf-8")
    text = re.sub(r"^```(?!example|refused)\w+\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for code in [
        *re.findall(r"`([^`\n]+)`", text),
        *(block.text for tag in ("example", "refused") for block in blocks(document, tag)),
    ]:
        without_texts = re.sub(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", "''", code)
        yield from re.findall(r"\b([a-z_]+)\(", without_texts)
