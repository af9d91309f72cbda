"""Profiles and their identifiers: finding the people that a batch of calls is about, and writing what was learned.

The work on a batch is `People`: load everybody concerned in a few statements, place each call, write everybody back in a few
statements. The rules of identity are in `sync.profile`; here is only how to find and keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import BigInteger, Connection, Table, Text, cast, delete, func, select, update

from sync.call import Call, CallType
from sync.json_value import decode
from sync.profile import Profile
from sync.store import bulk, dates, listed
from sync.store.bulk import Question
from sync.store.prepared import Prepared, told
from sync.store.schema import calls, identifiers, profiles
from sync.store.types import to_micros, to_text

ANONYMOUS_ID: Final = "anonymous_id"

# Named once, since that takes its time and is done for every call.
_IDENTIFY: Final = CallType.IDENTIFY

IN_ONE_STATEMENT: Final = 500
"""How many values a statement lists: far below SQLite's limit, and enough that the round trip does not count."""

Item = TypeVar("Item")


class People:
    """The profiles that a batch of calls concerns. Place every call, then write; the calls' profiles have ids after that."""

    def __init__(self) -> None:
        self._by_user: dict[str, Profile] = {}
        self._by_anonymous: dict[str, Profile] = {}
        self._new: list[Profile] = []
        self._new_anonymous_ids: list[str] = []
        # (loser, winner), by which object the loser is. A winner is a user, and users are never merged into anybody.
        self._merged: dict[int, tuple[Profile, Profile]] = {}
        # Whose traits are asked for, by id.
        self._learning: dict[int, Profile] = {}

    @staticmethod
    def wanted(batch: Sequence[Call]) -> tuple[Question, Question]:
        """Return what to ask of the calls' users, and of their anonymous ids; both answers go to `of`."""
        # A previous id may be a user's, who must then not be taken for an anonymous visitor.
        users = {id for call in batch for id in (call.user_id, call.previous_id) if id}
        visitors = {id for call in batch for id in _visitors(call)}
        return Question(_USERS, {"ids": listed.values(users)}), Question(_OWNERS, {"ids": listed.values(visitors)})

    @classmethod
    def of(cls, users: Iterable[tuple[int, str]], owners: Iterable[tuple[int, str | None, str]]) -> People:
        """Return everybody whom a batch names and the store knows."""
        people = cls()
        for id, user_id in users:
            people._by_user[user_id] = Profile(id=id, user_id=user_id)
        by_id = {profile.id: profile for profile in people._by_user.values()}
        for id, user, anonymous_id in owners:
            people._by_anonymous[anonymous_id] = by_id.setdefault(id, Profile(id=id, user_id=user))
        return people

    def traits_wanted(self, batch: Iterable[Call]) -> Question:
        """Return what to ask of those whose traits the calls may change; it locks them, and the answer goes to `take_traits`."""
        teaching = [call for call in batch if self._may_teach(call)]
        learning = [self._by_user[call.user_id] for call in teaching if call.user_id in self._by_user]
        learning += [self._by_anonymous[id] for call in teaching for id in _visitors(call) if id in self._by_anonymous]
        self._learning = {_id(profile): profile for profile in learning}
        return Question(_TRAITS, {"ids": listed.values(self._learning)})

    def take_traits(self, answer: Iterable[tuple[int, str, str]]) -> None:
        """Take in the traits of whoever may learn some."""
        for id, traits, traits_at in answer:
            self._learning[id].traits, self._learning[id].traits_at = _document(traits), _document(traits_at)

    def strangers(self, batch: Iterable[Call]) -> int:
        """Return how many profiles the calls may make, at most."""
        users = {call.user_id for call in batch if call.user_id}
        visitors = {id for call in batch for id in _visitors(call)}
        return len(users - self._by_user.keys()) + len(visitors - self._by_anonymous.keys())

    def place(self, call: Call) -> Profile:
        """Return whose call it is, after taking in whatever it says about them."""
        # Only an alias call has a previous one.
        anonymous = call.previous_id or call.anonymous_id
        profile = self._user(call.user_id, anonymous) if call.user_id else self._anonymous(anonymous or "")
        if call.type is _IDENTIFY:
            profile.learn(call.properties, to_micros(call.timestamp))
        return profile

    def id(self, profile: Profile) -> int:
        """Return the id of a profile, or of the one into which it was merged since its call was placed."""
        merged = self._merged.get(id(profile))
        return _id(merged[1] if merged else profile)

    def write(self, connection: Connection, ids: Sequence[int], now: datetime, arrival: int) -> list[dates.Found]:
        """Write new, changed and merged profiles, as of an arrival, and return the dates that are to be kept of them.

        `ids` are for the new ones, and are enough.
        """
        found = self._insert_new(connection, ids, now, arrival)
        self._insert_identifiers(connection)
        merged = {loser.id: _id(winner) for loser, winner in self._merged.values() if loser.id is not None}
        found += dates.of_merged(connection, merged)
        changed = self._changed()
        if changed or merged:
            with bulk.together(connection):
                found += _update(connection, changed, arrival)
                _move(connection, merged, arrival)
        return found

    def _may_teach(self, call: Call) -> bool:
        """Return whether a call may change somebody's traits: by saying them, or by telling which user a visitor is."""
        if call.type is _IDENTIFY:
            return True
        return bool(call.user_id) and (self._may_be_visitors(call.anonymous_id) or self._may_be_visitors(call.previous_id))

    def _may_be_visitors(self, anonymous_id: str | None) -> bool:
        if not anonymous_id:
            return False
        # One that is not known yet may become a visitor's by an earlier call of the batch; a user's stays that user's.
        owner = self._by_anonymous.get(anonymous_id)
        return owner is None or owner.user_id is None

    def _user(self, user_id: str, anonymous_id: str | None) -> Profile:
        profile = self._by_user.get(user_id)
        if profile is None:
            profile = self._by_user[user_id] = self._made(Profile(user_id=user_id))
        if anonymous_id:
            self._link(profile, anonymous_id)
        return profile

    def _anonymous(self, anonymous_id: str) -> Profile:
        profile = self._by_anonymous.get(anonymous_id)
        if profile is None:
            profile = self._made(Profile())
            self._own(anonymous_id, profile)
        return profile

    def _link(self, user: Profile, anonymous_id: str) -> None:
        other = self._by_anonymous.get(anonymous_id)
        if other is None and anonymous_id not in self._by_user:
            self._own(anonymous_id, user)
        elif other is not None and other is not user and other.user_id is None:
            self._merge(other, user)

    def _merge(self, loser: Profile, winner: Profile) -> None:
        winner.absorb(loser)
        self._merged[id(loser)] = (loser, winner)
        self._by_anonymous = {id: winner if owner is loser else owner for id, owner in self._by_anonymous.items()}
        self._new = [profile for profile in self._new if profile is not loser]

    def _made(self, profile: Profile) -> Profile:
        self._new.append(profile)
        return profile

    def _own(self, anonymous_id: str, profile: Profile) -> None:
        self._by_anonymous[anonymous_id] = profile
        self._new_anonymous_ids.append(anonymous_id)

    def _insert_new(self, connection: Connection, ids: Sequence[int], now: datetime, arrival: int) -> list[dates.Found]:
        made = list(zip(ids[: len(self._new)], self._new, strict=True))
        since = to_micros(now)
        rows = [(id, one.user_id, to_text(one.traits), to_text(one.traits_at), since, arrival, arrival) for id, one in made]
        # In one order, so that two who bring the same people do not wait for each other.
        bulk.insert(connection, profiles, _COLUMNS, sorted(rows, key=lambda row: row[1] or ""))
        for id, profile in made:
            profile.id, profile.changed = id, False
        return [row for id, profile in made for row in dates.of_traits(id, profile.traits)]

    def _insert_identifiers(self, connection: Connection) -> None:
        rows = [(ANONYMOUS_ID, id, self._by_anonymous[id].id) for id in sorted(self._new_anonymous_ids)]
        bulk.insert(connection, identifiers, ("type", "value", "profile_id"), rows)

    def _changed(self) -> list[Profile]:
        everybody = {id(profile): profile for profile in (*self._by_user.values(), *self._by_anonymous.values())}
        return [profile for key, profile in everybody.items() if profile.changed and key not in self._merged]


_USERS: Final = Prepared(select(profiles.c.id, profiles.c.user_id).where(listed.one_of(profiles.c.user_id, "ids")))
_OWNERS: Final = Prepared(
    select(profiles.c.id, profiles.c.user_id, identifiers.c.value)
    .select_from(identifiers.join(profiles, profiles.c.id == identifiers.c.profile_id))
    .where(identifiers.c.type == ANONYMOUS_ID, listed.one_of(identifiers.c.value, "ids"))
)
# In the order of ids: two writers that lock the same people in different orders would wait for each other for ever. Not their keys,
# or each would wait for whoever has a call of theirs on the way, and those are in no order.
_TRAITS: Final = Prepared(
    select(profiles.c.id, cast(profiles.c.traits, Text), cast(profiles.c.traits_at, Text))
    .where(listed.one_of(profiles.c.id, "ids"))
    .order_by(profiles.c.id)
    .with_for_update(key_share=True)
)
_COLUMNS: Final = ("id", "user_id", "traits", "traits_at", "created_at", "arrival", "traits_arrival")


def _id(profile: Profile) -> int:
    assert profile.id is not None, "it has been written"
    return profile.id


def _document(text: str) -> dict[str, Any]:
    found = decode(text)
    assert isinstance(found, dict), "it was written as one"
    return found


def portions(items: Iterable[Item], size: int = IN_ONE_STATEMENT) -> Iterator[list[Item]]:
    """Cut a sequence into lists that one statement can take."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _visitors(call: Call) -> list[str]:
    """Return the ids in a call that a visitor may have."""
    return [id for id in (call.anonymous_id, call.previous_id) if id]


def _update(connection: Connection, changed: Sequence[Profile], arrival: int) -> list[dates.Found]:
    """Write the traits of profiles that are there, and return the dates in those that changed."""
    if not changed:
        return []
    rows = [
        {
            "id": _id(profile),
            "traits": to_text(profile.traits),
            "traits_at": to_text(profile.traits_at),
            "learned": arrival if profile.news else None,
        }
        for profile in changed
    ]
    _LEARNT.execute(connection, learnt=listed.documents(rows))
    return dates.of_changed(connection, [(_id(profile), profile.traits, profile.news) for profile in changed])


def _learnt() -> Prepared:
    new = listed.rows("learnt", {"id": BigInteger, "traits": Text, "traits_at": Text, "learned": BigInteger})
    values = {
        "traits": cast(new.c.traits, profiles.c.traits.type),
        "traits_at": cast(new.c.traits_at, profiles.c.traits_at.type),
        "traits_arrival": func.coalesce(new.c.learned, profiles.c.traits_arrival),
    }
    return Prepared(update(profiles).where(profiles.c.id == new.c.id).values(values))


_LEARNT: Final = _learnt()


def _move(connection: Connection, winners: Mapping[int, int], arrival: int) -> None:
    """Give everything of anonymous profiles to users', by profile id; they have no memberships, which only users have."""
    if not winners:
        return
    moved = listed.documents({"loser": loser, "winner": winner} for loser, winner in winners.items())
    losers = listed.values(winners)
    for statement in _MOVED:
        statement.execute(connection, moved=moved, losers=losers)
    _GONE.execute(connection, losers=losers)
    _WON.execute(connection, arrived=arrival, winners=listed.values({*winners.values()}))


_WINNERS: Final = listed.rows("moved", {"loser": BigInteger, "winner": BigInteger})


def _moved(table: Table) -> Prepared:
    # Said twice: of the rows alone PostgreSQL expects a hundred, and would rather read the whole table.
    theirs = (table.c.profile_id == _WINNERS.c.loser, listed.one_of(table.c.profile_id, "losers"))
    return Prepared(update(table).where(*theirs).values(profile_id=_WINNERS.c.winner))


_MOVED: Final = (_moved(calls), _moved(identifiers))
_GONE: Final = Prepared(delete(profiles).where(listed.one_of(profiles.c.id, "losers")))
_WON: Final = Prepared(
    update(profiles).where(listed.one_of(profiles.c.id, "winners")).values(arrival=told("arrived", BigInteger()))
)
