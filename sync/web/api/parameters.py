"""What may be asked with: each parameter reads its value or says what would be right, and describes itself in JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from sync.errors import InputError
from sync.json_value import Json
from sync.reports.instants import instant as read_instant

LONGEST: Final = 1000
"""Characters of a text: longer than any identifier that is taken in."""

LARGEST: Final = 2**53 - 1
"""Of a number: what every reader of JSON can hold."""

_MOST: Final = 100


class InvalidParameter(InputError):
    """A parameter is wrong; says which, and what would be right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One thing that may be asked with."""

    name: str
    meaning: str
    schema: Mapping[str, Json]
    read: Callable[[Any], object]
    """From a text, or in a body from any JSON; raises ValueError with what was expected."""
    default: object = None


def text(name: str, meaning: str, *, example: str | None = None) -> Parameter:
    """Return a parameter that is any text."""
    schema: dict[str, Json] = {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[^\\u0000]+$"}
    return Parameter(name=name, meaning=meaning, schema=schema | ({"example": example} if example else {}), read=_text)


def whole(name: str, meaning: str, low: int, high: int, default: int | None = None) -> Parameter:
    """Return a parameter that is a whole number within bounds, both included."""
    schema: dict[str, Json] = {"type": "integer", "minimum": low, "maximum": high}

    def read(given: Any) -> int:
        if not isinstance(given, str) or not re.fullmatch(r"[0-9]{1,16}", given, re.ASCII) or not low <= int(given) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(given)

    return Parameter(
        name=name, meaning=meaning, schema=schema | ({} if default is None else {"default": default}), read=read, default=default
    )


def instant(name: str, meaning: str) -> Parameter:
    """Return a parameter that is a date or a timestamp."""

    def read(given: Any) -> datetime:
        return read_instant(_text(given))

    return Parameter(name=name, meaning=meaning, schema={"type": "string", "format": "date-time"}, read=read)


def one_of(name: str, meaning: str, choices: Sequence[str], default: str | None = None) -> Parameter:
    """Return a parameter that is one of a few words."""
    schema: dict[str, Json] = {"type": "string", "enum": [*choices]}

    def read(given: Any) -> str:
        if given not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return str(given)

    return Parameter(
        name=name, meaning=meaning, schema=schema | ({} if default is None else {"default": default}), read=read, default=default
    )


def switch(name: str, meaning: str) -> Parameter:
    """Return a parameter of an address that is true or false."""

    def read(given: Any) -> bool:
        if given not in ("true", "false"):
            raise ValueError("expected true or false")
        return bool(given == "true")

    return Parameter(name=name, meaning=meaning, schema={"type": "boolean", "default": False}, read=read, default=False)


def flag(name: str, meaning: str) -> Parameter:
    """Return a field of a body that is true or not there."""

    def read(given: Any) -> bool:
        if given is not True:
            raise ValueError("expected true, or not to be there")
        return True

    return Parameter(name=name, meaning=meaning, schema={"const": True}, read=read, default=False)


def words(name: str, meaning: str) -> Parameter:
    """Return a parameter that is a list of names with commas between them."""

    def read(given: Any) -> tuple[str, ...]:
        return tuple(word for word in _text(given).split(",") if word)[:_MOST]

    return Parameter(name=name, meaning=meaning, schema=text(name, meaning).schema, read=read, default=())


def texts(name: str, meaning: str, pattern: str) -> Parameter:
    """Return a field of a body that is a list of texts of one form."""
    schema: dict[str, Json] = {
        "type": "array",
        "items": {"type": "string", "pattern": f"^{pattern}$"},
        "minItems": 1,
        "maxItems": LONGEST,
    }

    def read(given: Any) -> tuple[str, ...]:
        if not isinstance(given, list) or not 0 < len(given) <= LONGEST:
            raise ValueError(f"expected a list of 1 to {LONGEST} texts")
        if not all(isinstance(one, str) and re.fullmatch(pattern, one, re.ASCII) for one in given):
            raise ValueError(f"expected texts of the form {pattern}")
        return tuple(given)

    return Parameter(name=name, meaning=meaning, schema=schema, read=read, default=())


def from_query(query: bytes, parameters: Sequence[Parameter]) -> dict[str, object]:
    """Read the part of an address after `?`. Raises InvalidParameter."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST, errors="strict")
    except ValueError:
        raise InvalidParameter(f"expected at most {_MOST} parameters, percent-encoded in UTF-8") from None
    names = [name for name, _ in pairs]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidParameter(f"{_quoted(twice[0])} is given twice; give it once")
    return _read(dict(pairs), parameters)


def from_body(body: Json, parameters: Sequence[Parameter]) -> dict[str, object]:
    """Read a body. Raises InvalidParameter."""
    if not isinstance(body, dict):
        raise InvalidParameter("the body must be a JSON object")
    return _read(body, parameters)


def from_path(given: Mapping[str, str], parameters: Iterable[Parameter]) -> dict[str, object]:
    """Read the variable parts of a path. Raises InvalidParameter."""
    return {parameter.name: _value(parameter, given[parameter.name]) for parameter in parameters if parameter.name in given}


def _read(given: Mapping[str, object], parameters: Sequence[Parameter]) -> dict[str, object]:
    known = {parameter.name: parameter for parameter in parameters}
    if unknown := [name for name in given if name not in known]:
        there_are = ", ".join(known) if known else "none"
        raise InvalidParameter(f"there is no parameter {_quoted(unknown[0])}; there are: {there_are}")
    return {name: _value(one, given[name]) if name in given else one.default for name, one in known.items()}


def _value(parameter: Parameter, given: object) -> object:
    try:
        return parameter.read(given)
    except ValueError as error:
        raise InvalidParameter(f"{parameter.name}: {error}") from None


def _text(given: Any) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST or "\0" in given:
        raise ValueError(f"expected a text of 1 to {LONGEST} characters, none of them U+0000")
    return given


def _quoted(name: str) -> str:
    return repr(name[:50])
