"""What stands between the brackets of a call: how many arguments, and of which form.

Each function takes the call and gives what it asks for. Each raises InvalidQuery, at the argument that is wrong or, where one is
missing, at the call.
"""

from __future__ import annotations

from datetime import timedelta

from sync.language import constants, syntax, tree
from sync.language import vocabulary as words
from sync.language.faults import InvalidQuery


def none(call: syntax.Call) -> None:
    """Take no argument."""
    if call.arguments:
        raise InvalidQuery(f"`{call.name}()` takes no argument", call.arguments[0].at)


def some(call: syntax.Call, what: str) -> tuple[syntax.Node, ...]:
    """Take one argument or more."""
    if not call.arguments:
        raise InvalidQuery(f"`{call.name}(…)` needs an argument", call.at, expected=(what,))
    return call.arguments


def only(call: syntax.Call, what: str) -> syntax.Node:
    """Take exactly one argument."""
    first = some(call, what)[0]
    at_most_one(call)
    return first


def at_most_one(call: syntax.Call) -> None:
    """Refuse a second argument."""
    if len(call.arguments) > 1:
        raise InvalidQuery(f"`{call.name}(…)` takes one argument", call.arguments[1].at)


def refuse_braces(call: syntax.Call) -> None:
    """Refuse braces where the language has none."""
    if call.brace is not None:
        raise InvalidQuery("braces are only around the argument of `where` and `sources`", call.brace)


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def name(call: syntax.Call) -> str:
    """Take one text that is not empty."""
    argument = only(call, "a name in quotes")
    text = _text(argument, f"`{call.name}(…)` takes a name")
    if not text:
        raise InvalidQuery("a name is missing", argument.at)
    return text


def path(call: syntax.Call) -> tree.Path:
    """Take the path of a trait, a property or a context field."""
    argument = only(call, "a name in quotes")
    return constants.path_in(_text(argument, f"`{call.name}(…)` takes a name"), argument.at)


def parent_path(call: syntax.Call) -> tree.Path | None:
    """Take `parent: 'path'`; None if there is no such label."""
    if not call.arguments or not isinstance(call.arguments[0], syntax.Labelled):
        return None
    argument = only(call, "a name in quotes")
    assert isinstance(argument, syntax.Labelled)
    _expect_label(argument, "parent", call)
    return constants.path_in(_text(argument.value, "`property(parent: …)` takes a name"), argument.value.at)


def excluded(call: syntax.Call) -> tuple[str, ...]:
    """Take `exclude: 'id', 'id'`, also with the list in brackets, as in 2024."""
    found: list[str] = []
    for index, argument in enumerate(some(call, "`exclude: 'id'`")):
        if index == 0 and not isinstance(argument, syntax.Labelled):
            raise InvalidQuery("`sources(…)` says which to leave out", argument.at, expected=("`exclude: 'id'`",))
        if index > 0 and isinstance(argument, syntax.Labelled):
            raise InvalidQuery(f"`{argument.label}:` stands only before the first id", argument.at, expected=("an id in quotes",))
        found.extend(_text(item, "`sources(…)` takes the ids of sources") for item in _unwrapped(argument, call))
    return tuple(found)


def _unwrapped(argument: syntax.Node, call: syntax.Call) -> tuple[syntax.Node, ...]:
    if isinstance(argument, syntax.Labelled):
        _expect_label(argument, "exclude", call)
        return _unwrapped(argument.value, call)
    return argument.items if isinstance(argument, syntax.Bracketed) else (argument,)


def _text(node: syntax.Node, why: str) -> str:
    if isinstance(node, syntax.Constant) and isinstance(node.literal, tree.Text):
        return node.literal.value
    hint = f"`'{node.name}'`" if isinstance(node, syntax.Word) else "a text in quotes"
    raise InvalidQuery(why, node.at, expected=(hint,))


def _expect_label(argument: syntax.Labelled, label: str, call: syntax.Call) -> None:
    if argument.label != label:
        raise InvalidQuery(f"`{call.name}(…)` knows no `{argument.label}:`", argument.at, expected=(f"`{label}:`",))


# ── constants ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def literal(call: syntax.Call) -> tree.Literal:
    """Take one constant."""
    argument = only(call, "a constant")
    if isinstance(argument, syntax.Constant):
        return argument.literal
    raise InvalidQuery("`literal(…)` takes a constant", argument.at, expected=("a text in quotes", "a number", "a date"))


def instant(call: syntax.Call) -> tree.Day | tree.Instant:
    """Take a date or timestamp, bare or quoted or in `literal(…)`."""
    argument = only(call, "a date such as 2026-03-04")
    if isinstance(argument, syntax.Call) and argument.name == "literal":
        return instant(argument)
    found = dated(argument.literal) if isinstance(argument, syntax.Constant) else None
    if isinstance(found, tree.Day | tree.Instant):
        return found
    raise InvalidQuery(
        f"`{call.name}(…)` takes a date",
        argument.at,
        expected=("a date such as 2026-03-04", "a timestamp such as 2026-03-04T10:30:00Z"),
    )


def dated(operand: tree.Operand) -> tree.Operand:
    """Read a quoted date as the date; anything else is what it was."""
    found = constants.date_in(operand.value) if isinstance(operand, tree.Text) else None
    return operand if found is None else found


# ── durations ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def span(call: syntax.Call, *, seconds: bool = False) -> timedelta:
    """Take one duration."""
    return _span(only(call, "a duration such as `14 days`"), call, seconds=seconds)


def within(call: syntax.Call) -> tree.Within:
    """Take a duration, or `parent:` and a duration."""
    argument = only(call, "a duration such as `14 days`")
    argument, of_parent = _without_parent(argument, call)
    return tree.Within(span=_span(argument, call), of_parent=of_parent)


def between(call: syntax.Call) -> tree.Between:
    """Take two durations, in either order, after `parent:` or not."""
    if len(call.arguments) != 2:
        wrong = call.arguments[2].at if len(call.arguments) > 2 else call.at
        raise InvalidQuery("`between(…)` takes two durations", wrong, expected=("`30 days, 90 days` for instance",))
    first, of_parent = _without_parent(call.arguments[0], call)
    second = call.arguments[1]
    if of_parent and isinstance(second, syntax.Labelled):
        second, _ = _without_parent(second, call)
    near, far = sorted((_span(first, call), _span(second, call)))
    return tree.Between(near=near, far=far, of_parent=of_parent)


def _without_parent(argument: syntax.Node, call: syntax.Call) -> tuple[syntax.Node, bool]:
    if not isinstance(argument, syntax.Labelled):
        return argument, False
    _expect_label(argument, "parent", call)
    return argument.value, True


def _span(node: syntax.Node, call: syntax.Call, *, seconds: bool = False) -> timedelta:
    if isinstance(node, syntax.Span):
        return constants.span_of(node.amount, node.unit, node.at, node.unit_at, seconds=seconds)
    raise InvalidQuery(f"`{call.name}(…)` takes a duration", node.at, expected=("a number and a unit, such as `14 days`",))


# ── what a reducer takes ─────────────────────────────────────────────────────────────────────────────────────────────────


def reducible(call: syntax.Call) -> tuple[tree.Reducible, tree.ValueType | None]:
    """Take the property or context field that a reducer reads, and its `as …`."""
    argument, type_ = some(call, "`property('…')`")[0], None
    if isinstance(argument, syntax.Typed):
        type_ = _type(argument, call)
        argument = argument.value
    if isinstance(argument, syntax.Call) and argument.name in {"property", "context"} and parent_path(argument) is None:
        refuse_braces(argument)
        return (tree.Property if argument.name == "property" else tree.Context)(path=path(argument)), type_
    raise InvalidQuery(f"`{call.name}(…)` reads a property of its events", argument.at, expected=("`property('…')`",))


def _type(typed: syntax.Typed, call: syntax.Call) -> tree.ValueType:
    allowed = {type_.value: type_ for type_ in words.TYPES.get(call.name, ())}
    if not allowed:
        raise InvalidQuery(f"`{call.name}(…)` takes no `as`", typed.at)
    if typed.type not in allowed:
        expected = tuple(f"`{name}`" for name in allowed)
        raise InvalidQuery(f"`{call.name}(…)` knows no type `{typed.type}`", typed.at, expected=expected)
    return allowed[typed.type]


def least_times(call: syntax.Call) -> int:
    """Take the second argument of `mode`: how often a value has to be seen; 2 if it is left out."""
    if len(call.arguments) < 2:
        return 2
    if len(call.arguments) > 2:
        raise InvalidQuery("`mode(…)` takes two arguments", call.arguments[2].at)
    argument = call.arguments[1]
    number = argument.literal.value if isinstance(argument, syntax.Constant) else None
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= 1_000_000_000:
        raise InvalidQuery("`mode(…)` takes how often a value is seen at least", argument.at, expected=("a positive whole number",))
    return number
