"""Hypothesis strategies for queries over the whole language, and for profiles and events that make them interesting.

The vocabulary is small, so that a query and a profile drawn apart still meet: the same few names, values that are nearly alike (the
number 10, the text '10', the text '10.0'), and instants on, just before and just after the edges of the windows. `p` is mostly a
number, `q` mostly a text, `when` mostly a date, `tags` an array, `items` an array of objects, `o` an object; now and then each is
something else.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, Final, TypeVar

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sync.json_value import Json
from sync.language import tree
from sync.language.arguments import dated
from sync.language.check import MOST_COMPARISONS
from sync.language.reading import Event, Profile
from sync.language.reads import parts_of
from sync.language.tree import AnyOperator, Each, Operator

T = TypeVar("T")

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCES: Final = ("web", "app", None)
SPANS: Final = tuple(timedelta(hours=hours) for hours in (24, 2, 48, 1, 25))
_TICK: Final = timedelta(microseconds=1)
_NOTHING: Final = timedelta(0)
# Around now; some of them on the edges of spans, and then often a microsecond to one side.
_HOURS: Final = (-1, -2, -3, -0.5, -1.5, -1, -2, -24, -23, -25, -48, -49, 0, 1)
_TICKS: Final = (_NOTHING, _NOTHING, -_TICK, _TICK)

_NAMES: Final = ("A", "B", "A", "B", "A", "B", "A", "Page Viewed")
_TEXTS: Final = (
    *("a", "b", "ab", "A", "", "true", "false", "10", "10.0", "1e1", "-0"),
    *("é", "\uffff", "\U0001d11e", "it's", 'q"\\', "50%_"),
)
_DATES: Final = (
    *("2026-03-01", "2026-02-28", "2026-02-30", "2026-03-01T12:00:00", "2026-03-01T14:00:00+02:00"),
    *("2026-03-01T12:00Z", "2026-02-28T12:00:00.000Z"),
)
_NUMBERS: Final[tuple[int | float, ...]] = (1, 2, 3, 0, 1.0, 10, -1, 0.1, 0.2, 33.3, 66.7, 1.5, 1e21, 1e-7, 2**53 + 1)
_RARE: Final[tuple[Json, ...]] = (10**400, "1e999", "1e-999", "0" * 401, 1e308, -1e308, 5e-324, " 10", "+1", "٣")

_NUMBER: Final[tree.Path] = ("p",)
_TEXT: Final[tree.Path] = ("q",)
_DATE: Final[tree.Path] = ("when",)
PATHS: Final[tuple[tree.Path, ...]] = (
    *(_NUMBER, _TEXT, _DATE, ("o", "p"), ("tags", Each.ELEMENT), ("tags",)),
    *(("items", Each.ELEMENT, "p"), ("a.b",), ("items", Each.ELEMENT, "r", Each.ELEMENT)),
)


def weighted(*choices: tuple[int, SearchStrategy[T]]) -> SearchStrategy[T]:
    """Draw from one of several strategies, each as often as its weight says.

    `one_of` takes each strategy once, however often it is named; so each turn gets its own.
    """
    return st.one_of([strategy.map(_same) for weight, strategy in choices for _ in range(weight)])


def _same(value: T) -> T:
    return value


# ── values ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def instants() -> SearchStrategy[datetime]:
    """Draw instants about now."""
    return st.builds(_instant, st.sampled_from(_HOURS), st.sampled_from(_TICKS))


def _instant(hours: float, tick: timedelta) -> datetime:
    return NOW + hours * timedelta(hours=1) + tick


def date_texts() -> SearchStrategy[str]:
    """Draw texts that are dates or nearly so."""
    return weighted((3, instants().map(_written)), (1, st.sampled_from(_DATES)))


def _written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def documents() -> SearchStrategy[dict[str, Json]]:
    """Draw objects on which `PATHS` find something, more often than not.

    From a stock, since Hypothesis would spend its whole budget of choices on values that most queries never look at.
    """
    return st.sampled_from(_stock())


@cache
def _stock() -> tuple[dict[str, Json], ...]:
    random = Random("documents")
    return tuple(sorted((_document(random) for _ in range(1_000)), key=lambda document: len(repr(document))))


def _document(random: Random) -> dict[str, Json]:
    fields: dict[str, Json] = {
        "p": _mostly(random, _small_number(random)),
        "q": _mostly(random, _letter(random)),
        "when": _mostly(random, _date(random)),
        "o": _mostly(random, {"p": _small_number(random)}),
        "tags": _mostly(random, [_mostly(random, _letter(random)) for _ in range(random.randrange(4))]),
        "items": _mostly(random, [_mostly(random, _item(random)) for _ in range(random.randrange(4))]),
        "a.b": _scalar(random),
    }
    return {key: value for key, value in fields.items() if random.random() < 0.85}


def _mostly(random: Random, usual: Json) -> Json:
    unusual: tuple[Json, ...] = (_scalar(random), _scalar(random), [_scalar(random)], {"p": _scalar(random)})
    return usual if random.random() < 0.85 else random.choice(unusual)


def _small_number(random: Random) -> Json:
    several: tuple[Json, ...] = (1, 1, 2, 2, 3, 0, 1.0, "1", "2", "10.0", random.choice(_NUMBERS))
    return random.choice(several)


def _letter(random: Random) -> Json:
    return random.choice((*_TEXTS[:4], *_TEXTS[:4], random.choice(_TEXTS)))


def _date(random: Random) -> Json:
    return random.choice((*_DATES[:3], *(_written(_instant(random.choice(_HOURS), random.choice(_TICKS))) for _ in range(6))))


def _scalar(random: Random) -> Json:
    several: tuple[Json, ...] = (True, False, None, _date(random), random.choice(_DATES), random.choice(_RARE))
    return random.choice((*several, *random.choices(_NUMBERS, k=5), *random.choices(_TEXTS, k=5)))


def _item(random: Random) -> Json:
    return {"p": _small_number(random), "r": [_scalar(random) for _ in range(random.randrange(3))]}


@st.composite
def events(draw: st.DrawFn, order: int = 0) -> Event:
    """Draw an event."""
    return Event(
        name=draw(st.sampled_from(_NAMES)),
        timestamp=draw(instants()),
        order=order,
        properties=draw(documents()),
        context=draw(documents()),
        source=draw(st.sampled_from(SOURCES)),
    )


@st.composite
def profiles(draw: st.DrawFn, most_events: int = 7) -> Profile:
    """Draw a profile; its events are in the order of arrival, which is not that of their timestamps."""
    happened = [draw(events(order=order)) for order in range(1, draw(st.sampled_from(range(most_events, -1, -1))) + 1)]
    return Profile(traits=draw(documents()), events=tuple(happened))


def population(seed: int, size: int, most_events: int = 7) -> tuple[Profile, ...]:
    """Make as many profiles as a query wants to be tried on; a seed gives the same ones each time."""
    random = Random(seed)
    return tuple(_profile(random, most_events) for _ in range(size))


def _profile(random: Random, most_events: int) -> Profile:
    orders = range(1, random.randint(0, most_events) + 1)
    return Profile(traits=random.choice(_stock()), events=tuple(_event(random, order) for order in orders))


def _event(random: Random, order: int) -> Event:
    return Event(
        name=random.choice(_NAMES),
        timestamp=_instant(random.choice(_HOURS), random.choice(_TICKS)),
        order=order,
        properties=random.choice(_stock()),
        context=random.choice(_stock()),
        source=random.choice(SOURCES),
    )


# ── queries ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


# Composite, so that Hypothesis does not write out the whole of what lies below.
@st.composite
def audiences(draw: st.DrawFn, depth: int = 3) -> tree.Condition:
    """Draw audiences' queries, as many as the parser accepts."""
    condition = draw(conditions(0, depth))
    assume(_comparisons(condition) <= MOST_COMPARISONS)
    return condition


@st.composite
def computed_traits(draw: st.DrawFn, depth: int = 2) -> tree.Computed:
    """Draw computed traits' queries; now and then with `expires_after`."""
    query = draw(computed(0, depth, True))
    assume(_comparisons(query) <= MOST_COMPARISONS)
    return query


def queries() -> SearchStrategy[tree.Query]:
    """Draw either."""
    return audiences() | computed_traits()


def _comparisons(part: object) -> int:
    return isinstance(part, tree.Comparison) + sum(map(_comparisons, parts_of(part)))


@cache
def conditions(level: int, depth: int) -> SearchStrategy[tree.Condition]:
    """Draw conditions where `level` events can be spoken of, with at most `depth` levels below."""
    leaf: SearchStrategy[tree.Condition] = comparisons(level, depth)
    if depth == 0:
        return leaf
    inner = st.deferred(lambda: conditions(level, depth - 1))
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return weighted(
        (4, leaf),
        (1, st.builds(tree.And, parts=several)),
        (1, st.builds(tree.Or, parts=several)),
        (1, st.builds(tree.Not, part=inner)),
    )


@cache
def comparisons(level: int, depth: int) -> SearchStrategy[tree.Condition]:
    """Draw comparisons: mostly such as make sense, sometimes any."""
    choices = [(3, _plausible(level)), (2, _any_comparison(level, depth))]
    if depth > 0:
        choices.append((5 if level == 0 else 3, _counted(level, depth)))
    return weighted(*choices)


def _counted(level: int, depth: int) -> SearchStrategy[tree.Condition]:
    counts = weighted((3, st.builds(tree.Count, stream=streams(level, depth - 1, False))), (2, reduced(level, depth - 1, False)))
    few = st.builds(tree.Number, value=st.sampled_from((1, 2, 0, 3)))
    return st.builds(tree.Compare, left=counts, operator=st.sampled_from((*_ORDERING, *_PLAIN)), right=few)


def _plausible(level: int) -> SearchStrategy[tree.Condition]:
    number, text, date, tag = (_extractors(level, (path,)) for path in (_NUMBER, _TEXT, _DATE, ("tags", Each.ELEMENT)))
    numbers_and_alike = weighted((3, st.builds(tree.Number, value=st.sampled_from(_NUMBERS[:6]))), (1, number))
    letters = st.builds(tree.Text, value=st.sampled_from(_TEXTS[:4]))
    return weighted(
        (3, st.builds(tree.Compare, left=number, operator=st.sampled_from((*_PLAIN, *_ORDERING)), right=numbers_and_alike)),
        (
            2,
            st.builds(
                tree.Compare, left=weighted((1, text), (1, tag)), operator=st.sampled_from((*_PLAIN, *_SEARCH)), right=letters
            ),
        ),
        (
            1,
            st.builds(
                tree.CompareAny, left=weighted((1, text), (1, tag)), operator=st.sampled_from(AnyOperator), rights=_some(letters)
            ),
        ),
        (1, st.builds(tree.DateOrder, left=date, operator=st.sampled_from(tree.DateOperator), right=dates())),
        (2, st.builds(tree.Recency, left=date, operator=st.sampled_from(tree.RecencyOperator), span=spans())),
    )


def _any_comparison(level: int, depth: int) -> SearchStrategy[tree.Condition]:
    left, right = operands(level, depth), operands(level, max(depth - 1, 0))
    orderable = texts().map(dated) | numbers() | dates()
    searched = weighted((1, texts()), (1, numbers()), (1, right))
    return weighted(
        (2, st.builds(tree.Compare, left=left, operator=st.sampled_from(_PLAIN), right=weighted((2, literals()), (1, right)))),
        (2, st.builds(tree.Compare, left=left, operator=st.sampled_from(_ORDERING), right=weighted((2, orderable), (1, right)))),
        (1, st.builds(tree.Compare, left=left, operator=st.sampled_from(_SEARCH), right=searched)),
        (1, st.builds(tree.CompareAny, left=left, operator=st.just(AnyOperator.CONTAINS), rights=_some(searched))),
        (1, st.builds(tree.CompareAny, left=left, operator=st.sampled_from(_LISTS), rights=_some(literals()))),
        (1, st.builds(tree.Presence, left=left, exists=st.booleans())),
        (1, st.builds(tree.DateOrder, left=left, operator=st.sampled_from(tree.DateOperator), right=dates())),
        (1, st.builds(tree.Recency, left=left, operator=st.sampled_from(tree.RecencyOperator), span=spans())),
    )


_LISTS: Final = (AnyOperator.ONE_OF, AnyOperator.NONE_OF)
_PLAIN: Final = (Operator.EQUALS, Operator.DIFFERS)
_SEARCH: Final = (Operator.OMITS, Operator.STARTS_WITH, Operator.ENDS_WITH)
_ORDERING: Final = tuple(operator for operator in Operator if operator not in {*_PLAIN, *_SEARCH})


def _some(items: SearchStrategy[Any]) -> SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=1, max_size=3).map(tuple)


@cache
def operands(level: int, depth: int) -> SearchStrategy[tree.Scalar]:
    """Draw what is compared: something looked up, or reduced if there is depth for it."""
    found: SearchStrategy[tree.Scalar] = _extractors(level, PATHS)
    return weighted((2, found), (3, reduced(level, depth - 1, False))) if depth > 0 else found


def _extractors(level: int, paths: tuple[tree.Path, ...]) -> SearchStrategy[Any]:
    path = st.sampled_from(paths)
    choices: list[tuple[int, SearchStrategy[Any]]] = [(2, st.builds(tree.Trait, path=path))]
    if level >= 1:
        choices += [(5, st.builds(tree.Property, path=path)), (1, st.builds(tree.Context, path=path))]
    if level >= 2:
        choices.append((3, st.builds(tree.ParentProperty, path=path)))
    return weighted(*choices)


@cache
def computed(level: int, depth: int, sessions: bool) -> SearchStrategy[tree.Computed]:
    """Draw what a computed trait can be."""
    unique = st.builds(tree.Unique, stream=streams(level, depth, sessions), of=_reducibles())
    return weighted((6, reduced(level, depth, sessions)), (1, unique))


@cache
def reduced(level: int, depth: int, sessions: bool) -> SearchStrategy[tree.Reduced]:
    """Draw reducers that give one value."""
    stream, of = streams(level, depth, sessions), _reducibles()
    number_or_text = st.sampled_from((tree.ValueType.NUMBER, tree.ValueType.STRING))
    return weighted(
        (2, st.builds(tree.Count, stream=stream)),
        (1, st.builds(tree.UniqueCount, stream=stream, of=of)),
        (2, st.builds(tree.Arithmetic, function=st.sampled_from(tree.ArithmeticFunction), stream=stream, of=of)),
        (2, st.builds(tree.Extreme, function=st.sampled_from(tree.ExtremeFunction), stream=stream, of=of, type=number_or_text)),
        (1, st.builds(tree.Mode, stream=stream, of=of, type=st.sampled_from(tree.ValueType), at_least=st.integers(1, 3))),
        (2, st.builds(tree.Pick, function=st.sampled_from(tree.PickFunction), stream=stream, of=of)),
    )


def _reducibles() -> SearchStrategy[tree.Reducible]:
    paths = weighted((2, st.just(_NUMBER)), (3, st.sampled_from(PATHS)))
    return weighted((6, st.builds(tree.Property, path=paths)), (1, st.builds(tree.Context, path=paths)))


@cache
def streams(level: int, depth: int, sessions: bool) -> SearchStrategy[tree.Stream]:
    """Draw streams; inside a `where` half of the windows are relative to the parent."""
    expiry = weighted((3, st.none()), (1, st.sampled_from((*SPANS, timedelta(seconds=90))))) if sessions else st.none()
    names = st.sampled_from(("B", "A", "B", "A", "B", "Page Viewed") if level else ("A", "A", "A", "A", "B", "Page Viewed"))
    few = weighted(
        (4, st.just(())),
        (5, filters(level, depth).map(lambda only: (only,))),
        (1, st.lists(filters(level, depth), min_size=2, max_size=2).map(tuple)),
    )
    return st.builds(tree.Stream, event=names, filters=few, expires_after=expiry)


@cache
def filters(level: int, depth: int) -> SearchStrategy[tree.Filter]:
    """Draw filters."""
    of_parent = st.booleans() if level else st.just(False)
    sources = st.lists(st.sampled_from(("web", "app", "it's")), min_size=1, max_size=2).map(tuple)
    choices: list[tuple[int, SearchStrategy[tree.Filter]]] = [
        (2, st.builds(tree.Within, span=spans(), of_parent=of_parent)),
        (1, st.builds(_between, spans(), spans(), of_parent)),
        (1, st.builds(tree.Sources, exclude=sources)),
    ]
    if depth > 0:
        choices.append((4, st.builds(tree.Where, condition=conditions(level + 1, depth - 1))))
    return weighted(*choices)


def _between(one: timedelta, other: timedelta, of_parent: bool) -> tree.Between:
    return tree.Between(near=min(one, other), far=max(one, other), of_parent=of_parent)


def spans() -> SearchStrategy[timedelta]:
    """Draw durations."""
    return st.sampled_from(SPANS)


# ── literals ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def texts() -> SearchStrategy[tree.Text]:
    """Draw texts, dates among them."""
    return st.builds(tree.Text, value=weighted((3, st.sampled_from(_TEXTS)), (1, date_texts())))


def numbers() -> SearchStrategy[tree.Number]:
    """Draw numbers."""
    return st.builds(tree.Number, value=st.sampled_from(_NUMBERS))


def dates() -> SearchStrategy[tree.Day | tree.Instant]:
    """Draw dates and timestamps."""
    return weighted((2, st.builds(tree.Instant, value=instants())), (1, instants().map(lambda at: tree.Day(value=at.date()))))


def literals() -> SearchStrategy[tree.Literal]:
    """Draw constants of any kind."""
    return weighted((2, texts()), (2, numbers()), (1, st.builds(tree.Truth, value=st.booleans())), (1, dates()))
