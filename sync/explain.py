"""Explain: why a user is, or is not, in an audience, or has the value of a computed trait that they have.

The answer is worked out by evaluation, as of an instant, over what the store holds now; what the ledger says, by the last run, and
what Moesif was told are put beside it, and differ where a run is still to come. Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from sync.audience import Kind
from sync.delivery import State
from sync.errors import InputError
from sync.instant import iso, optional_iso
from sync.json_value import Json, decode
from sync.language import explaining
from sync.language.explaining import Compared, Evidence, Explained, Happened, Joined, Looked, NextChange, Occurred
from sync.language.parse import parse_audience, parse_computed_trait
from sync.language.reading import Profile
from sync.language.reads import reads
from sync.language.tree import Query
from sync.profile import same
from sync.store import Store, audiences, evidence, purges
from sync.store.audiences import Stored
from sync.store.evidence import Referred, Standing, StoredEvent, Turn

MOST_EVENTS: Final = 100_000
MOST_WORK: Final = 2_000_000
"""How many events an answer may look at, all over: a second or two, for each node of the query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What Moesif was told last, as far as it is known."""

    value: Json
    """None where it was never told anything, or it is not known which value arrived."""
    at: datetime | None
    """When Moesif took it; None where it did not, or where that is not known."""
    state: State
    attempts: int
    """Since it was owed."""
    reason: str | None
    """Why it was not accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What the ledger had at an instant."""

    value: Json
    """true or false; of a computed trait its value, None where it had none any more."""
    since: datetime
    turn: Turn | None
    """The change that made it so; None where that is no longer kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One user, one audience or computed trait, one instant."""

    stored: Stored
    user_id: str
    at: datetime
    condition: Explained
    """Its value is the answer."""
    next_change: NextChange
    recorded: Recorded | None
    """What the ledger had at the instant; None where the user never was in until then, or never had a value."""
    standing: Standing | None
    """The ledger's row, as of the last run, whatever the instant."""
    references: Mapping[str, Referred]
    """By key: the audiences and computed traits among the traits that the query reads."""

    @property
    def value(self) -> Json:
        """The answer: true or false, or a computed trait's value, None where it has none."""
        return self.condition.value

    @property
    def member(self) -> bool:
        """Whether the user is in, or has a value."""
        return self.value is True if self.stored.is_audience else self.value is not None

    @property
    def said(self) -> Json:
        """What the ledger said at the instant, in the same terms as `value`."""
        nothing: Json = False if self.stored.is_audience else None
        return nothing if self.recorded is None else self.recorded.value

    @property
    def in_step(self) -> bool:
        """Whether the ledger said the same as the evaluation."""
        return self.stored.computed_at is not None and alike(self.said, self.value)

    @property
    def since(self) -> datetime | None:
        """Since when it has been so; None where it never was otherwise, or no run has recorded it yet."""
        return self.recorded.since if self.recorded is not None and self.in_step else None

    @property
    def told(self) -> Told | None:
        """What Moesif was told; None where there was never anything to tell."""
        return None if self.standing is None else _told(self.standing)


def explain(store: Store, key: str, user_id: str, at: datetime | None, now: datetime) -> Explanation:
    """Explain one user and one audience or computed trait, as of an instant, or as of now.

    Events that are stamped later do not count yet; traits are as they are now. Raises NotFound, and InputError for a retired
    definition and for a user about whom there is too much to go through.
    """
    with store.snapshot() as connection:
        stored = audiences.by_key(connection, key)
        if stored.retired_at is not None:
            raise InputError(f"{key} is retired, since {stored.retired_at:%Y-%m-%d}: it is no longer computed, and has no members")
        profile_id, traits = evidence.traits_of(connection, user_id)
        query = _parsed(stored)
        if at is not None:
            purges.require_calls(connection, query, at)
            purges.require_changes(connection, at)
        others = {one.key: one for one in audiences.standing(connection)} if reads(query).traits else {}
        referred = _referred_by(query, others)
        looks_at = [reads(one) for one in (query, *referred.values())]
        references = evidence.references_of(connection, profile_id, reads(query).traits & others.keys())
        events = evidence.events_of(
            connection,
            profile_id,
            frozenset().union(*(one.events for one in looks_at)),
            context=any(one.context for one in looks_at),
            limit=MOST_EVENTS + 1,
        )
        turn = evidence.last_turn(connection, stored.id, profile_id, at)
        standing = evidence.standing(connection, stored.id, profile_id)
    profile = Profile(traits=traits | {name: _meant(one) for name, one in references.items()}, events=events)
    _require_moderate(query, profile)
    instant = at or now
    return Explanation(
        stored=stored,
        user_id=user_id,
        at=instant,
        condition=explaining.explain(query, profile, instant),
        next_change=explaining.next_change(query, profile, instant, MOST_WORK, referred),
        recorded=_recorded(turn, standing, at),
        standing=standing,
        references=references,
    )


def alike(first: Json, second: Json) -> bool:
    """Whether two values are one; 1 and 1.0 are, since a database may write either, but 1 and true are not."""
    numbers = (int, float)
    if isinstance(first, numbers) and isinstance(second, numbers) and not isinstance(first, bool) and not isinstance(second, bool):
        return first == second
    return same(first, second)


def _parsed(stored: Stored) -> Query:
    return _query(stored.definition.kind, stored.definition.query)


@lru_cache(maxsize=1_000)
def _query(kind: Kind, text: str) -> Query:
    # Parsing takes longer than looking the user up.
    return parse_audience(text) if kind is Kind.AUDIENCE else parse_computed_trait(text)


def _referred_by(query: Query, others: Mapping[str, Stored]) -> dict[str, Query]:
    """Return the queries that a query refers to and that runs keep up with time, each after those that it refers to in turn."""
    found: dict[str, Query] = {}
    for key in sorted(key for key in reads(query).traits & others.keys() if others[key].definition.enabled):
        inner = _parsed(others[key])
        found |= {**_referred_by(inner, others), key: inner}
    return found


def _meant(reference: Referred) -> Json:
    if reference.kind is Kind.AUDIENCE:
        return reference.value == "true"
    return _json(reference.value)


def _require_moderate(query: Query, profile: Profile) -> None:
    if len(profile.events) > MOST_EVENTS or explaining.work(query, profile) > MOST_WORK:
        kept = f"more than {MOST_EVENTS:,}" if len(profile.events) > MOST_EVENTS else f"{len(profile.events):,}"
        raise InputError(f"this user has {kept} events that the query reads, too many to go through one by one")


def _recorded(turn: Turn | None, standing: Standing | None, at: datetime | None) -> Recorded | None:
    if turn is not None:
        return Recorded(value=_json(turn.value), since=turn.at, turn=turn)
    if standing is not None and (at is None or standing.since <= at):
        return Recorded(value=_json(standing.value), since=standing.since, turn=None)
    return None


def _json(text: str | None) -> Json:
    return None if text is None else decode(text)


def _told(row: Standing) -> Told:
    state = State(row.state)
    accepted, owed, sent = map(_json, (row.accepted, row.value, row.sent))
    last = {State.SENDING: sent, State.REJECTED: owed, State.UNKNOWN: None}.get(state, accepted)
    at = row.accepted_at if state in (State.SETTLED, State.OWED) else None
    return Told(value=last, at=at, state=state, attempts=row.attempts, reason=row.reason)


# ── as JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(found: Explanation, most_events: int) -> dict[str, Json]:
    """Write an explanation as JSON; of the events that bear a node out, up to so many are listed. Names and shapes are fixed."""
    standing, told, recorded = found.standing, found.told, found.recorded
    return {
        "audience": found.stored.key,
        "kind": found.stored.definition.kind.value,
        "user_id": found.user_id,
        "at": optional_iso(found.at),
        "member": found.member,
        **({} if found.stored.is_audience else {"value": found.value}),
        "since": optional_iso(found.since),
        "next_change_at": optional_iso(found.next_change.at),
        "next_change_known": found.next_change.is_known,
        "computed_at": optional_iso(found.stored.computed_at),
        "in_step": found.in_step,
        "recorded": None if recorded is None else {"value": recorded.value, "since": optional_iso(recorded.since)},
        "run": None if recorded is None or recorded.turn is None else _run(recorded.turn),
        "told": None if told is None else _told_report(told),
        "accepted": None if standing is None else _json(standing.accepted),
        "accepted_at": None if standing is None else optional_iso(standing.accepted_at),
        "query": found.stored.definition.query,
        "condition": _node(found.condition, found.references, most_events),
    }


def _run(turn: Turn) -> Json:
    return {"id": turn.run_id, "at": optional_iso(turn.run_at), "started_at": optional_iso(turn.started_at)}


def _told_report(told: Told) -> Json:
    return {
        "value": told.value,
        "at": optional_iso(told.at),
        "state": told.state.value,
        "attempts": told.attempts,
        "reason": told.reason,
    }


def _node(node: Explained, references: Mapping[str, Referred], most: int) -> Json:
    return {
        "text": node.text,
        "value": node.value,
        "evidence": _evidence(node.evidence, references, most),
        "parts": [_node(part, references, most) for part in node.parts],
    }


def _evidence(shown: Evidence, references: Mapping[str, Referred], most: int) -> Json:
    match shown:
        case Joined(word=word, holding=holding, of=of):
            return {"operator": word, "holding": holding, "of": of}
        case Compared(left=left, operator=operator, right=right):
            return {"left": [*left], "operator": operator, "right": [*right]}
        case Looked(key=key, found=found):
            return {"trait": key, "found": [*found], "ledger": _referred(references.get(key))}
        case Happened():
            return _events(shown, most)


def _referred(reference: Referred | None) -> Json:
    if reference is None:
        return None
    since = optional_iso(reference.since)
    return {"key": reference.key, "kind": reference.kind.value, "since": since, "computed_at": optional_iso(reference.computed_at)}


def _events(shown: Happened, most: int) -> Json:
    listed: list[Json] = [_event(one, shown.reads) for one in shown.events[:most]]
    return {
        "event": shown.name,
        "counted": len(shown.events),
        "of": shown.of,
        "last": optional_iso(shown.last),
        "reads": shown.reads,
        "events": listed,
        "more": len(shown.events) - len(listed),
    }


def _event(one: Occurred, reads_: str | None) -> Json:
    message_id = one.event.message_id if isinstance(one.event, StoredEvent) else None
    found: dict[str, Json] = {"timestamp": iso(one.event.timestamp), "message_id": message_id}
    return found if reads_ is None else found | {"value": one.value}
