"""What a query depends on, for programs and for people: what it reads, and when time alone can change its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sync.json_value import Json
    from sync.language.reads import Edge, Reads
    from sync.language.tree import Path, Query, Reducible


def report(query: Query, kinds: Mapping[str, str]) -> dict[str, Json]:
    """Write it as JSON; `kinds` has the kind of every key that a trait of the same name refers to."""
    from sync.language.reads import edges, reads

    found = reads(query)
    return {
        "events": [*sorted(found.events)],
        "traits": [*sorted(found.traits - kinds.keys())],
        "references": [{"key": key, "kind": kinds[key]} for key in _references(found, kinds)],
        "context": found.context,
        "sources": found.sources,
        "edges": [_edge_report(edge) for edge in edges(query)],
    }


def read_lines(query: Query, kinds: Mapping[str, str]) -> list[str]:
    """Say what a query reads, a line each."""
    from sync.language.reads import reads

    found = reads(query)
    parts = [word for word, is_read in (("contexts", found.context), ("sources", found.sources)) if is_read]
    of_them = f", and their {' and '.join(parts)}" if parts else ""
    return [
        *(f"event '{event}'{of_them}" for event in sorted(found.events)),
        *(f"trait '{trait}'" for trait in sorted(found.traits - kinds.keys())),
        *(f"{kinds[key].replace('_', ' ')} {key}" for key in _references(found, kinds)),
    ]


def time_lines(query: Query) -> list[str]:
    """Say when time alone can change a user's answer, a line each."""
    from sync.language.reads import edges

    return [_edge_text(edge) for edge in edges(query)]


def _references(found: Reads, kinds: Mapping[str, str]) -> list[str]:
    return sorted(found.traits & kinds.keys())


def _edge_report(edge: Edge) -> dict[str, Json]:
    from sync.language.reads import EventEdge, TraitEdge

    seconds = int(edge.offset.total_seconds())
    match edge:
        case EventEdge(event=event):
            return {"event": event, "seconds": seconds}
        case TraitEdge(path=path):
            return {"trait": _path(path), "seconds": seconds}
        case _:
            return {"event": edge.event, "value": _value(edge.of), "seconds": seconds}


def _edge_text(edge: Edge) -> str:
    from sync.language.reads import EventEdge, TraitEdge

    when = _when(edge)
    match edge:
        case EventEdge(event=event):
            return f"{when} event '{event}'"
        case TraitEdge(path=path):
            return f"{when} the date in trait '{_path(path)}'"
        case _:
            return f"{when} the date in {_value(edge.of)} of event '{edge.event}'"


def _when(edge: Edge) -> str:
    from datetime import timedelta

    from sync.language.constants import span_text

    if not edge.offset:
        return "at the instant of"
    return f"{span_text(abs(edge.offset))} {'after' if edge.offset > timedelta() else 'before'}"


def _path(path: Path) -> str:
    from sync.language.constants import path_text

    return path_text(path)


def _value(part: Reducible) -> str:
    from sync.language.text import text_of

    return text_of(part)
