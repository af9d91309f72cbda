"""Reads the settings from the environment and a `.env` file, and finds everything that is wrong with them at once.

The environment wins over `.env`. An empty variable counts as one that is not set, and in the environment it hides the one
in `.env`. In `.env` there is nothing to expand: `$` is a dollar sign.

A variable that is nearly one of ours (SYNC_DATABSE_URL) stops the program, since what was meant would silently not hold. Any other
that begins with SYNC_ may belong to another program, and is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from dotenv.parser import parse_stream

from sync.errors import SettingsError
from sync.settings.address import is_plain_to_elsewhere
from sync.settings.record import Origin, Settings
from sync.settings.variables import VARIABLES, Variable

DOTENV: Final = ".env"

_NAMES: Final = frozenset(name for variable in VARIABLES for name in (variable.name, variable.file_name) if name)
_BY_NAME: Final = MappingProxyType({variable.name: variable for variable in VARIABLES})
_URLS: Final = ("SYNC_MOESIF_URL", "SYNC_MOESIF_MANAGEMENT_URL")
_LARGEST_SECRET: Final = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingFault:
    """One thing that is wrong. Never holds the value, which may be secret."""

    variable: str
    origin: Origin
    message: str

    def __str__(self) -> str:
        return f"{self.variable} ({self.origin}): {self.message}"


class InvalidSettings(SettingsError):
    """Settings are wrong; `faults` has every fault and is never empty."""

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        title = "a setting is wrong:" if count == 1 else f"{count} settings are wrong:"
        super().__init__("\n".join([title, *(f"  {fault}" for fault in self.faults)]))


class _WrongError(Exception):
    """A fault, on its way to the others."""

    def __init__(self, variable: str, origin: Origin, message: str) -> None:
        self.fault = SettingFault(variable=variable, origin=origin, message=message)
        super().__init__(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """What somebody wrote for a variable."""

    text: str
    origin: Origin


def from_folder(environ: Mapping[str, str], folder: Path) -> Settings:
    """Return the settings of the environment and of the `.env` in the folder, if there is one. Raises InvalidSettings."""
    path = folder / DOTENV
    try:
        dotenv = path.read_text("utf-8-sig") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidSettings(
            [SettingFault(variable=str(path), origin=Origin.DOTENV, message=f"cannot be read: {reason}")]
        ) from error
    return read(environ, dotenv)


def read(environ: Mapping[str, str], dotenv: str = "") -> Settings:
    """Return the settings of an environment and of the text of a `.env` file.

    Files that `…_FILE` variables name are read. Raises InvalidSettings with every fault.
    """
    faults: list[SettingFault] = []
    given = _given(environ, dotenv, faults)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for variable in VARIABLES:
        try:
            value, origins[variable.name] = _value(variable, given)
            values[variable.field] = value
        except _WrongError as wrong:
            faults.append(wrong.fault)
    faults += _plain_http(values, origins)
    warnings = _unknown(given, faults)
    if faults:
        raise InvalidSettings(faults)
    return Settings(**values, origins=MappingProxyType(origins), warnings=warnings)


def _given(environ: Mapping[str, str], dotenv: str, faults: list[SettingFault]) -> dict[str, _Given]:
    """Return what is written for every variable that begins with SYNC_, empty ones left out."""
    texts = {name: _Given(text=text.strip(), origin=Origin.DOTENV) for name, text in _dotenv(dotenv, faults).items()}
    texts |= {name: _Given(text=text.strip(), origin=Origin.ENVIRONMENT) for name, text in environ.items() if _is_ours(name)}
    return {name: given for name, given in texts.items() if given.text}


def _is_ours(name: str) -> bool:
    return name.startswith("SYNC_")


def _dotenv(text: str, faults: list[SettingFault]) -> dict[str, str]:
    found: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        name = binding.key
        if binding.error or (name and _is_ours(name) and binding.value is None):
            where = f"line {binding.original.line}"
            faults.append(SettingFault(variable=where, origin=Origin.DOTENV, message="expected NAME=value"))
        elif name in found:
            faults.append(SettingFault(variable=name, origin=Origin.DOTENV, message="written twice; keep one"))
        elif name and _is_ours(name):
            found[name] = binding.value or ""
    return found


def _value(variable: Variable, given: Mapping[str, _Given]) -> tuple[object, Origin]:
    """Return a variable's value, None where there is none. Raises _WrongError."""
    name, written = variable.name, given.get(variable.name)
    named = given.get(variable.file_name or "")
    if named is not None and variable.file_name:
        if written is not None:
            raise _WrongError(name, written.origin, f"{variable.file_name} is set as well; keep one of the two")
        name, written = variable.file_name, _Given(text=_secret(variable.file_name, named), origin=Origin.FILE)
    if written is None:
        return (None if variable.default is None else variable.read(variable.default)), Origin.DEFAULT
    try:
        return variable.read(written.text), written.origin
    except ValueError as error:
        raise _WrongError(name, written.origin, str(error)) from error


def _secret(name: str, given: _Given) -> str:
    """Return what is in a secret's file, without the line break at its end."""
    try:
        with Path(given.text).open(encoding="utf-8-sig") as file:
            text = file.read(_LARGEST_SECRET).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise _WrongError(name, given.origin, f"expected the path of a file that can be read: {reason}") from error
    if not text:
        raise _WrongError(name, given.origin, "the file is empty")
    return text


def _plain_http(values: Mapping[str, Any], origins: Mapping[str, Origin]) -> list[SettingFault]:
    if values.get("allow_plain_http", True):
        return []
    return [
        SettingFault(
            variable=name,
            origin=origins[name],
            message=(
                "plain http would show the key to the network; expected https, or a loopback address, or SYNC_ALLOW_PLAIN_HTTP=1"
            ),
        )
        for name in _URLS
        if _BY_NAME[name].field in values and is_plain_to_elsewhere(values[_BY_NAME[name].field])
    ]


def _unknown(given: Mapping[str, _Given], faults: list[SettingFault]) -> tuple[str, ...]:
    """Add a fault for each near miss, and return a warning for each other variable that is none of ours."""
    warnings = []
    for name in sorted(given.keys() - _NAMES):
        origin = given[name].origin
        if near := _near(name):
            faults.append(SettingFault(variable=name, origin=origin, message=f"there is no such setting; did you mean {near}?"))
        else:
            warnings.append(f"{name} ({origin}): there is no such setting{_likely(name)}")
    return tuple(warnings)


def _near(name: str) -> str | None:
    """Return the setting that was misspelt as this, if a slip of one or two letters explains it."""
    for near in get_close_matches(name, _NAMES, n=1, cutoff=0.88):
        if abs(len(near) - len(name)) <= 2:
            return near
    return None


def _likely(name: str) -> str:
    if name.endswith("_FILE") and name.removesuffix("_FILE") in _BY_NAME:
        return f"; {name.removesuffix('_FILE')} is not a secret and cannot be read from a file"
    return "".join(f"; the nearest is {near}" for near in get_close_matches(name, _NAMES, n=1))
