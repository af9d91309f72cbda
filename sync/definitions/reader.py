"""From the text of definitions files to definitions, or to every fault at once.

Knows the fields of a file and how they go together. Does not know the language of a query: a checker is handed in. Does not know
which keys an earlier file once used; that is for whoever applies definitions to a store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import Final, Protocol, TypeAlias, runtime_checkable

import yaml

from sync.audience import (
    DEFAULT_GUARD,
    Definition,
    Every,
    Guard,
    Kind,
    Limit,
    Manual,
    Place,
    Schedule,
    Share,
    check_key,
    key_of,
    parse_cron,
    parse_every,
    parse_limit,
)
from sync.audience.schedule import check_timezone
from sync.definitions.faults import Fault, InvalidDefinitions, fault_at
from sync.definitions.fields import AUDIENCE, COMPUTED_TRAIT, DEFAULT_EVERY, DEFAULTS, FILE, GUARD, Field
from sync.definitions.nodes import Entry, Reading, is_nothing, scalar, switch, text
from sync.definitions.text import source_of

CheckQuery: TypeAlias = Callable[[Kind, str], "Collection[str] | None"]
"""Raises an exception that is a `QueryFault` when the query is wrong. Returns the names of the traits that it reads, from which
circles among definitions are found, or None."""


@runtime_checkable
class QueryFault(Protocol):
    """What an exception about a query tells; line and column count from 1 in the query.

    One that has an `explanation` too, which also says what was expected, is told in those words.
    """

    line: int
    column: int
    message: str


_FIELDS: Final[Mapping[Kind, Mapping[str, Field]]] = {Kind.AUDIENCE: AUDIENCE, Kind.COMPUTED_TRAIT: COMPUTED_TRAIT}
_TITLES: Final = {Kind.AUDIENCE: "an audience", Kind.COMPUTED_TRAIT: "a computed trait"}
_LISTS: Final = {Kind.AUDIENCE: "audiences", Kind.COMPUTED_TRAIT: "computed_traits"}


def read(files: Sequence[tuple[str, str | bytes]], check_query: CheckQuery) -> tuple[Definition, ...]:
    """Return the definitions of all the files (name and text of each), file by file, audiences first.

    `defaults` of a file hold for that file alone. Raises InvalidDefinitions with every fault of every file.
    """
    faults: list[Fault] = []
    found = [each for name, content in files for each in _file(name, content, check_query, faults)]
    faults += _repeated([(key, place) for _, _, key, place in found])
    faults += _circles([(definition, reads) for definition, reads, _, _ in found if definition is not None])
    if faults:
        raise InvalidDefinitions(faults)
    return tuple(definition for definition, _, _, _ in found if definition is not None)


_Found: TypeAlias = "tuple[Definition | None, Collection[str], str, Place]"
"""A definition, or None where it has faults; the traits its query reads; its key; where the key comes from."""


def _file(name: str, content: str | bytes, check_query: CheckQuery, faults: list[Fault]) -> list[_Found]:
    source = source_of(name, content)
    if isinstance(source, Fault):
        faults.append(source)
        return []
    root, broken = source.compose()
    if broken is not None or root is None:
        empty = Fault(file=name, line=1, column=1, message="the file is empty; write `audiences:` or `computed_traits:`")
        faults.append(broken or empty)
        return []
    reading = _FileReading(Reading(source), check_query)
    found = reading.definitions(root)
    faults += reading.nodes.faults
    return found


class _FileReading:
    """One file on its way to definitions."""

    def __init__(self, nodes: Reading, check_query: CheckQuery) -> None:
        self.nodes = nodes
        self.check_query = check_query
        self.schedule: Schedule = parse_every(DEFAULT_EVERY)
        self.guard: Guard | None = DEFAULT_GUARD
        self.enabled = True

    def definitions(self, root: yaml.Node) -> list[_Found]:
        entries = self.nodes.mapping(root, FILE, "the file")
        if isinstance(root, yaml.MappingNode) and not root.value:
            self.nodes.fault(root, "the file is empty; write `audiences:` or `computed_traits:`")
        if "defaults" in entries and not is_nothing(entries["defaults"].value):
            self._read_defaults(self.nodes.mapping(entries["defaults"].value, DEFAULTS, "`defaults`"))
        lists = [(kind, entries[name].value) for kind, name in _LISTS.items() if name in entries]
        found = [self._definition(kind, item) for kind, node in lists for item in self.nodes.items(node, f"`{_LISTS[kind]}`")]
        return [each for each in found if each is not None]

    def _read_defaults(self, entries: Mapping[str, Entry]) -> None:
        self.schedule = self._schedule(entries)
        self.guard = self._guard(entries)
        self.enabled = self._enabled(entries)

    def _definition(self, kind: Kind, node: yaml.Node) -> _Found | None:
        """Return a definition with its key, or None where not even the key can be told."""
        before = len(self.nodes.faults)
        fields = self.nodes.mapping(node, _FIELDS[kind], _TITLES[kind])
        name = self._value(fields, "name", _name)
        key = self._key(fields, name)
        description = self._value(fields, "description", _description) or ""
        query, reads = self._query(kind, fields)
        schedule, enabled = self._schedule(fields), self._enabled(fields)
        guard = self._guard(fields) if kind is Kind.AUDIENCE else None
        if key is None:
            return None
        place = self.nodes.source.place(fields["key" if "key" in fields else "name"].value)
        if len(self.nodes.faults) > before or name is None or query is None:
            return None, (), key, place
        definition = Definition(
            kind=kind,
            key=key,
            name=name,
            description=description,
            query=query,
            schedule=schedule,
            guard=guard,
            enabled=enabled,
            place=place,
        )
        return definition, reads, key, place

    def _value(self, fields: Mapping[str, Entry], name: str, reader: Callable[[yaml.Node], str]) -> str | None:
        return self.nodes.read(fields[name].value, reader) if name in fields else None

    def _key(self, fields: Mapping[str, Entry], name: str | None) -> str | None:
        if "key" in fields:
            return self._value(fields, "key", _key)
        return self._value(fields, "name", _key_of_name) if name is not None else None

    def _query(self, kind: Kind, fields: Mapping[str, Entry]) -> tuple[str | None, Collection[str]]:
        query = self._value(fields, "query", text)
        node = fields["query"].value if "query" in fields else None
        if query is None or not isinstance(node, yaml.ScalarNode):
            return None, ()
        try:
            return query, self.check_query(kind, node.value) or ()
        except Exception as error:
            if not isinstance(error, QueryFault):
                raise
            place = self.nodes.source.place_within(node, error.line, error.column)
            self.nodes.faults.append(fault_at(place, str(getattr(error, "explanation", error.message))))
            return None, ()

    def _schedule(self, fields: Mapping[str, Entry]) -> Schedule:
        named = [name for name in ("every", "cron", "schedule") if name in fields]
        for name in named[1:]:
            self.nodes.fault(fields[name].key, f"`{name}` and `{named[0]}` are two schedules; keep one")
        zone = self._timezone(fields)
        readers: dict[str, Callable[[yaml.Node], Schedule]] = {
            "every": _every,
            "cron": partial(_cron, timezone=zone or "UTC"),
            "schedule": _manual,
        }
        read = [self.nodes.read(fields[name].value, readers[name]) for name in named]
        return next((schedule for schedule in read if schedule is not None), self.schedule)

    def _timezone(self, fields: Mapping[str, Entry]) -> str | None:
        if "timezone" not in fields:
            return None
        if "cron" not in fields:
            self.nodes.fault(
                fields["timezone"].key, "`timezone` says on whose clocks `cron` runs, and there is no `cron` beside it"
            )
        return self.nodes.read(fields["timezone"].value, _zone)

    def _guard(self, fields: Mapping[str, Entry]) -> Guard | None:
        if "guard" not in fields:
            return self.guard
        node = fields["guard"].value
        if isinstance(node, yaml.ScalarNode):
            self.nodes.read(node, _off)
            return None
        limits = self.nodes.mapping(node, GUARD, "`guard`")
        if isinstance(node, yaml.MappingNode) and not node.value:
            self.nodes.fault(node, "an empty guard guards nothing; write `max_exits` or `max_entries`, or `guard: off`")
        return Guard(max_exits=self._limit(limits, "max_exits"), max_entries=self._limit(limits, "max_entries"))

    def _limit(self, limits: Mapping[str, Entry], name: str) -> Limit | None:
        return self.nodes.read(limits[name].value, partial(_limit, name=name)) if name in limits else None

    def _enabled(self, fields: Mapping[str, Entry]) -> bool:
        enabled = self.nodes.read(fields["enabled"].value, switch) if "enabled" in fields else None
        return self.enabled if enabled is None else enabled


def _name(node: yaml.Node) -> str:
    name = text(node)
    if len(name) > 255 or not name.isprintable():
        raise ValueError("expected a name on one line, of at most 255 characters")
    return name


def _description(node: yaml.Node) -> str:
    description = "" if is_nothing(node) or not scalar(node) else text(node)
    if unfit := re.search("[\0\ud800-\udfff]", description):
        raise ValueError(f"the character U+{ord(unfit[0]):04X} cannot be kept in a store; delete it")
    return description


def _key(node: yaml.Node) -> str:
    key = text(node)
    check_key(key)
    return key


def _key_of_name(node: yaml.Node) -> str:
    key = key_of(text(node))
    check_key(key)
    return key


def _every(node: yaml.Node) -> Every:
    return parse_every(scalar(node))


def _cron(node: yaml.Node, *, timezone: str) -> Schedule:
    return parse_cron(scalar(node), timezone)


def _zone(node: yaml.Node) -> str:
    name = scalar(node)
    check_timezone(name)
    return name


def _manual(node: yaml.Node) -> Manual:
    # Others know schedules as mappings, too.
    if not isinstance(node, yaml.ScalarNode) or scalar(node) != "manual":
        raise ValueError("expected `schedule: manual`; an interval is `every: 15 minutes`, and times are `cron:`")
    return Manual()


def _off(node: yaml.Node) -> None:
    if scalar(node).lower() not in ("off", "no", "false"):
        raise ValueError("expected `off`, or limits such as {max_exits: 20%, max_entries: 50%}")


def _limit(node: yaml.Node, *, name: str) -> Limit:
    limit = parse_limit(scalar(node))
    if name == "max_exits" and isinstance(limit, Share) and limit.percent > 100:
        raise ValueError("more than 100% of the members can never leave; expected a share of up to 100%")
    return limit


def _repeated(keys: Sequence[tuple[str, Place]]) -> list[Fault]:
    """Return a fault for every definition whose key an earlier one has."""
    first: dict[str, Place] = {}
    faults = []
    for key, place in keys:
        if key in first:
            faults.append(fault_at(place, f"the key {key} is taken by the definition at {first[key]}; write another `key:`"))
        first.setdefault(key, place)
    return faults


def _circles(read: Sequence[tuple[Definition, Collection[str]]]) -> list[Fault]:
    """Return a fault for each circle of definitions that need one another, until none is left."""
    by_key = {definition.key: definition for definition, _ in read}
    needs = {definition.key: by_key.keys() & set(reads) for definition, reads in read}
    faults = []
    while circle := _circle(needs):
        message = "the query needs itself, in a circle: " + " → ".join(circle)
        place = by_key[circle[0]].place
        faults += [fault_at(place, message)] if place else []
        needs = {key: needed - set(circle) for key, needed in needs.items() if key not in circle}
    return faults


def _circle(needs: Mapping[str, Collection[str]]) -> list[str]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        keys: list[str] = error.args[1]
        return keys[::-1]
    return []
