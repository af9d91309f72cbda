"""The vocabulary of SQLite.

A value is reached by a document and a path, or is a row of `json_each`; from either come its type, its plain SQL value (the atom)
and, where its digits count, its JSON text. Common values are read natively. Python functions (`sync.store.sqlite_functions`) do
what SQLite cannot, or not to the last bit: its own reading of decimals is exact up to 15 digits of which 4 are a fraction.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Double, Integer, Text, case, cast, func, literal, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from sync.json_value import encode
from sync.language.tree import Each, Path
from sync.store.compiler.places import Document, ElementRows, Elements, Place, Sql
from sync.store.compiler.words import Worded, write

_LONGEST_EXACT: Final = 16
"""In characters: 15 digits and the point."""


class SqliteWords:
    """What SQLite can say."""

    def present(self, place: Place) -> Sql:
        return _kind(place) != literal_column("'null'")

    def string(self, place: Place) -> Sql:
        return _of_kind(place, text=_atom(place))

    def word(self, place: Place) -> Sql:
        return _of_kind(place, text=_atom(place), true=literal_column("'true'"), false=literal_column("'false'"))

    def double(self, place: Place) -> Sql:
        return _of_kind(place, integer=_integer(place), real=_real(place))

    def number(self, place: Place) -> Sql:
        return _of_kind(place, integer=_integer(place), real=_real(place), text=self.number_in(_atom(place)))

    def searchable(self, place: Place) -> Sql:
        return _of_kind(place, text=_atom(place), integer=_integer_text(place), real=func.json_number_text(_json(place)))

    def text(self, place: Place) -> Sql:
        return _of_kind(
            place,
            text=_atom(place),
            integer=_integer_text(place),
            real=func.json_number_text(_json(place)),
            true=literal_column("'true'"),
            false=literal_column("'false'"),
        )

    def instant(self, place: Place) -> Sql:
        return _of_kind(place, text=self.instant_in(_atom(place)))

    def array_text(self, origin: Document, path: Path) -> Sql:
        # One call for the whole path; `true` stands for `$`, which no key can be taken for.
        return func.json_array_text(origin.column, encode([True if isinstance(step, Each) else step for step in path]))

    def whole(self, place: Place) -> Sql:
        return _json(place)

    def json(self, place: Place) -> Sql:
        return _of_kind(place, array=func.json_sorted(_json(place)), object=func.json_sorted(_json(place)), otherwise=_json(place))

    def ordinal(self, elements: Elements) -> Sql:
        return elements.rows.c.key

    def number_in(self, text: Sql) -> Sql:
        return func.text_number(text, type_=Double())

    def instant_in(self, text: Sql) -> Sql:
        return func.text_instant(text)

    def text_of(self, double: Sql) -> Sql:
        return func.double_text(double)

    def quoted(self, text: Sql) -> Sql:
        return func.json_quote(text)

    def json_of(self, double: Sql) -> Sql:
        return func.double_json(double)

    def by_code_point(self, text: Sql) -> Sql:
        return text

    def is_named(self, event: Sql, name: Sql) -> Sql:
        # IS does not imply that the event is not null, and so keeps the planner from the partial index of events: without
        # statistics it would take that, and read everybody's events for each user.
        return event.op("IS")(name)

    def position(self, text: Sql, part: Sql) -> Sql:
        return func.instr(text, part)

    def total(self, place: Place) -> Sql:
        return func.exact_total(_json(place))

    def mean(self, place: Place) -> Sql:
        return func.exact_mean(_json(place))

    def json_list(self, text: Sql) -> Sql:
        return func.json_text_list(text)


SQLITE: Final = SqliteWords()


@compiles(Worded, "sqlite")
def _worded(element: Worded, compiler: SQLCompiler, **arguments: Any) -> str:
    return write(element, SQLITE, compiler, arguments)


@compiles(ElementRows, "sqlite")
def _elements(element: ElementRows, compiler: SQLCompiler, **arguments: Any) -> str:
    # Of anything but an array `json_each` would make rows too.
    return str(compiler.process(func.json_each(_of_kind(element.array, array=_atom(element.array))), **arguments))


def _of_kind(place: Place, otherwise: Sql | None = None, **by_kind: Sql) -> Sql:
    whens: list[tuple[Sql, Sql]] = [(literal_column(f"'{kind}'"), expression) for kind, expression in by_kind.items()]
    return case(*whens, value=_kind(place), else_=otherwise)


def _kind(place: Place) -> Sql:
    if isinstance(place.origin, Elements) and not place.keys:
        return place.origin.rows.c.type
    return func.json_type(*_located(place))


def _atom(place: Place) -> Sql:
    """Give a scalar as SQL has it, an array or object as JSON."""
    if isinstance(place.origin, Elements) and not place.keys:
        return place.origin.rows.c.value
    return func.json_extract(*_located(place))


def _json(place: Place) -> Sql:
    """Give the JSON as it is written, digits included."""
    if isinstance(place.origin, Elements) and not place.keys:
        return _atom(place.origin.array).op("->")(place.origin.rows.c.key)
    document, path = _located(place)
    return document.op("->")(path)


def _located(place: Place) -> tuple[Sql, Sql]:
    """Give the document and the path to the value in it.

    A key that JSON escapes cannot be said in a path of every version of SQLite (3.45 changed that); a function looks it up.
    """
    document, path = _document(place.origin), "$"
    for key in place.keys:
        if _is_plain(key):
            path += f'."{key}"'
        else:
            document, path = func.json_member(document if path == "$" else document.op("->")(literal(path)), key), "$"
    return document, literal(path)


def _is_plain(key: str) -> bool:
    return encode(key) == f'"{key}"'


def _document(origin: Document | Elements) -> Sql:
    if isinstance(origin, Document):
        return origin.column
    # A string among the elements need not be JSON.
    return case((origin.rows.c.type == literal_column("'object'"), origin.rows.c.value))


def _integer(place: Place) -> Sql:
    # One too great for 64 bits comes as a double already, and not always as the nearest.
    small = func.typeof(_atom(place)) == literal_column("'integer'")
    return case((small, cast(_atom(place), Double())), else_=func.json_number(_json(place)))


def _integer_text(place: Place) -> Sql:
    small = func.typeof(_atom(place)) == literal_column("'integer'")
    return case((small, cast(_atom(place), Text())), else_=func.json_number_text(_json(place)))


def _real(place: Place) -> Sql:
    written = _json(place)
    few_digits = (func.length(written, type_=Integer()) <= literal_column(str(_LONGEST_EXACT))) & written.op("NOT GLOB")(
        literal_column("'*.?????*'")
    )
    return case((few_digits, _atom(place)), else_=func.json_number(written))
