"""The command that says why: explain; and how it prints a query's tree for people.

A condition is a line that begins with `yes` or `no`; below it, further in, stands what bears it out. What AND, OR and NOT join
stands below them, so that their own text is not written twice.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.options import At, JsonFlag, whole
from sync.cli.output import clean, count, facts, say, say_json, shown_at
from sync.cli.session import opened_app
from sync.instant import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.explain import Explanation, Recorded, Told
    from sync.json_value import Json
    from sync.language.explaining import Compared, Explained, Happened, Looked, Occurred
    from sync.store.evidence import Referred

LONGEST = 60
"""Characters of one value that are shown; --json has them all."""
STEP = "  "


def explain(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key of an audience or computed trait.")],
    id: Annotated[str, typer.Argument(metavar="ID", help="The user id.")],
    at: At = None,
    events: Annotated[
        int,
        typer.Option(
            "--events",
            parser=whole(0, 100_000),
            metavar="N",
            help="How many events to list below each node that they bear out; the counts are of all. Default: 3.",
        ),
    ] = 3,
    json: JsonFlag = False,
) -> None:
    """Say why a user is in an audience or not, or has a computed trait's value.

    Works the answer out as of now, or as of TIME, node by node of the query: its value, and the events, traits and thresholds that
    it comes from. Beside it stands what the last run recorded, since when and by which run, what Moesif was told, and when the
    answer will next change if no call comes in.
    """
    from sync.explain import explain as explain_one
    from sync.explain import report

    with opened_app() as app:
        found = explain_one(app.store, key, id, at, app.clock())
    if json:
        say_json(report(found, events))
        return
    say(_headline(found))
    facts(_facts(found))
    say()
    for line in _node(found.condition, found.references, events, ""):
        say(line)


# ── the facts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _headline(found: Explanation) -> str:
    key, user = found.stored.key, clean(found.user_id)
    if found.stored.is_audience:
        return f"{user} is {'in' if found.member else 'not in'} {key} as of {shown_at(found.at)}"
    return f"{key} of {user} is {_shown(found.value) if found.member else 'absent'} as of {shown_at(found.at)}"


def _facts(found: Explanation) -> dict[str, str]:
    return {
        "query": found.stored.definition.query.strip(),
        "since": _since(found),
        "ledger": _ledger(found),
        "Moesif": _moesif(found),
        "next change": _next_change(found),
    }


def _since(found: Explanation) -> str:
    if found.stored.computed_at is None:
        return "never computed yet"
    if not found.in_step:
        return "not recorded yet"
    if found.recorded is None:
        return "never in" if found.stored.is_audience else "never had a value"
    return _by_run(found.recorded)


def _by_run(recorded: Recorded) -> str:
    return shown_at(recorded.since) + ("" if recorded.turn is None else f", by run {recorded.turn.run_id}")


def _ledger(found: Explanation) -> str:
    stored = found.stored
    if stored.computed_at is None:
        return f"{stored.key} has not been computed yet: personas-sync sync {stored.key}"
    computed = f"computed as of {shown_at(stored.computed_at)}"
    if found.in_step:
        return f"says the same; {computed}{'' if stored.definition.enabled else '; not enabled'}"
    said = _standing(found, found.said) + ("" if found.recorded is None else f" since {_by_run(found.recorded)}")
    if found.at < stored.computed_at:
        return f"said {said} then; it is {computed} by now"
    newer = "; the query has changed since" if stored.computed_version != stored.version else ""
    return f"still says {said}; {computed}, not yet synced{newer}"


def _standing(found: Explanation, value: Json) -> str:
    if found.stored.is_audience:
        return "in" if value is True else "out"
    return "absent" if value is None else _shown(value)


def _moesif(found: Explanation) -> str:
    told, row = found.told, found.standing
    if told is None or row is None:
        return "was never told anything about it"
    accepted = f"{_json(row.accepted)} at {shown_at(row.accepted_at)}"
    if told.state.value == "settled":
        return "was never told anything about it" if row.accepted is None else f"accepted {accepted}"
    if row.accepted is not None:
        return f"{_state(told, _json(row.value))}; accepted last: {accepted}"
    # Where an answer is missing it may hold anything.
    nothing = "" if told.state.value == "unknown" else "; nothing accepted so far"
    return _state(told, _json(row.value)) + nothing


def _state(told: Told, owed: str) -> str:
    why = "" if told.reason is None else f" ({clean(told.reason)})"
    match told.state.value:
        case "owed":
            tried = f", tried {count(told.attempts, 'time')}" if told.attempts else ""
            return f"owed {owed}{tried}{why}"
        case "sending":
            return f"{_shown(told.value)} is on its way"
        case "unknown":
            return f"was told, and no answer is known{why}; {owed} goes first"
        case _:
            return f"rejected {owed}{why}"


def _next_change(found: Explanation) -> str:
    if not found.next_change.is_known:
        return "not worked out: too many events are still to pass"
    if found.next_change.at is None:
        return "none, unless calls come in"
    becomes = f"{'out' if found.member else 'in'} " if found.stored.is_audience else ""
    if found.next_change.at == found.at:
        return f"{becomes}as soon as {' and '.join(sorted(found.references))} is computed"
    return f"{becomes}at {iso(found.next_change.at)}, unless calls come in before"


# ── the tree ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _node(node: Explained, references: Mapping[str, Referred], most: int, indent: str) -> Iterator[str]:
    from sync.language.explaining import Compared, Happened, Joined, Looked

    evidence = node.evidence
    match evidence:
        case Joined(word=word, holding=holding, of=of):
            held = "" if word == "NOT" else f": {holding} of {of} hold{'s' if holding == 1 else ''}"
            yield from _folded(f"{_mark(node)}{word}{held}", indent)
            yield from _nodes(node.parts, references, most, indent + STEP)
        case Compared():
            yield from _folded(f"{_mark(node)}{clean(node.text)}", indent)
            yield from _comparison(node.parts, evidence, references, most, indent + " " * len(_mark(node)))
        case Looked():
            yield from _folded(_trait(node, evidence, references), indent)
        case Happened():
            yield from _of_events(node, evidence, references, most, indent, is_listed=True)


def _nodes(nodes: Sequence[Explained], references: Mapping[str, Referred], most: int, indent: str) -> Iterator[str]:
    for node in nodes:
        yield from _node(node, references, most, indent)


def _mark(node: Explained) -> str:
    return "yes  " if node.value is True else "no   "


def _comparison(
    parts: Sequence[Explained], evidence: Compared, references: Mapping[str, Referred], most: int, indent: str
) -> Iterator[str]:
    """Say what was compared with what, and what each side comes from; of what is made of events, where there is one, at once."""
    from sync.language.explaining import Happened

    # Of a span, both ends.
    joint = " to " if evidence.operator.startswith("within_") else ", "
    left, right = ", ".join(map(_shown, evidence.left)), joint.join(map(_shown, evidence.right))
    compared = f"{left} {evidence.operator} {right}".rstrip()
    if len(parts) == 1 and isinstance(parts[0].evidence, Happened):
        reduced, happened = parts[0], parts[0].evidence
        yield from _folded(f"{compared}: {_counted(happened)}{_last(happened)}", indent)
        yield from _listed(happened, most, indent + STEP)
        yield from _below(reduced, happened, references, most, indent)
        return
    yield from _folded(compared, indent)
    # A trait that is nothing but a trait has been said.
    told = [part for part in parts if isinstance(part.evidence, Happened) or _key(part) in references]
    yield from _nodes(told, references, most, indent)


def _key(node: Explained) -> str:
    from sync.language.explaining import Looked

    return node.evidence.key if isinstance(node.evidence, Looked) else ""


def _trait(node: Explained, evidence: Looked, references: Mapping[str, Referred]) -> str:
    said = f"{clean(node.text)} is {', '.join(map(_shown, evidence.found))}"
    reference = references.get(evidence.key)
    if reference is None:
        return said
    kind = reference.kind.value.replace("_", " ")
    since = "where the user never was" if reference.since is None else f"since {shown_at(reference.since)}"
    computed = "never computed yet" if reference.computed_at is None else f"computed as of {shown_at(reference.computed_at)}"
    return f"{said}: the {kind} {evidence.key} in the ledger, {since}; {computed}"


def _of_events(
    node: Explained, evidence: Happened, references: Mapping[str, Referred], most: int, indent: str, *, is_listed: bool
) -> Iterator[str]:
    """Write what has no yes or no, but events that count."""
    is_number_of_them = node.value == len(evidence.events) and not isinstance(node.value, bool)
    result = "" if is_number_of_them else f" is {_shown(node.value)}"
    counted = f"{clean(node.text)}{result}: {_counted(evidence)} '{clean(evidence.name)}'"
    if is_listed:
        yield from _folded(counted, indent)
        yield from _listed(evidence, most, indent + STEP)
    else:
        yield from _folded(counted + _newest(evidence), indent)
    yield from _below(node, evidence, references, most, indent + STEP)


def _below(node: Explained, evidence: Happened, references: Mapping[str, Referred], most: int, indent: str) -> Iterator[str]:
    """Write what a stream's events had to pass, or stands within that; its events are listed only to show what is read of them."""
    said = [part for part in node.parts if part.parts or part.value != len(evidence.events)]
    # One part alone that says the same says nothing; of no event there is nothing to say.
    if evidence.of and (said or len(node.parts) > 1):
        for part in node.parts:
            yield from _filter(part, references, most, indent)


def _filter(node: Explained, references: Mapping[str, Referred], most: int, indent: str) -> Iterator[str]:
    from sync.language.explaining import Happened

    if len(node.parts) == 1 and node.text == f"where({node.parts[0].text})":
        # The condition says the same, and more.
        node = replace(node.parts[0], text=node.text)
    if isinstance(node.evidence, Happened):
        is_listed = node.evidence.reads is not None
        yield from _of_events(node, node.evidence, references, most, indent, is_listed=is_listed)
    else:
        yield from _node(node, references, most, indent)


def _counted(evidence: Happened) -> str:
    return f"{len(evidence.events):,} of {count(evidence.of, 'event')}"


def _newest(evidence: Happened) -> str:
    """Name one of the events that are counted and not listed, where they are not all."""
    if not 0 < len(evidence.events) < evidence.of:
        return ""
    return f", the newest of them at {shown_at(evidence.events[0].event.timestamp)}"


def _last(evidence: Happened) -> str:
    return "" if evidence.last is None else f", the last at {shown_at(evidence.last)}"


def _listed(evidence: Happened, most: int, indent: str) -> Iterator[str]:
    if not evidence.events or most == 0:
        return
    listed = [_event(one, evidence.reads) for one in evidence.events[:most]]
    left = len(evidence.events) - len(listed)
    for line in [*listed, *([f"and {left:,} more"] if left else [])]:
        yield from _folded(line, indent)


def _event(one: Occurred, reads: str | None) -> str:
    return shown_at(one.event.timestamp) if reads is None else f"{shown_at(one.event.timestamp)}  {reads} = {_shown(one.value)}"


def _shown(value: Json) -> str:
    from sync.json_value import encode

    if value is None:
        return "absent"
    text = clean(encode(value))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _json(text: str | None) -> str:
    from sync.json_value import decode

    return "nothing" if text is None else _shown(decode(text))


def _folded(line: str, indent: str) -> list[str]:
    """Break a line where it would be too long, and let what follows stand further in."""
    width = max(shutil.get_terminal_size((80, 24)).columns, len(indent) + 40)
    return textwrap.wrap(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=indent + STEP * 2,
        break_on_hyphens=False,
        break_long_words=False,
        replace_whitespace=False,
    ) or [indent]
