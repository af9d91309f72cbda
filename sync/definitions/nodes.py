"""YAML nodes as values: text, switches, lists and mappings, each with its place and its faults.

Knows what a person may have meant by a YAML scalar. Does not know which fields there are for what; tables of fields are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeVar

import yaml

from sync.definitions.faults import Fault, fault_at
from sync.definitions.fields import Field
from sync.definitions.text import Source

Value = TypeVar("Value")

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map")
)
_KINDS: Final = {yaml.ScalarNode: "a single value", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One `key: value` of a mapping."""

    key: yaml.ScalarNode
    value: yaml.Node


class Reading:
    """One file being read: its nodes become values, and what is wrong with them gathers in `faults`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.faults: list[Fault] = []

    def fault(self, node: yaml.Node, message: str) -> None:
        """Note what is wrong at the beginning of a node."""
        self.faults.append(fault_at(self.source.place(node), message))

    def read(self, node: yaml.Node, reader: Callable[[yaml.Node], Value]) -> Value | None:
        """Return what the reader makes of the node; its ValueError becomes a fault, and None."""
        try:
            return reader(node)
        except ValueError as error:
            self.fault(node, str(error))
            return None

    def mapping(self, node: yaml.Node, fields: Mapping[str, Field], what: str) -> dict[str, Entry]:
        """Return the known fields of a mapping by name, the first of each.

        A field that is unknown, repeated or missing is a fault; so is a node that is no mapping, which has no fields.
        """
        if not isinstance(node, yaml.MappingNode) or _foreign(node):
            self.fault(node, f"{what} must be a mapping of {_listed(fields)}, not {_kind(node)}")
            return {}
        entries: dict[str, Entry] = {}
        missing = {name for name, field in fields.items() if field.required}
        for key, value in node.value:
            name = self._field_name(key, entries, fields, what)
            if name is not None:
                entries[name] = Entry(key=key, value=value)
            missing -= {name or _meant(key, fields)}
        for name in fields:
            if name in missing:
                self.fault(node, f"{what} needs `{name}:`")
        return entries

    def _field_name(self, key: yaml.Node, seen: Mapping[str, Entry], fields: Mapping[str, Field], what: str) -> str | None:
        """Return the name of a field that is known and new; anything else is a fault."""
        if not isinstance(key, yaml.ScalarNode) or _foreign(key):
            self.fault(key, f"the name of a field must be text; {what} has {_listed(fields)}")
        elif key.tag == _TAG + "merge":
            self.fault(key, "`<<` is not read here; write what is common under `defaults:`")
        elif key.value not in fields:
            meant = _meant(key, fields)
            advice = f"did you mean `{meant}`?" if meant else f"it has {_listed(fields)}"
            self.fault(key, f"{what} has no field `{_short(key.value)}`; {advice}")
        elif key.value in seen:
            self.fault(
                key, f"`{key.value}` is written twice here, first in line {seen[key.value].key.start_mark.line + 1}; keep one"
            )
        else:
            return str(key.value)
        return None

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """Return the items of a list; nothing at all counts as an empty one."""
        if isinstance(node, yaml.SequenceNode) and not _foreign(node):
            return list(node.value)
        if not is_nothing(node):
            self.fault(node, f"{what} must be a list, each item beginning with `- `, not {_kind(node)}")
        return []


def is_nothing(node: yaml.Node) -> bool:
    """Say whether the value is left out, or `null`."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null"


def scalar(node: yaml.Node) -> str:
    """Return a single value as it is written, whatever YAML takes it for."""
    if not isinstance(node, yaml.ScalarNode) or _foreign(node):
        raise ValueError(f"expected a single value, not {_kind(node)}")
    if is_nothing(node):
        raise ValueError("expected a value, found nothing")
    return str(node.value).strip()


def text(node: yaml.Node) -> str:
    """Return a text that is not empty. What YAML takes for a number, a date or a truth value is refused, as it needs quotes."""
    value = scalar(node)
    if node.tag != _TAG + "str":
        raise ValueError(f"expected text, but YAML reads this as {_yaml_type(node)}; put it in quotes")
    if not value:
        raise ValueError("expected text, found an empty one")
    return value


def switch(node: yaml.Node) -> bool:
    """Return `true` or `false`, in any of YAML's spellings."""
    value = scalar(node).lower()
    if node.tag == _TAG + "bool":
        return value in ("true", "yes", "on")
    raise ValueError("expected true or false" + (", without quotes" if value in ("true", "false") else ""))


def _foreign(node: yaml.Node) -> bool:
    return node.tag not in _PLAIN_TAGS


def _kind(node: yaml.Node) -> str:
    if _foreign(node):
        return f"something tagged {_short(node.tag.replace(_TAG, '!!'))}"
    return "nothing" if is_nothing(node) else _KINDS[type(node)]


def _yaml_type(node: yaml.Node) -> str:
    names = {"int": "a number", "float": "a number", "bool": "a truth value", "timestamp": "a date"}
    return names.get(node.tag.removeprefix(_TAG), "a sign of its own")


def _meant(key: yaml.Node, fields: Mapping[str, Field]) -> str | None:
    """Return the field whose name is nearest to a misspelt one."""
    name = key.value.lower() if isinstance(key, yaml.ScalarNode) else ""
    return next(iter(get_close_matches(name, fields, n=1)), None)


def _listed(fields: Mapping[str, Field]) -> str:
    return ", ".join(f"`{name}`" for name in fields)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
