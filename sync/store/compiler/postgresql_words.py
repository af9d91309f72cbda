"""The vocabulary of PostgreSQL (16 or newer, for `pg_input_is_valid`).

A value is a JSONB expression, reached by `->` with keys as text, which never takes a key for the index of an array. Every cast that
could raise stands in a CASE that knows its argument to be good: PostgreSQL is free to reorder conditions, but not those.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Date,
    Double,
    Numeric,
    Text,
    and_,
    bindparam,
    case,
    cast,
    extract,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, aggregate_order_by
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from sync.language.tree import Path
from sync.store.compiler.places import Document, ElementRows, Elements, Place, Sql, elements_of, follow, side_by_side
from sync.store.compiler.words import Worded, write

_NUMBER: Final = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_LONGEST_NUMBER: Final = 400
# Whatever it matches is a timestamp but for the day of the month and the year 0000. `$` is the very end, before no line break.
_TIMESTAMP: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$"
)
_DIGITS: Final[Sql] = literal_column("'0123456789'")
_ZEROS: Final[Sql] = literal_column("'0000000000'")
_DAY: Final[Sql] = literal_column("'0000-00-00'")
# From here on a number would be rounded to infinity.
_INFINITE: Final = bindparam("infinite", Decimal(2**1024 - 2**970), Numeric())
_WHOLE: Final[Sql] = literal_column(str(2**53))
_ROOT: Final[Sql] = literal_column("'{}'")


class PostgresqlWords:
    """What PostgreSQL can say."""

    def present(self, place: Place) -> Sql:
        return _kind(place) != literal_column("'null'")

    def string(self, place: Place) -> Sql:
        return _of_kind(place, string=_plain(place))

    def word(self, place: Place) -> Sql:
        return _of_kind(place, string=_plain(place), boolean=_plain(place))

    def double(self, place: Place) -> Sql:
        return _of_kind(place, number=_double(place))

    def number(self, place: Place) -> Sql:
        return _of_kind(place, number=_double(place), string=self.number_in(_plain(place)))

    def searchable(self, place: Place) -> Sql:
        return _of_kind(place, string=_plain(place), number=_digits(place))

    def text(self, place: Place) -> Sql:
        return _of_kind(place, string=_plain(place), number=_digits(place), boolean=_plain(place))

    def instant(self, place: Place) -> Sql:
        return _of_kind(place, string=self.instant_in(_plain(place)))

    def array_text(self, origin: Document, path: Path) -> Sql:
        tables, place = follow(origin, path)
        if tables:
            return _joined(tables, place)
        elements = elements_of(place)
        return _of_kind(place, array=_joined((elements,), Place(origin=elements)), otherwise=self.text(place))

    def whole(self, place: Place) -> Sql:
        return _value(place)

    def json(self, place: Place) -> Sql:
        return cast(_value(place), Text())

    def ordinal(self, elements: Elements) -> Sql:
        return elements.rows.c.ordinality

    def number_in(self, text: Sql) -> Sql:
        valid = and_(
            func.char_length(text) <= literal_column(str(_LONGEST_NUMBER)),
            text.op("~")(literal(_NUMBER)),
            func.pg_input_is_valid(text, literal_column("'double precision'")),
        )
        return case((valid, cast(text, Double())))

    def instant_in(self, text: Sql) -> Sql:
        # A date alone is told without the regular expression, which costs more than all the rest.
        is_day = and_(func.char_length(text) == literal_column("10"), func.translate(text, _DIGITS, _ZEROS) == _DAY)
        return case((is_day, _midnight(text)), (text.op("~")(literal(_TIMESTAMP)), _moment(text)))

    def text_of(self, double: Sql) -> Sql:
        return cast(func.trim_scale(_decimal(double)), Text())

    def quoted(self, text: Sql) -> Sql:
        return cast(func.to_jsonb(cast(text, Text())), Text())

    def json_of(self, double: Sql) -> Sql:
        exact = _decimal(double)
        whole = cast(func.trunc(exact), Text())
        return case(
            (exact != func.trunc(exact), cast(exact, Text())),
            (func.abs(exact) <= _WHOLE, whole),
            else_=whole.concat(literal_column("'.0'")),
        )

    def by_code_point(self, text: Sql) -> Sql:
        return text.collate("C")

    def is_named(self, event: Sql, name: Sql) -> Sql:
        return event == name

    def position(self, text: Sql, part: Sql) -> Sql:
        return func.strpos(text, part)

    def total(self, place: Place) -> Sql:
        return _finite(func.round(func.sum(_decimal(self.number(place))), literal_column("9")))

    def mean(self, place: Place) -> Sql:
        # Exact, unlike numeric division: the whole quotient of twice the sum, in billionths, plus the divisor by twice the divisor.
        double = self.number(place)
        amount, parts = func.sum(_decimal(double), type_=Numeric()), func.count(double)
        billionths = func.div(
            func.abs(amount) * literal_column("2000000000") + parts, literal_column("2") * cast(parts, Numeric()), type_=Numeric()
        )
        return _finite(func.sign(amount) * billionths * literal_column("0.000000001"))

    def json_list(self, text: Sql) -> Sql:
        ordered: Sql = aggregate_order_by(literal_column("','"), self.by_code_point(text))
        return literal_column("'['").concat(func.string_agg(self.quoted(text), ordered)).concat(literal_column("']'"))


POSTGRESQL: Final = PostgresqlWords()


@compiles(Worded, "postgresql")
def _worded(element: Worded, compiler: SQLCompiler, **arguments: Any) -> str:
    return write(element, POSTGRESQL, compiler, arguments)


@compiles(ElementRows, "postgresql")
def _elements(element: ElementRows, compiler: SQLCompiler, **arguments: Any) -> str:
    rows = func.jsonb_array_elements(_of_kind(element.array, array=_value(element.array)))
    return f"{compiler.process(rows, **arguments)} WITH ORDINALITY"


def _of_kind(place: Place, otherwise: Sql | None = None, **by_kind: Sql) -> Sql:
    whens: list[tuple[Sql, Sql]] = [(literal_column(f"'{kind}'"), expression) for kind, expression in by_kind.items()]
    return case(*whens, value=_kind(place), else_=otherwise)


def _value(place: Place) -> Sql:
    origin = place.origin
    value: Sql = origin.rows.c.value if isinstance(origin, Elements) else origin.column
    if isinstance(origin, Document):
        value = cast(value, JSONB()) if origin.is_text else type_coerce(value, JSONB())
    for key in place.keys:
        value = value.op("->")(literal(key, Text()))
    return value


def _kind(place: Place) -> Sql:
    return func.jsonb_typeof(_value(place))


def _plain(place: Place) -> Sql:
    return _value(place).op("#>>")(_ROOT)


def _double(place: Place) -> Sql:
    return case((func.abs(cast(_value(place), Numeric())) < _INFINITE, cast(_value(place), Double())))


def _digits(place: Place) -> Sql:
    number = cast(_value(place), Numeric())
    return case((func.abs(number) < _INFINITE, cast(func.trim_scale(number), Text())))


def _decimal(double: Sql) -> Sql:
    """Give the shortest decimal of a double; PostgreSQL's own cast would keep 15 digits."""
    return cast(cast(double, Text()), Numeric())


def _finite(number: Sql) -> Sql:
    return case((func.abs(number) < _INFINITE, cast(number, Double())))


def _midnight(day: Sql) -> Sql:
    """Read `YYYY-MM-DD`, whatever the session's time zone is."""
    days = cast(day, Date()) - literal_column("DATE '1970-01-01'")
    micros = cast(days, BigInteger()) * literal_column("86400000000")
    return case((func.pg_input_is_valid(day, literal_column("'date'")), micros))


def _moment(timestamp: Sql) -> Sql:
    """Read a timestamp with a zone; of its fraction six digits, where PostgreSQL would round."""
    cut = func.regexp_replace(timestamp, literal_column(r"'(\.\d{6})\d+'"), literal_column(r"'\1'"))
    seconds = type_coerce(extract("epoch", cast(cut, TIMESTAMP(timezone=True))), Numeric())
    micros = cast(seconds * literal_column("1000000"), BigInteger())
    return case((func.pg_input_is_valid(cut, literal_column("'timestamptz'")), micros))


def _joined(tables: tuple[Elements, ...], place: Place) -> Sql:
    """Write the values in all rows as one text in brackets, if there is one and every one is a scalar."""
    part, order = _part(place), [table.rows.c.ordinality for table in tables]
    together = func.string_agg(part, aggregate_order_by(literal_column("','"), *order))
    # Without any value it is NULL.
    text = literal_column("'['").concat(together).concat(literal_column("']'"))
    every = func.count(part) == func.count().filter(POSTGRESQL.present(place))
    return select(case((every, text))).select_from(side_by_side(tables)).scalar_subquery()


def _part(place: Place) -> Sql:
    quote: Sql = literal_column("'\"'")
    escape: Sql = literal_column(r"'\'")
    escaped = func.replace(_plain(place), escape, literal_column(r"'\\'"))
    escaped = func.replace(escaped, quote, literal_column("'\\\"'"))
    return _of_kind(place, string=func.concat(quote, escaped, quote), number=_digits(place), boolean=_plain(place))
