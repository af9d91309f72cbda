"""What must be true of the store and of Moesif after everything that can happen.

Knows the calls that were answered 200, and works out by itself what follows from them; asks the program nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select, union_all

from sync.json_value import decode, encode
from sync.membership import Outcome
from sync.payload.bodies import transaction_id
from sync.standin import Taken
from sync.store import Store, basis, runs
from sync.store import schema as t

Call = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """What follows from the calls about one user, in the order sent."""

    n: int | None = None
    on: bool | None = None
    orders: int = 0

    @property
    def told(self) -> dict[str, Any]:
        """What Moesif must have in the user's metadata; of an audience in which a user never was it may have nothing."""
        active = self.on is True
        return {
            "n": self.n,
            "on": self.on,
            "orders": self.orders,
            "active": active,
            "regulars": active and self.orders >= 20,
        }


def expected(calls: Iterable[Call]) -> dict[str, Expected]:
    found: dict[str, Expected] = defaultdict(Expected)
    for call in calls:
        before = found[call["userId"]]
        if call["type"] == "track":
            found[call["userId"]] = replace(before, orders=before.orders + 1)
        else:
            found[call["userId"]] = Expected(call["traits"]["n"], call["traits"]["on"], before.orders)
    return dict(found)


def stored_once(store: Store, answered: Mapping[str, Call]) -> None:
    """Every call that was answered 200 is stored, and nothing is stored twice, or that nobody sent."""
    with store.reading() as connection:
        stored = Counter(connection.scalars(select(t.calls.c.message_id)))
    assert not answered.keys() - stored.keys(), "answered 200 and lost"
    assert set(stored.values()) <= {1}, "stored twice"


def stored_exactly(store: Store, answered: Mapping[str, Call]) -> None:
    """As `stored_once`, and nothing else: for the end, when everything that was sent has been answered."""
    stored_once(store, answered)
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(t.calls)) == len(answered)


def invalid_ones_are_listed(store: Store, refused: Mapping[str, int]) -> None:
    """Each invalid call that was answered 200 is listed once; one that was sent again without an answer, each time at most."""
    with store.reading() as connection:
        listed = Counter(str(decode(body)["messageId"]) for body in connection.scalars(select(t.rejected_calls.c.body)))  # type: ignore[call-overload,index]
    assert listed.keys() == refused.keys(), "an invalid call was lost, or nobody sent it"
    assert all(listed[id] <= sent for id, sent in refused.items()), "an invalid call is listed twice"


def ledger(store: Store) -> dict[str, dict[str, Any]]:
    """Return what is true now, by user and key; nothing may be owed any more."""
    m = t.memberships.c
    statement = (
        select(t.profiles.c.user_id, t.audiences.c.key, m.value, m.accepted, m.state)
        .join(t.profiles, t.profiles.c.id == m.profile_id)
        .join(t.audiences, t.audiences.c.id == m.audience_id)
    )
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    with store.reading() as connection:
        for user, key, value, accepted, state in connection.execute(statement):
            assert (accepted, state) == (value, "settled"), (user, key, value, accepted, state)
            found[user][key] = decode(value)
    return dict(found)


class Received:
    """What the stand-in has been told of whom, ever; what was looked at once is not looked at again."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()
        self._looked_at = 0

    def by(self, history: Sequence[Taken]) -> Set[tuple[str, str, str]]:
        """Return (user, key, value as JSON) of all that was taken until now, at the end of which stands what is new."""
        for taken in history[self._looked_at :]:
            for document in taken.documents if taken.lane == "users" else ():
                metadata: Any = document.get("metadata", {})
                self._told |= {(str(document["user_id"]), key, encode(value)) for key, value in metadata.items()}
        self._looked_at = len(history)
        return self._told


def nothing_is_claimed(store: Store, received: Set[tuple[str, str, str]]) -> None:
    """What the ledger holds as accepted has been received, at any moment, whoever died."""
    m = t.memberships.c
    statement = (
        select(t.profiles.c.user_id, t.audiences.c.key, m.accepted)
        .join(t.profiles, t.profiles.c.id == m.profile_id)
        .join(t.audiences, t.audiences.c.id == m.audience_id)
        .where(m.accepted.is_not(None))
    )
    with store.reading() as connection:
        claimed = {(row[0], row[1], row[2]) for row in connection.execute(statement)}
    assert claimed <= received, f"accepted by the ledger, and never received: {claimed - received}"


def runs_balance(store: Store) -> None:
    """The counts of every run come out, and none is still delivering; what one had left when it died, the next one answered for."""
    with store.reading() as connection:
        for run in runs.recent(connection, None, 1_000_000):
            assert run.balanced, run
            assert run.outcome is Outcome.DONE or (run.outcome is Outcome.INCOMPLETE and run.held + run.unknown), run


def changes_lead_to_the_ledger(store: Store) -> None:
    """Replayed from empty, the changes of every user and audience alternate and end at what the ledger has."""
    m, c = t.memberships.c, t.changes.c
    with store.reading() as connection:
        last: dict[tuple[int, int], str | None] = {}
        for audience, profile, value in connection.execute(select(c.audience_id, c.profile_id, c.value).order_by(c.run_id)):
            assert last.get((audience, profile)) != value, "the same change twice"
            last[audience, profile] = value
        now = {(row[0], row[1]): row[2] for row in connection.execute(select(m.audience_id, m.profile_id, m.value))}
    assert last == now


def moesif_holds(
    users: Mapping[str, Mapping[str, Any]], answered: Mapping[str, Call], held: Mapping[str, Mapping[str, Any]]
) -> None:
    """Moesif has of each user exactly what follows from the calls, and what the ledger says."""
    wanted = expected(answered.values())
    for user, one in wanted.items():
        metadata: Any = users.get(user, {}).get("metadata", {})
        said = {key: metadata.get(key) for key in ("n", "on", "orders")}
        said |= {key: metadata.get(key, False) for key in ("active", "regulars")}
        assert said == one.told, f"{user} at Moesif: {said}; by the calls: {one.told}; in the ledger: {held.get(user)}"
        assert {key: metadata.get(key) for key in held.get(user, {})} == held.get(user, {}), user
    assert users.keys() <= wanted.keys()


def actions_are_there_once(actions: Sequence[Mapping[str, Any]], answered: Mapping[str, Call]) -> None:
    """Moesif has one action for each track call: what was sent again carried the same transaction id."""
    ids = Counter(action["transaction_id"] for action in actions)
    assert set(ids) == {transaction_id(id) for id, call in answered.items() if call["type"] == "track"}
    assert set(ids.values()) <= {1}


def nothing_newer_was_overtaken(history: Sequence[Taken]) -> None:
    """For each user, the numbers that only rise (of the latest identify, of orders) rose at Moesif, too."""
    seen: dict[tuple[str, str], list[int]] = defaultdict(list)
    for taken in history:
        for document in taken.documents if taken.lane == "users" else ():
            metadata: Any = document.get("metadata", {})
            for key in metadata.keys() & {"n", "orders"}:
                seen[str(document["user_id"]), key].append(metadata[key])
    for user_and_key, values in seen.items():
        assert all(one <= other for one, other in pairwise(values)), _around(history, *user_and_key)


def sent_twice(history: Sequence[Taken]) -> int:
    """Count the actions that were taken more than once."""
    ids = Counter(str(document["transaction_id"]) for taken in history if taken.lane == "actions" for document in taken.documents)
    return sum(number - 1 for number in ids.values())


def nothing_is_queued(store: Store) -> bool:
    with store.reading() as connection:
        return connection.scalar(select(func.count()).select_from(t.deliveries)) == 0


def everything_is_computed(store: Store) -> bool:
    """Whether the last run of every audience has seen all that is stored: one may be older than the latest call, another not."""
    latest = [select(func.max(table.c.arrival).label("arrival")) for table in (t.calls, t.profiles)]
    newest = union_all(*latest).subquery()
    with store.reading() as connection:
        arrived = connection.scalar(select(func.max(newest.c.arrival)))
        seen = [basis.from_json(text) for text in connection.scalars(select(t.audiences.c.basis))]
    return all(one is not None and one.mark.number > (arrived or 0) for one in seen)


def _around(history: Sequence[Taken], user: str, key: str) -> str:
    """Say how a user's values came, for whoever has to find out why one was overtaken."""
    lines = [
        f"arrived {taken.arrived:.3f} taken {taken.taken:.3f} {document['metadata']}"
        for taken in history
        for document in (taken.documents if taken.lane == "users" else ())
        if document["user_id"] == user and key in str(document.get("metadata"))
    ]
    return "\n".join([f"{user}, {key}:", *lines])
