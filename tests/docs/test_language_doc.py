"""docs/language.md and docs/meaning.md say what the program does: every example is run by the reading and on both databases."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

import pytest

from sync.audience import Kind
from sync.json_value import Json, encode
from sync.language import vocabulary
from sync.language.check import MOST_COMPARISONS, MOST_FILTERS
from sync.language.constants import LONGEST_SPAN, MOST_STEPS
from sync.language.faults import InvalidQuery
from sync.language.parse import DEEPEST, LONGEST, parse_audience, parse_computed_trait
from sync.language.reading import Profile, member, value
from sync.language.text import text_of
from tests.compiler.population import Referred, World
from tests.docs.examples import DOCS, Block, Case, Example, blocks, examples, names_called, refusals
from tests.language.histories import NOW

DOCUMENTS: Final = ("language.md", "meaning.md")
EXAMPLES: Final = [example for document in DOCUMENTS for example in examples(document)]
REFUSALS: Final = [refusal for document in DOCUMENTS for refusal in refusals(document)]
PAGE: Final = "".join((DOCS / document).read_text(encoding="utf-8") for document in DOCUMENTS)


def ids(example: Example) -> str:
    return str(example.block)


# ── examples ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def seen(case: Case) -> Profile:
    """Give the profile as the reading takes it, with what other definitions gave among the traits."""
    return Profile(
        traits={**case.profile.traits, **{key: value for key, (_, value) in case.referred.items()}}, events=case.profile.events
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_the_plain_reading_gives_what_an_example_says(example: Example) -> None:
    for case in example.cases:
        found: Json
        if example.kind is Kind.AUDIENCE:
            found = member(parse_audience(example.query), seen(case), NOW)
        else:
            found = value(parse_computed_trait(example.query), seen(case), NOW)
        assert encode(found) == encode(case.answer), case


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_the_databases_give_what_an_example_says(world: World, example: Example) -> None:
    with world.of(*(case.profile for case in example.cases), referred=referred(example)) as people:
        if example.kind is Kind.AUDIENCE:
            members = people.members(parse_audience(example.query), NOW)
            assert members == {id for id, case in enumerate(example.cases, 1) if case.answer}
        else:
            values = people.values(parse_computed_trait(example.query), NOW)
            expected = {id: case.answer for id, case in enumerate(example.cases, 1) if case.answer is not None}
            assert {id: encode(value) for id, value in values.items()} == {id: encode(value) for id, value in expected.items()}


def referred(example: Example) -> Referred:
    kinds = {key: kind for case in example.cases for key, (kind, _) in case.referred.items()}
    nothing: dict[Kind, Json] = {Kind.AUDIENCE: False, Kind.COMPUTED_TRAIT: None}
    return {
        key: (kind, [case.referred.get(key, (kind, nothing[kind]))[1] for case in example.cases]) for key, kind in kinds.items()
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_an_example_that_is_written_anew_means_the_same(example: Example) -> None:
    if example.kind is Kind.AUDIENCE:
        query = parse_audience(example.query)
        assert parse_audience(text_of(query)) == query
    else:
        trait = parse_computed_trait(example.query)
        assert parse_computed_trait(text_of(trait)) == trait


@pytest.mark.parametrize(("block", "query", "message"), REFUSALS, ids=[str(block) for block, _, _ in REFUSALS])
def test_what_is_said_to_be_refused_is_refused_in_these_words(block: Block, query: str, message: str) -> None:
    for parse in (parse_audience, parse_computed_trait):
        with pytest.raises(InvalidQuery) as caught:
            parse(query)
        assert str(caught.value).startswith(message), block


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def called(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b{name}\(")


@pytest.mark.parametrize("name", sorted({*vocabulary.HEADS, *vocabulary.METHODS, *vocabulary.ALIASES}))
def test_every_function_is_on_the_page_with_an_example(name: str) -> None:
    tried = [example.query for example in EXAMPLES] + [query for _, query, _ in REFUSALS]
    tables = [line for line in PAGE.split("\n") if line.startswith("| ")]

    assert any(called(name).search(query) for query in tried)
    assert any(f"`{name}`" in line or called(name).search(line) for line in tables)


@pytest.mark.parametrize(
    "part",
    [
        *sorted(vocabulary.SIGNS),
        *("AND", "OR", "NOT", "ANY", "ALL", "exclude:", "parent:", "true", "#"),
        *sorted({f"as {type_.value}" for types in vocabulary.TYPES.values() for type_ in types}),
        *("hours", "days", "seconds"),
    ],
)
def test_every_sign_and_word_is_on_the_page_with_an_example(part: str) -> None:
    assert any(part in query for query in [example.query for example in EXAMPLES] + [query for _, query, _ in REFUSALS])
    assert part in PAGE


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_page_names_no_function_that_there_is_not(document: str) -> None:
    known = {*vocabulary.HEADS, *vocabulary.METHODS, *vocabulary.ALIASES}

    assert set(names_called(document)) - known == set()


# ── the grammar, the rules, the limits ───────────────────────────────────────────────────────────────────────────────────


def test_the_grammar_on_the_page_is_the_one_that_is_read(request: pytest.FixtureRequest) -> None:
    grammar = resources.files("sync.language").joinpath("grammar.lark").read_text(encoding="utf-8").rstrip("\n")
    if request.config.getoption("--update-golden"):
        path = DOCS / "language.md"
        before, _, rest = path.read_text(encoding="utf-8").partition("```lark\n")
        path.write_text(f"{before}```lark\n{grammar}\n```" + rest.partition("\n```")[2], encoding="utf-8")

    (shown,) = blocks("language.md", "lark")

    assert shown.text == grammar


def test_every_rule_has_an_example_and_every_example_a_rule() -> None:
    text = (DOCS / "meaning.md").read_text(encoding="utf-8")
    rules = re.findall(r"^\| (?!point|---)([^|]+?) \|", text, re.MULTILINE)
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]

    assert [section.partition("\n")[0] for section in sections] == rules
    for section in sections:
        assert "```example\n" in section or "```refused\n" in section, section


def test_the_limits_on_the_page_are_the_ones_that_hold() -> None:
    limits = PAGE.partition("**Limits.**")[2].partition("\n\n")[0]

    assert f"{MOST_COMPARISONS} comparisons" in limits
    assert f"{MOST_FILTERS} filters" in limits
    assert f"{DEEPEST} brackets and prefixes" in limits
    assert f"{MOST_STEPS} steps in a path" in limits
    assert f"{LONGEST:,} characters" in limits
    assert f"{LONGEST_SPAN.days:,} days" in PAGE


def test_segments_own_examples_are_all_there() -> None:
    own = (DOCS / "language.md").read_text(encoding="utf-8").partition("## Segment's examples")[2]

    assert own.count("```example\n") + own.count("```refused\n") == 13
