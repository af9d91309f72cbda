"""Write a tree as a person would; what is written here parses back to the same tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from sync.language import tree
from sync.language.constants import instant_text, path_text, span_text
from sync.language.tree import Operator
from sync.language.values import number_text

_SIGNS: Final = {
    Operator.EQUALS: "=",
    Operator.DIFFERS: "!=",
    Operator.GREATER_THAN: ">",
    Operator.AT_LEAST: ">=",
    Operator.LESS_THAN: "<",
    Operator.AT_MOST: "<=",
}


def text_of(part: tree.Query | tree.Operand | tree.Stream) -> str:  # noqa: C901 - one for each kind of node
    """Write a query, or any part of one, on one line."""
    match part:
        case tree.And(parts=parts):
            return " AND ".join(_bracketed(part, tree.And | tree.Or) for part in parts)
        case tree.Or(parts=parts):
            return " OR ".join(_bracketed(part, tree.Or) for part in parts)
        case tree.Not(part=negated):
            return f"NOT {_bracketed(negated, tree.And | tree.Or)}"
        case tree.Compare() | tree.CompareAny() | tree.Presence() | tree.DateOrder() | tree.Recency():
            return _comparison(part)
        case tree.Text() | tree.Number() | tree.Truth() | tree.Day() | tree.Instant():
            return _literal(part)
        case tree.Trait(path=path):
            return f"trait({_path(path)})"
        case tree.Property(path=path):
            return f"property({_path(path)})"
        case tree.ParentProperty(path=path):
            return f"property(parent: {_path(path)})"
        case tree.Context(path=path):
            return f"context({_path(path)})"
        case tree.Stream(event=event, filters=filters, expires_after=span):
            expiry = () if span is None else (f"expires_after({span_text(span)})",)
            return ".".join([f"event({quoted(event)})", *map(_filter, filters), *expiry])
        case _:
            return f"{text_of(part.stream)}.{_reducer(part)}"


def quoted(text: str) -> str:
    """Write a text in single quotes, or in double ones if that saves escapes."""
    mark = '"' if "'" in text and '"' not in text else "'"
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def _bracketed(part: tree.Condition, looser: object) -> str:
    text = text_of(part)
    return f"({text})" if isinstance(part, looser) else text  # type: ignore[arg-type]


def _path(path: tree.Path) -> str:
    return quoted(path_text(path))


def _literal(literal: tree.Literal) -> str:
    match literal:
        case tree.Text(value=value):
            return quoted(value)
        case tree.Number(value=value):
            return number_text(value)
        case tree.Truth(value=value):
            return "true" if value else "false"
        case tree.Day() | tree.Instant():
            return instant_text(literal)


def _list(operands: Iterable[tree.Operand]) -> str:
    return ", ".join(map(text_of, operands))


def _comparison(comparison: tree.Comparison) -> str:
    left = text_of(comparison.left)
    match comparison:
        case tree.Compare(operator=operator, right=right) if operator in _SIGNS:
            return f"{left} {_SIGNS[operator]} {text_of(right)}"
        case tree.Compare(operator=operator, right=right):
            return f"{left}.{operator.value}({text_of(right)})"
        case tree.CompareAny(operator=any_operator, rights=rights):
            return f"{left}.{any_operator.value}({_list(rights)})"
        case tree.Presence(exists=exists):
            return f"{left}.{'exists' if exists else 'absent'}()"
        case tree.DateOrder(operator=date_operator, right=date):
            return f"{left}.{date_operator.value}({instant_text(date)})"
        case tree.Recency(operator=recency_operator, span=span):
            return f"{left}.{recency_operator.value}({span_text(span)})"
        case _:
            assert_never(comparison)


def _filter(filter_: tree.Filter) -> str:
    match filter_:
        case tree.Where(condition=condition):
            return f"where({text_of(condition)})"
        case tree.Sources(exclude=exclude):
            return f"sources({{exclude: {', '.join(map(quoted, exclude))}}})"
        case tree.Within(span=span, of_parent=of_parent):
            return f"within({'parent: ' if of_parent else ''}{span_text(span)})"
        case tree.Between(near=near, far=far, of_parent=of_parent):
            return f"between({'parent: ' if of_parent else ''}{span_text(near)}, {span_text(far)})"


def _reducer(reduced: tree.Computed) -> str:
    match reduced:
        case tree.Count():
            return "count()"
        case tree.UniqueCount(of=of):
            return f"unique({text_of(of)}).count()"
        case tree.Unique(of=of):
            return f"unique({text_of(of)})"
        case tree.Arithmetic(function=arithmetic, of=of):
            return f"{arithmetic.value}({text_of(of)})"
        case tree.Extreme(function=extreme, of=of, type=type_):
            as_type = "" if type_ is tree.ValueType.NUMBER else f" as {type_.value}"
            return f"{extreme.value}({text_of(of)}{as_type})"
        case tree.Mode(of=of, type=type_, at_least=at_least):
            as_type = "" if type_ is tree.ValueType.STRING else f" as {type_.value}"
            return f"mode({text_of(of)}{as_type}, {at_least})"
        case tree.Pick(function=pick, of=of):
            return f"{pick.value}({text_of(of)})"
