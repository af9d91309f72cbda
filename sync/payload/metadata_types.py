"""Which JSON type each key of a document's metadata has, and whether that is the type that Moesif holds it to.

Moesif documents that a metadata key keeps the type that it first came with, at any depth (API reference, "User Actions", read
2026-07). It does not say what becomes of a value of another type; since it answers before it indexes, the value is most likely
lost without a word. Of arrays it says nothing: an index like its own looks at their elements, so `["a"]` counts as a string.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sync.json_value import Json

KEY_LENGTH: Final = 500
"""A longer key is not watched: no index would take it."""

_SCALARS: Final[Mapping[type, str]] = MappingProxyType({bool: "boolean", int: "number", float: "number", str: "string"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Clash:
    """A key that does not have the type that it is held to. Never holds the value."""

    key: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"metadata key {self.key}: {self.found} found, {self.wanted} wanted, since Moesif holds a key to its first type"


def typed_keys(document: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield each key of the metadata, keys of inner objects with dots in between, and its type; null has none."""
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        yield from _of_members(metadata, "")


def fits(document: Mapping[str, Json], held: Mapping[str, str]) -> bool:
    """Return whether every key is held to the type that it has; `typed_keys` for all that is sent, and so without its detours."""
    metadata = document.get("metadata")
    return not isinstance(metadata, dict) or _fit(metadata, "", held)


def weighed(document: Mapping[str, Json], held: Mapping[str, str]) -> dict[str, str] | Clash:
    """Return the keys that are held to no type yet, with those that they have; or the first that has not the one it is held to."""
    new: dict[str, str] = {}
    for key, found in typed_keys(document):
        wanted = held.get(key) or new.setdefault(key, found)
        if wanted != found:
            return Clash(key=key, wanted=wanted, found=found)
    return new


def _fit(members: Mapping[str, Json], prefix: str, held: Mapping[str, str]) -> bool:
    for name, value in members.items():
        key = prefix + name
        scalar = _SCALARS.get(type(value))
        if scalar is not None:
            if held.get(key) != scalar:
                return False
        elif isinstance(value, dict):
            if held.get(key) != "object" or not _fit(value, f"{key}.", held):
                return False
        elif any(held.get(inner) != found for inner, found in _of_value(key, value)):
            return False
    return True


def _of_members(members: Mapping[str, Json], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        key = prefix + name
        if len(key) <= KEY_LENGTH:
            yield from _of_value(key, value)


def _of_value(key: str, value: Json) -> Iterator[tuple[str, str]]:
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        yield key, scalar
    elif isinstance(value, dict):
        yield key, "object"
        yield from _of_members(value, f"{key}.")
    elif isinstance(value, list):
        for item in value:
            yield from _of_value(key, item)
