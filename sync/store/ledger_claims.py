"""Claims: which rows of the ledger are on their way to Moesif, with which value, and by whose right.

A claim is one row for many users who are told the same, since marking each of them in the ledger before it is settled was a good
part of what sending cost. What the ledger says of a row, owed or unknown, stays as it is until the answer comes, or until the
right ends under which it was claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    tuple_,
    update,
)

from sync.delivery import State
from sync.json_value import encode
from sync.store import bulk, leases
from sync.store.leases import Lease
from sync.store.listed import any_of, elements_of, ids_of, last_of, one_of, values
from sync.store.prepared import Prepared, told
from sync.store.schema import claims, memberships

CLAIMS: Final = "claims"
"""The name of the parameter for their ids."""

_COLUMNS: Final = ("id", "lease", "epoch", "audience_id", "sent", "profiles", "number")


_PROFILES: Final = ids_of(claims.c.profiles)
_EACH: Final = claims.join(_PROFILES, true())
_PROFILE: Final = _PROFILES.c.value

_FOUND: Final = Prepared(
    select(claims.c.id, claims.c.audience_id, claims.c.sent, claims.c.number)
    .where(one_of(claims.c.id, CLAIMS))
    .order_by(claims.c.id)
)
_ENDED: Final = Prepared(delete(claims).where(one_of(claims.c.id, CLAIMS)))


class Same(msgspec.Struct, frozen=True, gc=False):
    """Users who are told the same in one request."""

    audience_id: int
    sent: str
    """JSON."""
    profiles: Sequence[int]


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One of several whose rows are to be changed alike."""

    id: int
    audience_id: int
    sent: str


def make(connection: Connection, several: Sequence[Same], lease: Lease | None) -> Sequence[int]:
    """Write down what is about to be sent by a right of which this lease is one, and return the claims' ids, in order.

    Without a lease they are of nobody, and abandoned by whoever is next. The users of each stand in ascending order, whoever takes
    some of them out of it: by the last one is known which claims need not be read (`profiles_of`).
    """
    ids = bulk.new_ids(connection, claims, len(several))
    of = (lease.name, lease.epoch) if lease is not None else ("", 0)
    each = zip(ids, several, strict=True)
    rows = [(id, *of, one.audience_id, one.sent, encode(sorted(one.profiles)), len(one.profiles)) for id, one in each]
    bulk.insert(connection, claims, _COLUMNS, rows)
    return ids


def whole(connection: Connection, parts: Sequence[tuple[int, int]]) -> list[Claim]:
    """Return claims of these rows, (claim, profile), and of no others: those of which only some are meant are divided before.

    What was erased meanwhile, and what has been abandoned, is in none.
    """
    counts = Counter(id for id, _ in parts)
    rows: Sequence[Any] = _FOUND.execute(connection, **{CLAIMS: values(counts)}).all() if counts else []
    return [
        Claim(id if number == counts[id] else _divided(connection, id, {one for of, one in parts if of == id}), audience_id, sent)
        for id, audience_id, sent, number in rows
    ]


def _divided(connection: Connection, id: int, meant: set[int]) -> int:
    """Take some of a claim's rows into one of their own, and return its id."""
    row = connection.execute(select(claims).where(claims.c.id == id)).one()
    profile_ids = _decoded(row.profiles)
    left = {"profiles": encode([one for one in profile_ids if one not in meant]), "number": row.number - len(meant)}
    taken = {"profiles": encode([one for one in profile_ids if one in meant]), "number": len(meant)}
    (other,) = bulk.new_ids(connection, claims, 1)
    connection.execute(update(claims).where(claims.c.id == id).values(left))
    connection.execute(insert(claims).values({**row._mapping, "id": other, **taken}))
    return other


def end(connection: Connection, several: Iterable[Claim]) -> None:
    """Forget claims: what they had on the way is no longer."""
    _ENDED.execute(connection, **{CLAIMS: values([one.id for one in several])})


def dead(connection: Connection, now: datetime) -> list[Claim]:
    """Return the claims of those who have no right any more, and take them from whoever else is looking."""
    columns = (claims.c.id, claims.c.audience_id, claims.c.sent)
    left = select(*columns).where(~leases.is_held(claims.c.lease, claims.c.epoch, now)).order_by(claims.c.id)
    return [Claim(*row) for row in connection.execute(left.with_for_update(of=claims))]


def erase(connection: Connection, profile_id: int) -> None:
    """Take a user out of all claims. Their number stays: an answer about the user is one to a part of the claim."""
    for row in connection.execute(select(claims.c.id, claims.c.profiles).where(_has(profile_id))).all():
        others = [one for one in _decoded(row.profiles) if one != profile_id]
        connection.execute(update(claims).where(claims.c.id == row.id).values(profiles=encode(others)))


def _decoded(profile_ids: str) -> list[int]:
    return msgspec.json.decode(profile_ids, type=list[int])


def sent_to(connection: Connection, profile_id: int) -> dict[int, str]:
    """Return what is on the way to a user, by audience."""
    return dict(_SENT_TO.rows(connection, profile=profile_id))


def state() -> ColumnElement[str]:
    """Return the state of a row of the ledger as people see it."""
    return case((is_on_the_way(), State.SENDING.value), else_=memberships.c.state)


def is_on_the_way() -> ColumnElement[bool]:
    """Return whether a row of the ledger is in a claim."""
    claimed = _claimed()
    return tuple_(memberships.c.audience_id, memberships.c.profile_id).in_(select(claimed.c.audience_id, claimed.c.profile_id))


def profiles_of(audience_id: ColumnElement[int] | None = None, after: ColumnElement[int] | None = None) -> Select[Any]:
    """Select the profiles about whom something is on the way, of one audience or of any; all who come after one, and perhaps more.

    All claims are first made one array, for the reason that `_claimed` has. Whoever sends asks for those after the last one it has
    taken, who are in hardly any of its own claims: to read all that is on the way took most of the time of finding out who is next.
    """
    # Of a claim with nobody left there would be nothing between two commas.
    some = [claims.c.profiles != "[]"]
    if audience_id is not None:
        some.append(claims.c.audience_id == audience_id)
    if after is not None:
        some.append(last_of(claims.c.profiles) > after)
    listed = func.aggregate_strings(func.trim(claims.c.profiles, "[]"), ",")
    array = select(literal("[", Text()).concat(func.coalesce(listed, "")).concat("]")).where(*some).scalar_subquery()
    return select(ids_of(array).c.value)


def _claimed() -> FromClause:
    """Return (audience, profile) of all that is on the way.

    All claims are first made one document: how many rows that has PostgreSQL's planner always guesses alike. Of the table, which is
    filled and emptied all the time, it soon expects so many that it no longer hashes them and goes through them for each row.
    """
    one = literal('{"a":', Text()).concat(cast(claims.c.audience_id, Text)).concat(',"p":').concat(claims.c.profiles).concat("}")
    all_of_them = func.coalesce(func.aggregate_strings(one, ","), "")
    document = select(literal("[", Text()).concat(all_of_them).concat("]")).scalar_subquery()
    each = elements_of(document)
    profile_ids = elements_of(each.c.value.op("->")(literal("p", Text())))
    audience_id = cast(each.c.value.op("->>", return_type=Text())(literal("a", Text())), BigInteger)
    columns = (audience_id.label("audience_id"), cast(profile_ids.c.value, BigInteger).label("profile_id"))
    return select(*columns).select_from(each.join(profile_ids, true())).subquery()


def in_those() -> ColumnElement[bool]:
    """Return whether a row of the ledger, of one audience, is in one of the claims whose ids are told."""
    rows = select(_PROFILE).select_from(_EACH).where(one_of(claims.c.id, CLAIMS))
    return any_of(memberships.c.profile_id, rows)


def _has(profile_id: int | ColumnElement[int]) -> ColumnElement[bool]:
    return claims.c.id.in_(select(claims.c.id).select_from(_EACH).where(_PROFILE.in_([profile_id])))


_SENT_TO: Final = Prepared(select(claims.c.audience_id, claims.c.sent).where(_has(told("profile", BigInteger()))))
