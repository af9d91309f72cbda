"""The type checker: makes the typed tree of what stands in a text, or says where and why it means nothing.

Knows which function takes what, what may follow what, and where a part is allowed: windows only on streams, `property` and
`context` only where there is an event, a parent only in a funnel. How an argument is written is the business of `arguments`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from sync.language import arguments, syntax, tree
from sync.language import vocabulary as words
from sync.language.depth import DEEPEST, deepest_place, depth
from sync.language.faults import InvalidQuery
from sync.language.tree import Position

MOST_COMPARISONS: Final = 50
MOST_FILTERS: Final = 50

Built: TypeAlias = tree.Condition | tree.Operand | tree.Stream | tree.Unique


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a query something stands."""

    of_audience: bool
    # How many events can be spoken of: 0 outside every `where`, 1 inside one, 2 in a funnel.
    events: int = 0

    def inside_where(self) -> _Place:
        return replace(self, events=self.events + 1)


def check_audience(node: syntax.Node) -> tree.Condition:
    """Make the tree of an audience. Raises InvalidQuery."""
    built = _Checker().build(node, _Place(of_audience=True))
    if not isinstance(built, tree.Condition):
        hint = "a comparison such as `>= 1`" if not isinstance(built, tree.Stream | tree.Unique) else "`.count() >= 1` or the like"
        raise InvalidQuery(f"an audience ends in a comparison, and this is {words.describe(built)}", node.at, expected=(hint,))
    _refuse_too_deep(built, node.at)
    return built


def check_computed_trait(node: syntax.Node) -> tree.Computed:
    """Make the tree of a computed trait. Raises InvalidQuery."""
    built = _Checker().build(node, _Place(of_audience=False))
    if not isinstance(built, tree.Computed):
        raise InvalidQuery(
            f"a computed trait ends in a value computed over events, and this is {words.describe(built)}",
            node.at,
            expected=("a reducer such as `.count()` at the end",),
        )
    _refuse_too_deep(built, node.at)
    return built


def _refuse_too_deep(query: tree.Query, start: Position) -> None:
    if depth(query) > DEEPEST:
        raise InvalidQuery(
            "this stands too deep inside of other conditions for a database to read",
            deepest_place(query) or start,
            expected=("fewer `where(…)`, values and brackets within one another",),
        )


@dataclass(slots=True)
class _Checker:
    """One pass over one query."""

    comparisons: int = field(default=0)

    # ── what an expression is ────────────────────────────────────────────────────────────────────────────────────────────

    def build(self, node: syntax.Node, place: _Place) -> Built:
        match node:
            case syntax.Junction():
                parts = tuple(self.condition(part, place, f"`{node.word}` joins conditions") for part in node.parts)
                return tree.And(parts=parts) if node.word == "AND" else tree.Or(parts=parts)
            case syntax.Prefix(at=at, word=word, part=part):
                if word != "NOT":
                    raise InvalidQuery(f"`{word}` is only in definitions of type accounts, and this is one of type users", at)
                return tree.Not(part=self.condition(part, place, "`NOT` turns a condition round"))
            case syntax.Relation():
                left = self.left(node.left, place, f"`{node.operator}`")
                right = self.operand(node.right, place, f"`{node.operator}`")
                return self.compare(left, words.SIGNS[node.operator], right, node.left.at, node.right.at)
            case syntax.Constant(literal=literal):
                return literal
            case syntax.Call():
                return self.head(node, place)
            case syntax.Chain(head=head, calls=calls):
                built = self.build(head, place)
                for call in calls:
                    built = self.follow(built, call, place, node.at)
                return built
            case syntax.Word():
                raise _bare_word(node)
            case _:
                raise InvalidQuery("this is no value", node.at, expected=("a value or a condition",))

    def condition(self, node: syntax.Node, place: _Place, why: str) -> tree.Condition:
        built = self.build(node, place)
        if isinstance(built, tree.Condition):
            return built
        raise InvalidQuery(f"{why}, and this is {words.describe(built)}", node.at, expected=("a comparison",))

    def left(self, node: syntax.Node, place: _Place, what: str) -> tree.Scalar:
        built = self.build(node, place)
        if isinstance(built, tree.Scalar):
            return built
        raise InvalidQuery(*_not_comparable(what, built, node.at))

    def operand(self, node: syntax.Node, place: _Place, what: str) -> tree.Operand:
        built = self.build(node, place)
        if isinstance(built, tree.Operand):
            return built
        raise InvalidQuery(f"{what} compares with a value, and this is {words.describe(built)}", node.at)

    # ── heads ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def head(self, call: syntax.Call, place: _Place) -> Built:
        arguments.refuse_braces(call)
        match call.name:
            case "event":
                return tree.Stream(event=arguments.name(call), at=call.at)
            case "trait":
                return tree.Trait(path=arguments.path(call), at=call.at)
            case "property":
                return _property(call, place)
            case "context":
                if place.events == 0:
                    raise InvalidQuery("`context` is only inside `where` or a reducer", call.at)
                return tree.Context(path=arguments.path(call))
            case "literal":
                return arguments.literal(call)
            case "entity":
                raise InvalidQuery("`entity(…)` needs a warehouse entity, and there are none", call.at)
            case _:
                raise _unknown_head(call)

    # ── what follows a dot ───────────────────────────────────────────────────────────────────────────────────────────────

    def follow(self, built: Built, call: syntax.Call, place: _Place, start: Position) -> Built:
        name = words.ALIASES.get(call.name, call.name)
        if name not in words.METHODS:
            raise _unknown_method(call, built)
        if name not in {"where", "sources"}:
            arguments.refuse_braces(call)
        if isinstance(built, tree.Stream):
            return self.follow_stream(built, name, call, place)
        if isinstance(built, tree.Unique):
            if name == "count":
                arguments.none(call)
                return tree.UniqueCount(stream=built.stream, of=built.of)
            raise InvalidQuery(f"`{call.name}` cannot follow a list", call.at, expected=("`count()`",))
        if name in words.FILTERS or name in words.REDUCERS:
            raise InvalidQuery(f"`{call.name}` needs a stream of events, and this is {words.describe(built)}", call.at)
        if not isinstance(built, tree.Scalar):
            raise InvalidQuery(*_not_comparable(f"`{call.name}`", built, start if isinstance(built, tree.Literal) else call.at))
        return self.comparator(built, name, call, place)

    def follow_stream(self, stream: tree.Stream, name: str, call: syntax.Call, place: _Place) -> Built:
        if name in words.REDUCERS:
            return self.reduce(stream, name, call)
        if name == "expires_after":
            return _expiring(stream, call, place)
        if name not in words.FILTERS:
            raise InvalidQuery(*_not_comparable(f"`{call.name}`", stream, call.at))
        if len(stream.filters) == MOST_FILTERS:
            raise InvalidQuery(f"one stream of events has at most {MOST_FILTERS} filters", call.at)
        return replace(stream, filters=(*stream.filters, self.filter(name, call, place)))

    def filter(self, name: str, call: syntax.Call, place: _Place) -> tree.Filter:
        if name == "where":
            argument = arguments.only(call, "a condition")
            return tree.Where(condition=self.condition(argument, place.inside_where(), "`where` takes a condition"))
        if name == "sources":
            return tree.Sources(exclude=arguments.excluded(call))
        window = arguments.within(call) if name == "within" else arguments.between(call)
        if window.of_parent and place.events == 0:
            raise InvalidQuery(f"`{name}(parent: …)` is only in a funnel, inside the `where` of another event", call.at)
        return window

    def reduce(self, stream: tree.Stream, name: str, call: syntax.Call) -> tree.Computed:
        if name == "count":
            arguments.none(call)
            return tree.Count(stream=stream)
        of, type_ = arguments.reducible(call)
        if name == "mode":
            return tree.Mode(stream=stream, of=of, type=type_ or tree.ValueType.STRING, at_least=arguments.least_times(call))
        arguments.at_most_one(call)
        match name:
            case "sum" | "avg":
                return tree.Arithmetic(function=tree.ArithmeticFunction(name), stream=stream, of=of)
            case "min" | "max":
                return tree.Extreme(function=tree.ExtremeFunction(name), stream=stream, of=of, type=type_ or tree.ValueType.NUMBER)
            case "first" | "last":
                return tree.Pick(function=tree.PickFunction(name), stream=stream, of=of)
            case _:
                return tree.Unique(stream=stream, of=of)

    # ── comparators ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def comparator(self, left: tree.Scalar, name: str, call: syntax.Call, place: _Place) -> tree.Condition:
        if name in words.OPERATORS:
            right = arguments.only(call, "a value")
            operand = self.operand(right, place, f"`{call.name}`")
            return self.compare(left, words.OPERATORS[name], operand, call.at, right.at)
        self.count_comparison(call.at)
        if name in words.PRESENCE:
            arguments.none(call)
            return tree.Presence(left=left, exists=words.PRESENCE[name])
        if name in words.DATE_OPERATORS:
            return tree.DateOrder(left=left, operator=words.DATE_OPERATORS[name], right=arguments.instant(call))
        if name in words.RECENCY_OPERATORS:
            return tree.Recency(left=left, operator=words.RECENCY_OPERATORS[name], span=arguments.span(call))
        return tree.CompareAny(left=left, operator=words.ANY_OPERATORS[name], rights=self.options(name, call, place))

    def options(self, name: str, call: syntax.Call, place: _Place) -> tuple[tree.Operand, ...]:
        rights: list[tree.Operand] = []
        for node in arguments.some(call, "a value"):
            right = self.operand(node, place, f"`{call.name}`")
            if name == "contains":
                _refuse_wordless(call.name, right, node.at)
                if rights and isinstance(right, tree.Scalar):
                    # Each value that is looked up is one more comparison, joined by OR.
                    self.count_comparison(node.at)
            elif not isinstance(right, tree.Literal):
                raise InvalidQuery(f"`{call.name}` compares with constants, and this is {words.describe(right)}", node.at)
            rights.append(right)
        return tuple(rights)

    def compare(
        self, left: tree.Scalar, operator: tree.Operator, right: tree.Operand, at: Position, right_at: Position
    ) -> tree.Condition:
        self.count_comparison(at)
        if operator in words.ORDERINGS:
            if isinstance(right, tree.Truth):
                raise InvalidQuery(
                    "nothing is greater or less than true or false", right_at, expected=("a number", "a text", "a date")
                )
            right = arguments.dated(right)
        elif operator in {tree.Operator.OMITS, tree.Operator.STARTS_WITH, tree.Operator.ENDS_WITH}:
            _refuse_wordless(operator.value, right, right_at)
        return tree.Compare(left=left, operator=operator, right=right)

    def count_comparison(self, at: Position) -> None:
        self.comparisons += 1
        if self.comparisons > MOST_COMPARISONS:
            raise InvalidQuery(f"a definition has at most {MOST_COMPARISONS} primary expressions", at)


def _property(call: syntax.Call, place: _Place) -> tree.Property | tree.ParentProperty:
    labelled = arguments.parent_path(call)
    if labelled is not None:
        if place.events < 2:
            raise InvalidQuery("`property(parent: …)` is only in a funnel, inside the `where` of the inner event", call.at)
        return tree.ParentProperty(path=labelled)
    if place.events == 0:
        raise InvalidQuery("`property` is only inside `where` or a reducer", call.at)
    return tree.Property(path=arguments.path(call))


def _expiring(stream: tree.Stream, call: syntax.Call, place: _Place) -> tree.Stream:
    if place.of_audience:
        raise InvalidQuery("`expires_after` is only in computed traits", call.at)
    if place.events > 0:
        raise InvalidQuery("`expires_after` is only for the outermost stream of a computed trait", call.at)
    if stream.expires_after is not None:
        raise InvalidQuery("`expires_after` stands here twice", call.at)
    return replace(stream, expires_after=arguments.span(call, seconds=True))


def _refuse_wordless(name: str, right: tree.Operand, at: Position) -> None:
    if isinstance(right, tree.Truth | tree.Day | tree.Instant):
        raise InvalidQuery(f"`{name}` looks for a text, and this is {words.describe(right)}", at, expected=("a text in quotes",))


# ── refusals that take some words ────────────────────────────────────────────────────────────────────────────────────────


def _not_comparable(what: str, built: object, at: Position) -> tuple[str, Position]:
    match built:
        case tree.Stream():
            return f"{what} needs a value, and this is a stream of events; reduce it first, with `.count()` for instance", at
        case tree.Unique():
            return f"{what} needs a value, and this is a list; only `.count()` can follow", at
        case tree.Text() | tree.Number() | tree.Truth() | tree.Day() | tree.Instant():
            return f"{what} compares a value of the user, and this is a constant; constants stand on the right", at
        case _:
            return f"{what} cannot follow a comparison; a comparison ends the chain, join the next with `AND` or `OR`", at


def _bare_word(word: syntax.Word) -> InvalidQuery:
    if word.name.lower() in {"true", "false"}:
        return InvalidQuery(f"found `{word.name}`", word.at, expected=(f"`{word.name.lower()}`",))
    if word.name in words.HEADS:
        return InvalidQuery(f"`{word.name}` is a function", word.at, expected=(f"`{word.name}(…)`",))
    return InvalidQuery(f"`{word.name}` means nothing by itself; text stands in quotes", word.at, expected=(f"`'{word.name}'`",))


def _unknown_head(call: syntax.Call) -> InvalidQuery:
    if words.ALIASES.get(call.name, call.name) in words.METHODS:
        return InvalidQuery(f"`{call.name}` follows something", call.at, expected=(f"`event('…').{call.name}(…)` or the like",))
    return _unknown(call, words.HEADS, words.nearest(call.name, words.HEADS))


def _unknown_method(call: syntax.Call, built: Built) -> InvalidQuery:
    fitting = _next(built)
    return _unknown(call, fitting, words.nearest(call.name, fitting) or words.nearest(call.name, words.METHODS))


def _unknown(call: syntax.Call, fitting: tuple[str, ...], guess: str | None) -> InvalidQuery:
    if guess is not None:
        return InvalidQuery(f"there is no function `{call.name}`; did you mean `{guess}`?", call.at)
    return InvalidQuery(f"there is no function `{call.name}`", call.at, expected=tuple(f"`{name}`" for name in fitting))


def _next(built: Built) -> tuple[str, ...]:
    if isinstance(built, tree.Stream):
        return (*words.FILTERS, *words.REDUCERS)
    return ("count",) if isinstance(built, tree.Unique) else words.COMPARATORS
