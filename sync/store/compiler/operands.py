"""What a value is, as SQL: its readings as a string, a number, a text, an instant, each where it has one.

A reading that a value can never have is None rather than a NULL in SQL, so that conditions which can never hold vanish from the
statement. `sync.language.values` says what each reading is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import BigInteger, Boolean, Double, Text, literal, literal_column
from sqlalchemy.types import NullType

from sync.language import tree, values
from sync.store.compiler.places import Document, Place, Sql
from sync.store.compiler.words import Worded

Maybe: TypeAlias = Sql | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """One value; without any reading it is absent."""

    # A string.
    string: Maybe = None
    # A string, or a boolean as `true` or `false`.
    word: Maybe = None
    # A number as a double.
    double: Maybe = None
    # That, or a string that is a number in full.
    number: Maybe = None
    # A string or a number as text: what is looked into.
    searchable: Maybe = None
    # A date as microseconds since 1970.
    instant: Maybe = None
    # Whether there is one; true, false or NULL.
    present: Maybe = None
    # Where the array is, if it is one.
    array: Place | None = None


ABSENT: Final = Value()


def at(place: Place) -> Value:
    """Give the JSON value at a place."""
    return Value(
        string=Worded(lambda words: words.string(place), Text()),
        word=Worded(lambda words: words.word(place), Text()),
        double=Worded(lambda words: words.double(place), Double()),
        number=Worded(lambda words: words.number(place), Double()),
        searchable=Worded(lambda words: words.searchable(place), Text()),
        instant=Worded(lambda words: words.instant(place), BigInteger()),
        present=Worded(lambda words: words.present(place), Boolean()),
        array=place,
    )


def document(column: Sql) -> Value:
    """Give the JSON value that is a whole column."""
    return at(Place(origin=Document(column=column)))


def of_text(text: Sql) -> Value:
    """Give a string that SQL has as text; NULL is absent."""
    return Value(
        string=text,
        word=text,
        number=Worded(lambda words: words.number_in(text), Double()),
        searchable=text,
        instant=Worded(lambda words: words.instant_in(text), BigInteger()),
        present=text.is_not(None),
    )


def of_number(number: Sql) -> Value:
    """Give a number that SQL has as one; NULL is absent."""
    return Value(
        double=number,
        number=number,
        searchable=Worded(lambda words: words.text_of(number), Text()),
        present=number.is_not(None),
    )


def of_truth(text: Sql) -> Value:
    """Give a boolean that SQL has as `true` or `false`."""
    return Value(word=text, present=text.is_not(None))


def constant(literal_: tree.Text | tree.Number | tree.Truth) -> Value:
    """Give a constant, as the right-hand side of a comparison."""
    match literal_:
        case tree.Text(value=value):
            text, number = literal(value, Text()), values.number_of(value)
            return Value(string=text, word=text, number=None if number is None else _double(number), searchable=text, present=_YES)
        case tree.Number(value=value):
            double = _double(float(value))
            return Value(double=double, number=double, searchable=literal(values.number_text(value), Text()), present=_YES)
        case tree.Truth(value=value):
            return Value(word=literal("true" if value else "false", Text()), present=_YES)


_YES: Final = literal_column("(1 = 1)", Boolean())


def _double(number: float) -> Sql:
    return literal(number, Double())


def json_of(value: Value) -> Sql:
    """Write a value as JSON; NULL if it is absent."""
    if value.array is not None:
        place = value.array
        return Worded(lambda words: words.json(place), Text())
    if value.double is not None:
        number = value.double
        return Worded(lambda words: words.json_of(number), Text())
    assert value.string is not None
    text = value.string
    return Worded(lambda words: words.quoted(text), Text())


def whole(place: Place) -> Sql:
    """Give the value at a place as a column that holds it whole."""
    kept: Any = NullType()
    return Worded(lambda words: words.whole(place), kept)
