"""What is no query: each says where, what was found and what would be right. None is accepted, none ends in anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync.errors import InputError
from sync.language.faults import InvalidQuery
from sync.language.parse import parse_audience, parse_computed_trait

# Line 1 throughout: the query, and the column of the fault.
AUDIENCES = [
    # nothing, or half of something
    ("", 1),
    ("   ", 1),
    ("# only a comment", 17),
    ("(", 2),
    ("()", 2),
    ("event", 1),
    ("event(", 7),
    ("event('X'", 10),
    ("event('X').", 12),
    ("event('X').count", 17),
    ("event('X').count(", 18),
    ("event('X').count() >=", 22),
    ("(event('X').count() >= 1", 25),
    ("event('X').count() >= 1)", 24),
    ("event('X').count() >= 1 AND", 28),
    ("AND event('X').count() >= 1", 1),
    ("event('X').count() >= 1 OR OR trait('a') = 1", 28),
    ("NOT", 4),
    ("trait('a') = 1 trait('b') = 2", 16),
    ("trait('a') = = 1", 14),
    ("trait('a') = 1 = 1", 16),
    ("trait('a') => 1", 13),
    ("trait('a') <> 1", 13),
    ("trait('a') ! 1", 12),
    ("trait('a') === 1", 14),
    ("trait('a') ~ 1", 12),
    ("trait('a') = 1;", 15),
    ("trait('a') = 1 && trait('b') = 1", 16),
    ("trait('a') = 1 XOR trait('b') = 1", 16),
    ("event('X')..count() = 1", 12),
    ("event('X').5 = 1", 12),
    # texts
    ("trait('a) = 1", 7),
    ('trait("a) = 1', 7),
    ("trait('a') = 'gold", 14),
    ("trait('a') = 'it's'", 18),
    ("trait(‘a’) = 1", 7),
    ("trait(a) = 1", 7),
    ("event(Order Completed).count() = 1", 13),
    ("event(5).count() = 1", 7),
    ("event('').count() = 1", 7),
    ("event().count() = 1", 1),
    ("event('X', 'Y').count() = 1", 12),
    ("trait('') = 1", 7),
    ("trait('a..b') = 1", 7),
    ("trait('.a') = 1", 7),
    ("trait('a.') = 1", 7),
    ("trait('$') = 1", 7),
    ("trait('a', 'b') = 1", 12),
    ("trait('a') = gold", 14),
    ("trait('a') = True", 14),
    ("trait('a') = null", 14),
    ("trait('a\0') = 1", 9),
    # numbers and dates
    ("trait('a') = .5", 14),
    ("trait('a') = 5.", 16),
    ("trait('a') = +5", 14),
    ("trait('a') = 1e5", 15),
    ("trait('a') = 1,000", 15),
    (f"trait('a') = {'9' * 400}", 14),
    (f"trait('a') = {'9' * 5000}", 14),
    ("trait('a') = 2026-13-01", 14),
    ("trait('a') = 2026-02-30", 14),
    ("trait('a') = 2026-3-4", 14),
    ("trait('a') = 2026-03-04T25:00:00Z", 14),
    ("trait('a') = 2026-03-04T10", 14),
    ("trait('a') < 0001-01-01T00:00:00+05:00", 14),
    ("trait('a').before_date('soon')", 24),
    ("trait('a').before_date(5)", 24),
    ("trait('a').after_date(trait('b'))", 23),
    ("trait('a').after_date()", 12),
    # misspelt
    ("evnt('X').count() = 1", 1),
    ("Event('X').count() = 1", 1),
    ("event('X').cuont() = 1", 12),
    ("event('X').Count() = 1", 12),
    ("event('X').wihtin(3 days).count() = 1", 12),
    ("trait('a').equal(1)", 12),
    ("trait('a').startsWith('b')", 12),
    ("trait('a').like('b')", 12),
    ("frobnicate('a') = 1", 1),
    ("count() = 1", 1),
    # durations
    ("event('X').within(3).count() = 1", 19),
    ("event('X').within('3 days').count() = 1", 19),
    ("event('X').within(days).count() = 1", 19),
    ("event('X').within().count() = 1", 12),
    ("event('X').within(0 days).count() = 1", 19),
    ("event('X').within(-3 days).count() = 1", 19),
    ("event('X').within(1.5 days).count() = 1", 19),
    ("event('X').within(3 weeks).count() = 1", 21),
    ("event('X').within(30 minutes).count() = 1", 22),
    ("event('X').within(30 seconds).count() = 1", 22),
    ("event('X').within(999999999999 days).count() = 1", 19),
    ("event('X').within(3 days, 4 days).count() = 1", 27),
    ("event('X').between(3 days).count() = 1", 12),
    ("event('X').between(1 day, 2 days, 3 days).count() = 1", 35),
    ("event('X').between(1, 3 days).count() = 1", 20),
    ("event('X').within(exclude: 3 days).count() = 1", 19),
    ("trait('a').within_last(3)", 24),
    ("trait('a').within_last(30 seconds)", 27),
    ("trait('a').within_last(parent: 3 days)", 24),
    # what may follow what
    ("event('X')", 1),
    ("event('X').count()", 1),
    ("event('X').sum(property('p'))", 1),
    ("event('X').unique(property('p'))", 1),
    ("trait('a')", 1),
    ("5", 1),
    ("'text'", 1),
    ("true", 1),
    ("3 days", 3),
    ("literal(5)", 1),
    ("event('X') = 1", 1),
    ("event('X').equals(1)", 12),
    ("event('X').exists()", 12),
    ("event('X').unique(property('p')) = 1", 1),
    ("event('X').unique(property('p')).contains('a')", 34),
    ("event('X').unique(property('p')).sum(property('p')) = 1", 34),
    ("event('X').count().count() = 1", 20),
    ("event('X').count().within(3 days) = 1", 20),
    ("trait('a').within(3 days)", 12),
    ("trait('a').count() = 1", 12),
    ("trait('a').where(trait('b') = 1).count() = 1", 12),
    ("trait('a').exists().exists()", 21),
    ("trait('a').equals(1) = 1", 1),
    ("(trait('a') = 1).equals(true)", 18),
    ("5 < trait('a')", 1),
    ("literal(5) = trait('a')", 1),
    ("'gold'.equals(trait('a'))", 1),
    ("trait('a') = event('X')", 14),
    ("trait('a') = event('X').unique(property('p'))", 14),
    ("trait('a') = (trait('b') = 1)", 15),
    ("trait('a') AND trait('b') = 1", 1),
    ("trait('b') = 1 OR event('X').count()", 19),
    ("NOT trait('a')", 5),
    # arguments
    ("event('X').count(5) = 1", 18),
    ("event('X').count(property('p')) = 1", 18),
    ("event('X').sum() = 1", 12),
    ("event('X').sum('p') = 1", 16),
    ("event('X').sum(p) = 1", 16),
    ("event('X').sum(trait('p')) = 1", 16),
    ("event('X').sum(property('p'), 2) = 1", 31),
    ("event('X').sum(property('p') as string) = 1", 33),
    ("event('X').max(property('p') as array) = 1", 33),
    ("event('X').max(property('p') as text) = 1", 33),
    ("event('X').max(property('p') as) = 1", 32),
    ("event('X').mode(property('p'), 0) = 1", 32),
    ("event('X').mode(property('p'), 1.5) = 1", 32),
    ("event('X').mode(property('p'), '2') = 1", 32),
    ("event('X').mode(property('p'), 2, 3) = 1", 35),
    ("event('X').mode(2) = 1", 17),
    ("trait('a').exists(1)", 19),
    ("trait('a').equals()", 12),
    ("trait('a').equals(1, 2)", 22),
    ("trait('a').one_of()", 12),
    ("trait('a').one_of(trait('b'))", 19),
    ("trait('a').one_of(['b'])", 19),
    ("trait('a').one_of('b',)", 23),
    ("trait('a').contains()", 12),
    ("trait('a').contains(true)", 21),
    ("trait('a').omits('b', 'c')", 23),
    ("trait('a').starts_with(2026-01-01)", 24),
    ("trait('a') > true", 14),
    ("trait({'a'}) = 1", 7),
    ("event({'X'}).count() = 1", 7),
    ("trait('a').equals({1})", 19),
    ("event('X').where().count() = 1", 12),
    ("event('X').where(property('p')).count() = 1", 18),
    ("event('X').where(event('Y')).count() = 1", 18),
    ("event('X').where({property('p') = 1).count() = 1", 36),
    ("event('X').where(property('p') = 1, property('q') = 1).count() = 1", 37),
    ("event('X').sources().count() = 1", 12),
    ("event('X').sources('web').count() = 1", 20),
    ("event('X').sources({exclude: web}).count() = 1", 30),
    ("event('X').sources({exclude 'web'}).count() = 1", 29),
    ("event('X').sources({parent: 'web'}).count() = 1", 21),
    # where a part is allowed
    ("property('p') = 1", 1),
    ("context('p') = 1", 1),
    ("trait('a') = property('p')", 14),
    ("property(parent: 'p') = 1", 1),
    ("event('X').where(property(parent: 'p') = 1).count() = 1", 18),
    ("event('X').where(property(exclude: 'p') = 1).count() = 1", 27),
    ("event('X').sum(property(parent: 'p')) = 1", 16),
    ("event('X').within(parent: 3 days).count() = 1", 12),
    ("event('X').between(parent: 1 day, 3 days).count() = 1", 12),
    ("event('X').expires_after(30 seconds).count() = 1", 12),
    ("entity('invoices').count() = 1", 1),
    ("ANY event('X').count() = 1", 1),
    ("trait('a') = 1 AND ALL (event('X').count() = 1)", 20),
]
COMPUTED_TRAITS = [
    ("", 1),
    ("event('X')", 1),
    ("event('X').within(3 days)", 1),
    ("trait('a')", 1),
    ("literal(5)", 1),
    ("5", 1),
    ("event('X').count() >= 1", 1),
    ("event('X').count() AND event('Y').count()", 1),
    ("NOT event('X').count()", 5),
    ("event('X').first(property('p')).exists()", 1),
    ("event('X').expires_after(3 weeks).count()", 28),
    ("event('X').expires_after().count()", 12),
    ("event('X').expires_after(1 day).expires_after(1 day).count()", 33),
    ("event('X').where(event('Y').expires_after(1 day).count() = 1).count()", 29),
    ("event('X').unique(property('p')).first(property('p'))", 34),
    ("property('p')", 1),
]


def fault_of(query: str, parse: Callable[[str], object] = parse_audience) -> InvalidQuery:
    with pytest.raises(InvalidQuery) as caught:
        parse(query)
    return caught.value


@pytest.mark.parametrize(("query", "column"), AUDIENCES)
def test_a_malformed_audience_is_refused_where_it_is_wrong(query: str, column: int) -> None:
    fault = fault_of(query)

    assert (fault.line, fault.column) == (1, column), str(fault)


@pytest.mark.parametrize(("query", "column"), COMPUTED_TRAITS)
def test_a_malformed_computed_trait_is_refused_where_it_is_wrong(query: str, column: int) -> None:
    fault = fault_of(query, parse_computed_trait)

    assert (fault.line, fault.column) == (1, column), str(fault)


def test_the_commonest_faults_are_explained_in_these_words(pytestconfig: pytest.Config) -> None:
    commonest = [
        "evnt('Order Completed').count() >= 1",
        "event('Order Completed').cuont() >= 1",
        "event(Order Completed).count() >= 1",
        "event('Order Completed).count() >= 1",
        "event('Order Completed').count()",
        "event('Order Completed').within(3 weeks).count() >= 1",
        "event('Order Completed').within(3 days) >= 1",
        "trait('plan') = gold",
        "event('Order Completed').sum('total') >= 100",
        "property('total') >= 100",
        "(event('A').count() >= 1\n  AND trait('plan') = 'gold'",
        "trait('plan').within(3 days)",
        "ANY event('Order Completed').count() >= 1",
        "trait('due').before_date('tomorrow')",
    ]
    kept = Path(__file__).parent / "faults.txt"

    shown = "\n".join(f"{fault.caret()}\n{fault}\n" for fault in map(fault_of, commonest))

    if pytestconfig.getoption("--update-golden", default=False):
        kept.write_text(shown, encoding="utf-8")
    assert shown == kept.read_text(encoding="utf-8")


def test_a_fault_on_a_later_line_is_shown_there() -> None:
    fault = fault_of("trait('a') = 1\r\n\tAND trait('b') > nope")

    assert (fault.line, fault.column) == (2, 19)
    assert fault.caret() == "\tAND trait('b') > nope\n\t" + " " * 17 + "^"


def test_a_fault_is_the_users_to_mend() -> None:
    assert isinstance(fault_of(""), InputError)


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query",
    [
        "(" * 31 + "trait('a') = 1" + ")" * 31,
        "(" * 100_000,
        "NOT " * 20_000 + "trait('a') = 1",
        "(NOT " * 16 + "trait('a') = 1" + ")" * 16,
        "event('A').where(" * 5_000,
        "{" * 10,
        " " * 200_000,
        "event('A')" + ".within(1 day)" * 10_000,
        "trait('a') = 1" + " AND trait('a') = 1" * 50,
        "event('A').where(" + " OR ".join(["property('p') = 1"] * 50) + ").count() = 1",
        "trait('" + "a." * 40_000 + "') = 1",
        "trait('a') = '\ud800'",
    ],
)
def test_what_is_too_much_is_refused_and_not_stumbled_over(query: str) -> None:
    fault_of(query)


_PIECES = (
    *(
        "event('A')",
        "trait('a')",
        "property('p')",
        "property(parent: 'p')",
        "context('c')",
        "literal(",
        "entity(",
        "'x'",
        '"y"',
        "'",
    ),
    *(".where(", ".within(", ".between(", ".count()", ".sum(", ".mode(", ".unique(", ".sources(", ".expires_after("),
    *(".equals(", ".one_of(", ".exists()", ".before_date(", "= ", "!=", ">=", "<", "AND", "OR", "NOT", "ANY", "as", "string"),
    *("exclude:", "parent:", "{", "}", "[", "]", "(", ")", ",", ".", "1", "-2.5", "3", "days", "2026-01-02", "2026-13-99T"),
    *("#", "\n", "\\", "é", "‘", "\0"),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(_PIECES), max_size=25).map(" ".join) | st.lists(st.sampled_from(_PIECES), max_size=25).map("".join))
@example("event('A').where(")
def test_pieces_of_queries_are_refused_or_accepted_and_nothing_else(text: str) -> None:
    refused_or_accepted(text)


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_is_refused_or_accepted_and_nothing_else(text: str) -> None:
    refused_or_accepted(text)


def refused_or_accepted(text: str) -> None:
    for parse in (parse_audience, parse_computed_trait):
        try:
            parse(text)
        except InvalidQuery as fault:
            place = fault.line, fault.column
            assert min(place) >= 1, fault
