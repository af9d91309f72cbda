"""Profiles and their identifiers: finding the people that a batch of calls is about, and writing what was learned.

The work on a batch is `People`: load everybody concerned in a few statements, place each call, write everybody back in a few
statements. The rules of identity are in `sync.profile`; here is only how to find and keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Connection, Select, delete, insert, select, update

from sync.call import Call, CallType
from sync.profile import Profile
from sync.store import dates
from sync.store.schema import calls, identifiers, profiles
from sync.store.types import to_micros

ANONYMOUS_ID: Final = "anonymous_id"

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
        self._merged: list[tuple[Profile, Profile]] = []

    @classmethod
    def concerned(cls, connection: Connection, batch: Sequence[Call]) -> People:
        """Load everybody that the calls name; those whose traits may change are locked against other writers."""
        people = cls()
        # A previous id may be a user's, who must then not be taken for an anonymous visitor.
        people._load_users(connection, {id for call in batch for id in (call.user_id, call.previous_id) if id})
        people._load_anonymous(connection, {id for call in batch for id in (call.anonymous_id, call.previous_id) if id})
        people._load_traits(connection, {call.user_id for call in batch if _teaches(call)}, _linking(batch))
        return people

    def place(self, call: Call) -> Profile:
        """Return whose call it is, after taking in whatever it says about them."""
        anonymous = call.previous_id if call.type is CallType.ALIAS and call.previous_id else call.anonymous_id
        profile = self._user(call.user_id, anonymous) if call.user_id else self._anonymous(anonymous or "")
        if call.type is CallType.IDENTIFY:
            profile.learn(call.properties, to_micros(call.timestamp))
        return profile

    def resolve(self, profile: Profile) -> Profile:
        """Return the profile into which one was merged since its call was placed; itself where it was not."""
        for loser, winner in self._merged:
            if loser is profile:
                return winner
        return profile

    def write(self, connection: Connection, now: datetime, arrival: int) -> None:
        """Write new, changed and merged profiles, as of an arrival."""
        self._insert_new(connection, now, arrival)
        self._insert_identifiers(connection)
        self._update_changed(connection, arrival)
        for loser, winner in self._merged:
            if loser.id is not None:
                _move(connection, loser.id, winner.id, arrival)

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
        self._merged = [(earlier, winner if into is loser else into) for earlier, into in self._merged]
        self._merged.append((loser, winner))
        self._by_anonymous = {id: winner if owner is loser else owner for id, owner in self._by_anonymous.items()}
        self._new = [profile for profile in self._new if profile is not loser]

    def _made(self, profile: Profile) -> Profile:
        self._new.append(profile)
        return profile

    def _own(self, anonymous_id: str, profile: Profile) -> None:
        self._by_anonymous[anonymous_id] = profile
        self._new_anonymous_ids.append(anonymous_id)

    def _load_users(self, connection: Connection, user_ids: Iterable[str]) -> None:
        for some in portions(sorted(user_ids)):
            for row in connection.execute(select(profiles.c.id, profiles.c.user_id).where(profiles.c.user_id.in_(some))):
                self._by_user[row.user_id] = Profile(id=row.id, user_id=row.user_id)

    def _load_anonymous(self, connection: Connection, anonymous_ids: Iterable[str]) -> None:
        by_id = {profile.id: profile for profile in self._by_user.values()}
        for some in portions(sorted(anonymous_ids)):
            for row in connection.execute(_owners(some)):
                owner = by_id.setdefault(row.id, Profile(id=row.id, user_id=row.user_id))
                self._by_anonymous[row.value] = owner

    def _load_traits(self, connection: Connection, user_ids: set[str | None], anonymous_ids: set[str]) -> None:
        learning = [self._by_user[id] for id in user_ids if id in self._by_user]
        learning += [self._by_anonymous[id] for id in anonymous_ids if id in self._by_anonymous]
        by_id = {profile.id: profile for profile in learning}
        for some in portions(sorted(id for id in by_id if id is not None)):
            # In the order of ids: two writers that lock the same people in different orders would wait for each other for ever.
            wanted = select(profiles).where(profiles.c.id.in_(some)).order_by(profiles.c.id).with_for_update()
            for row in connection.execute(wanted):
                by_id[row.id].traits, by_id[row.id].traits_at = row.traits, row.traits_at

    def _insert_new(self, connection: Connection, now: datetime, arrival: int) -> None:
        if not self._new:
            return
        statement = insert(profiles).returning(profiles.c.id, sort_by_parameter_order=True)
        same = {"created_at": now, "arrival": arrival, "traits_arrival": arrival}
        rows = [{"user_id": made.user_id, "traits": made.traits, "traits_at": made.traits_at, **same} for made in self._new]
        for profile, id in zip(self._new, connection.scalars(statement, rows), strict=True):
            profile.id, profile.changed = id, False
        dates.add(connection, [row for made in self._new for row in dates.of_traits(_id(made), made.traits)])

    def _insert_identifiers(self, connection: Connection) -> None:
        rows = [
            {"type": ANONYMOUS_ID, "value": id, "profile_id": self._by_anonymous[id].id} for id in sorted(self._new_anonymous_ids)
        ]
        if rows:
            connection.execute(insert(identifiers), rows)

    def _update_changed(self, connection: Connection, arrival: int) -> None:
        losers = {id(loser) for loser, _ in self._merged}
        everybody = {id(profile): profile for profile in (*self._by_user.values(), *self._by_anonymous.values())}
        changed = [profile for key, profile in everybody.items() if profile.changed and key not in losers]
        for profile in sorted(changed, key=_id):
            learned = {"traits_arrival": arrival} if profile.news else {}
            statement = update(profiles).where(profiles.c.id == profile.id)
            connection.execute(statement.values(traits=profile.traits, traits_at=profile.traits_at, **learned))
        dates.replace_traits(connection, [(_id(profile), profile.traits, profile.news) for profile in changed if profile.news])


def _id(profile: Profile) -> int:
    assert profile.id is not None, "it has been written"
    return profile.id


def portions(items: Iterable[Item], size: int = IN_ONE_STATEMENT) -> Iterator[list[Item]]:
    """Cut a sequence into lists that one statement can take."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _teaches(call: Call) -> bool:
    # Any call with both ids may merge an anonymous profile's traits into the user's.
    return call.type is CallType.IDENTIFY or bool(call.user_id and (call.anonymous_id or call.previous_id))


def _linking(batch: Iterable[Call]) -> set[str]:
    return {id for call in batch if _teaches(call) for id in (call.anonymous_id, call.previous_id) if id}


def _owners(anonymous_ids: Sequence[str]) -> Select[tuple[int, str | None, str]]:
    joined = identifiers.join(profiles, profiles.c.id == identifiers.c.profile_id)
    wanted = (identifiers.c.type == ANONYMOUS_ID) & identifiers.c.value.in_(anonymous_ids)
    return select(profiles.c.id, profiles.c.user_id, identifiers.c.value).select_from(joined).where(wanted)


def _move(connection: Connection, loser: int, winner: int | None, arrival: int) -> None:
    """Give everything of an anonymous profile to a user's; it has no memberships, which only users have."""
    connection.execute(update(calls).where(calls.c.profile_id == loser).values(profile_id=winner))
    connection.execute(update(identifiers).where(identifiers.c.profile_id == loser).values(profile_id=winner))
    dates.move(connection, loser, winner)
    connection.execute(delete(profiles).where(profiles.c.id == loser))
    connection.execute(update(profiles).where(profiles.c.id == winner).values(arrival=arrival))
