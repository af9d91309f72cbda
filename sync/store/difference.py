"""What a run finds: how what was computed differs from the ledger, for everyone or for those who need looking at.

The difference stands in a temporary table of the connection's own, set-wise, however large. Nothing is recorded here and no lock is
held, so that other writers need not wait for the large query; `sync.store.ledger` records it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, func, insert, literal, null, select, true, union_all

from sync.json_value import encode
from sync.membership import IN, OUT
from sync.store.audiences import Stored
from sync.store.candidates import Candidates
from sync.store.dialect import CANDIDATES, COMPUTED, DIFFERENCE, analyze, emptied, upsert
from sync.store.profiles import portions
from sync.store.schema import memberships, profiles

IN_ONE_STATEMENT: Final = 100
"""How many selects are put into one; SQLite takes 500."""

Compiled: TypeAlias = Callable[[Select[Any] | None], Select[Any]]
"""Gives the statement that computes (profile_id, value) among the selected profiles, or of everyone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What a run would change; the rows themselves are in a table of the connection's own."""

    table: Table | None
    """None where nobody had to be looked at."""
    before: int
    """How many were in, or had a value."""
    entered: int
    exited: int
    changed: int

    @property
    def after(self) -> int:
        return self.before + self.entered - self.exited


def of_everyone(connection: Connection, audience: Stored, compiled: Compiled) -> Difference:
    """Compare what is computed of everyone with the ledger; users that are not among them are out, or have no value."""
    now = _computed(connection, compiled(None))
    found = emptied(connection, DIFFERENCE)
    added = connection.execute(insert(found).from_select(_NAMES, _told_anew(audience.id, now))).rowcount
    added += connection.execute(insert(found).from_select(_NAMES, _gone(audience, now))).rowcount
    analyze(connection, found, added)
    return _counted(connection, audience, found, size(connection, audience))


def of_candidates(connection: Connection, audience: Stored, candidates: Sequence[Candidates], compiled: Compiled) -> Difference:
    """Compare what is computed of some users with the ledger; of the others nothing has changed."""
    asked = _asked_about(connection, candidates)
    now = _computed(connection, compiled(select(asked.c.profile_id)))
    found = emptied(connection, DIFFERENCE)
    added = connection.execute(insert(found).from_select(_NAMES, _told_anew(audience.id, now))).rowcount
    added += connection.execute(insert(found).from_select(_NAMES, _gone(audience, now, among=asked))).rowcount
    analyze(connection, found, added)
    return _counted(connection, audience, found, audience.members)


def of_nobody(audience: Stored) -> Difference:
    """Return the difference of a run that need look at nobody."""
    return Difference(table=None, before=audience.members, entered=0, exited=0, changed=0)


def of_retired(connection: Connection, audience: Stored) -> Difference:
    """Take every member out of an audience; leave a computed trait as it is, since nothing can be unset at Moesif."""
    found = emptied(connection, DIFFERENCE)
    if audience.is_audience:
        everybody = select(memberships.c.profile_id, literal(OUT)).where(_of(audience.id), memberships.c.value == IN)
        connection.execute(insert(found).from_select(_NAMES, everybody))
    return _counted(connection, audience, found, size(connection, audience))


def digest(connection: Connection, found: Table | None) -> str:
    """Return a SHA-256 over who would change and to what, in hexadecimal."""
    told = sha256()
    if found is None:
        return told.hexdigest()
    rows = select(profiles.c.user_id, found.c.value).join_from(found, profiles, profiles.c.id == found.c.profile_id)
    for user_id, value in connection.execute(rows.order_by(found.c.profile_id)).yield_per(1000):
        told.update(encode([user_id, value]).encode())
    return told.hexdigest()


def sample(connection: Connection, audience: Stored, found: Table | None, limit: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first user ids that would enter, or have another value, and of those that would leave."""
    if found is None:
        return (), ()
    here = found.c.value == IN if audience.is_audience else found.c.value.is_not(None)
    users = select(profiles.c.user_id).join_from(found, profiles, profiles.c.id == found.c.profile_id)
    some = users.order_by(found.c.profile_id).limit(limit)
    return tuple(connection.scalars(some.where(here))), tuple(connection.scalars(some.where(~here)))


def is_any(connection: Connection, candidates: Sequence[Candidates]) -> bool:
    """Whether there is anybody to look at."""
    some = (union_all(*part).subquery() for part in portions(candidates, IN_ONE_STATEMENT))
    return any(connection.execute(select(literal(1)).select_from(one).limit(1)).first() is not None for one in some)


def size(connection: Connection, audience: Stored) -> int:
    """Count who is in, or has a value."""
    statement = select(func.count()).select_from(memberships).where(_of(audience.id), present(audience))
    return connection.scalars(statement).one()


def present(audience: Stored) -> ColumnElement[bool]:
    """Return whether a row of the ledger says that somebody is in, or has a value."""
    return memberships.c.value == IN if audience.is_audience else memberships.c.value.is_not(None)


def as_members(found: Select[Any]) -> Select[Any]:
    """Return (profile_id, value) for a query that gives the profiles of an audience's members."""
    profiles_in = found.subquery()
    return select(profiles_in.c.profile_id, literal(IN))


_NAMES: Final = ["profile_id", "value"]


def _of(audience_id: int) -> ColumnElement[bool]:
    return memberships.c.audience_id == audience_id


def _asked_about(connection: Connection, candidates: Sequence[Candidates]) -> Table:
    asked, added = emptied(connection, CANDIDATES), 0
    for some in portions(candidates, IN_ONE_STATEMENT):
        # A condition that always holds: SQLite cannot parse INSERT … SELECT … ON CONFLICT without one.
        either = union_all(*some).subquery()
        named = select(*either.c).distinct().where(true())
        added += connection.execute(upsert(connection, asked).from_select(["profile_id"], named).on_conflict_do_nothing()).rowcount
    analyze(connection, asked, added)
    return asked


def _computed(connection: Connection, statement: Select[Any]) -> Table:
    now = emptied(connection, COMPUTED)
    analyze(connection, now, connection.execute(insert(now).from_select(_NAMES, statement)).rowcount)
    return now


def _told_anew(audience_id: int, now: Table) -> Select[Any]:
    recorded = and_(_of(audience_id), memberships.c.profile_id == now.c.profile_id)
    joined = now.outerjoin(memberships, recorded)
    return select(now.c.profile_id, now.c.value).select_from(joined).where(memberships.c.value.is_distinct_from(now.c.value))


def _gone(audience: Stored, now: Table, among: Table | None = None) -> Select[Any]:
    joined = memberships.outerjoin(now, now.c.profile_id == memberships.c.profile_id)
    # As a list and not as a join, of which SQLite would take everyone in the audience first.
    asked = () if among is None else (memberships.c.profile_id.in_(select(among.c.profile_id)),)
    value = literal(OUT) if audience.is_audience else null()
    gone = and_(_of(audience.id), present(audience), now.c.profile_id.is_(None), *asked)
    return select(memberships.c.profile_id, value).select_from(joined).where(gone)


def _counted(connection: Connection, audience: Stored, found: Table, before: int) -> Difference:
    here = found.c.value == IN if audience.is_audience else found.c.value.is_not(None)
    recorded = and_(_of(audience.id), memberships.c.profile_id == found.c.profile_id)
    was = present(audience)
    statement = select(
        func.count(),
        func.count(case((and_(here, func.coalesce(~was, true())), 1))),
        func.count(case((and_(~here, was), 1))),
    ).select_from(found.outerjoin(memberships, recorded))
    changed, entered, exited = connection.execute(statement).one()
    return Difference(table=found, before=before, entered=entered, exited=exited, changed=changed)
