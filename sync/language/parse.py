"""Read the text of a query into its tree.

The grammar stands in `grammar.lark`; lark reads the text by it without recursion. Here are the ways in, the limits on depth and
length, and what lark's errors mean in a person's words. Whatever the text, the only error is InvalidQuery.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, Final

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken
from lark.lark import PostLex

from sync.language import syntax
from sync.language.check import check_audience, check_computed_trait
from sync.language.constants import date_constant, number_constant, string_constant
from sync.language.faults import InvalidQuery
from sync.language.tree import Computed, Condition, Position, Truth

# Brackets and prefixes within one another. Whoever walks a tree may therefore recurse.
DEEPEST: Final = 30
LONGEST: Final = 100_000


def parse_audience(text: str) -> Condition:
    """Read an audience's query. Raises InvalidQuery."""
    try:
        return check_audience(_syntax_of(text))
    except InvalidQuery as fault:
        fault.text = text
        raise


def parse_computed_trait(text: str) -> Computed:
    """Read a computed trait's query. Raises InvalidQuery."""
    try:
        return check_computed_trait(_syntax_of(text))
    except InvalidQuery as fault:
        fault.text = text
        raise


def _syntax_of(text: str) -> syntax.Node:
    _refuse_unfit(text)
    try:
        parsed = _parser().parse(text)
    except UnexpectedCharacters as error:
        raise _unreadable(error, text) from None
    except UnexpectedToken as error:
        raise _out_of_place(error, text) from None
    # The transformer has already made a node of the whole, which lark's types do not know.
    node: Any = parsed
    return node  # type: ignore[no-any-return]


def _refuse_unfit(text: str) -> None:
    if len(text) > LONGEST:
        raise InvalidQuery(f"a query has at most {LONGEST:,} characters, this one has {len(text):,}", Position(line=1, column=1))
    # No store can hold them in a text.
    if unfit := re.search("[\0\ud800-\udfff]", text):
        found = f"the character U+{ord(unfit[0]):04X} cannot stand in a query; delete it"
        raise InvalidQuery(found, _position_of(unfit.start(), text))


def _position_of(index: int, text: str) -> Position:
    return Position(line=text.count("\n", 0, index) + 1, column=index - text.rfind("\n", 0, index))


# ── from tokens to syntax ────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _parser() -> Lark:
    grammar = resources.files("sync.language").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar, parser="lalr", lexer="contextual", transformer=_ToSyntax(), postlex=_DepthLimit(), maybe_placeholders=False
    )


def _at(token: Token) -> Position:
    return Position(line=token.line or 1, column=token.column or 1)


class _ToSyntax(Transformer[Token, syntax.Node]):
    """Make a node of each rule as soon as lark has read it."""

    def start(self, parts: list[Any]) -> syntax.Node:
        node: syntax.Node = parts[0]
        return node

    def disjunction(self, parts: list[Any]) -> syntax.Node:
        return syntax.Junction(parts[0].at, "OR", tuple(parts))

    def conjunction(self, parts: list[Any]) -> syntax.Node:
        return syntax.Junction(parts[0].at, "AND", tuple(parts))

    def prefixed(self, parts: list[Any]) -> syntax.Node:
        return syntax.Prefix(_at(parts[0]), parts[0].upper(), parts[1])

    def relation(self, parts: list[Any]) -> syntax.Node:
        left, operator, right = parts
        return syntax.Relation(left.at, left, str(operator), _at(operator), right)

    def chain(self, parts: list[Any]) -> syntax.Node:
        return syntax.Chain(parts[0].at, parts[0], tuple(parts[1:]))

    def call(self, parts: list[Any]) -> syntax.Node:
        name, *arguments = parts
        brace = arguments.pop(0) if arguments and isinstance(arguments[0], Token) else None
        return syntax.Call(_at(name), str(name), tuple(arguments), None if brace is None else _at(brace))

    def word(self, parts: list[Any]) -> syntax.Node:
        return syntax.Word(_at(parts[0]), str(parts[0]))

    def typed(self, parts: list[Any]) -> syntax.Node:
        return syntax.Typed(_at(parts[1]), parts[0], str(parts[1]))

    def span(self, parts: list[Any]) -> syntax.Node:
        amount, unit = parts
        return syntax.Span(_at(amount), number_constant(amount, _at(amount)).value, str(unit), _at(unit))

    def labelled(self, parts: list[Any]) -> syntax.Node:
        return syntax.Labelled(_at(parts[0]), parts[0].lower(), parts[1])

    def bracketed(self, parts: list[Any]) -> syntax.Node:
        return syntax.Bracketed(parts[0].at, tuple(parts))

    def string(self, parts: list[Any]) -> syntax.Node:
        return syntax.Constant(_at(parts[0]), string_constant(parts[0]))

    def number(self, parts: list[Any]) -> syntax.Node:
        return syntax.Constant(_at(parts[0]), number_constant(parts[0], _at(parts[0])))

    def truth(self, parts: list[Any]) -> syntax.Node:
        return syntax.Constant(_at(parts[0]), Truth(value=parts[0] == "true"))

    def date(self, parts: list[Any]) -> syntax.Node:
        return syntax.Constant(_at(parts[0]), date_constant(parts[0], _at(parts[0])))


class _DepthLimit(PostLex):
    """Refuses what is nested too deeply while it is still a row of tokens, so that nobody behind has to fear recursion."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        # For each open bracket, and the outside, the prefixes that stand before what is read now.
        prefixes = [0]
        for token in stream:
            if token.type in {"_LPAR", "LBRACE"}:
                prefixes.append(0)
            elif token.type in {"_RPAR", "_RBRACE"} and len(prefixes) > 1:
                prefixes.pop()
            elif token.type in {"NOT", "ANY", "ALL"}:
                prefixes[-1] += 1
            elif token.type in {"_AND", "_OR", "_COMMA"}:
                prefixes[-1] = 0
            if len(prefixes) - 1 + sum(prefixes) > DEEPEST:
                raise InvalidQuery(f"nested too deeply: at most {DEEPEST} brackets and prefixes within one another", _at(token))
            yield token


# ── what lark's errors mean ──────────────────────────────────────────────────────────────────────────────────────────────

_OPERAND: Final = frozenset({"NAME", "STRING", "NUMBER", "TRUTH", "DATE"})
# In the order in which a person wants to hear of them.
_NAMES: Final = {
    "_DOT": "`.`",
    "OPERATOR": "an operator such as `>=`",
    "_AND": "`AND`",
    "_OR": "`OR`",
    "_COLON": "`:`",
    "_COMMA": "`,`",
    "_LPAR": "`(`",
    "_RPAR": "`)`",
    "_RBRACE": "`}`",
    "_RBRACKET": "`]`",
    "$END": "the end of the query",
}
_CURLY_QUOTES: Final = "‘’“”„‚`´"


def _unreadable(error: UnexpectedCharacters, text: str) -> InvalidQuery:
    index = error.pos_in_stream or 0
    at = _position_of(index, text)
    found = text[index]
    if found in "'\"":
        return InvalidQuery("the text that begins here is never closed", at, expected=(f"a closing `{found}`",))
    if found in _CURLY_QUOTES:
        return InvalidQuery(f"`{found}` is no quotation mark here", at, expected=("`'`", '`"`'))
    parser: Any = getattr(error, "interactive_parser", None)
    accepted = frozenset[str](parser.accepts() if parser is not None else ())
    return InvalidQuery(f"`{found}` has no meaning here", at, expected=_expected(accepted, text, index))


def _out_of_place(error: UnexpectedToken, text: str) -> InvalidQuery:
    token: Token = error.token
    accepted = frozenset(error.accepts or error.expected)
    if token.type == "$END":
        end = len(text.rstrip())
        found = "there is nothing here" if not end else "the query ends here"
        return InvalidQuery(found, _position_of(end, text), expected=_expected(accepted, text, end))
    index = token.start_pos or 0
    at, found = _position_of(index, text), f"found `{_shortened(token)}`"
    if token.type == "NAME" and re.search(r"[(,=<>][^\S\n]*[A-Za-z_]\w*\s*$", text[:index]):
        return InvalidQuery(f"{found} after a word without quotes; text stands in quotes", at)
    return InvalidQuery(found, at, expected=_expected(accepted, text, index))


def _expected(accepted: frozenset[str], text: str, index: int) -> tuple[str, ...]:
    if "STRING" in accepted:
        return ("a value or a condition such as `event('Order Completed').count() >= 1`",)
    if accepted == {"NAME"}:
        return ("the name of a function",) if text[:index].rstrip().endswith(".") else ("a name",)
    return tuple(name for terminal, name in _NAMES.items() if terminal in accepted)


def _shortened(token: str) -> str:
    line = token.partition("\n")[0]
    return line if len(line) <= 30 else line[:29] + "…"
