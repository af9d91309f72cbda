"""What a run finds: how what was computed differs from the ledger, for everyone or for those who need looking at.

Of few users the difference is worked out here and listed; of many it stands in a temporary table of the connection's own, set-wise,
however large. Nothing is recorded here and no lock is held, so that other writers need not wait for the large query;
`sync.store.ledger` records it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    true,
    union_all,
)

from sync.json_value import encode
from sync.membership import IN, OUT
from sync.store import listed, prepared
from sync.store.audiences import Stored
from sync.store.candidates import Scan
from sync.store.computation import AT_ONCE, IN_ONE_STATEMENT, Computation, into_table
from sync.store.dialect import CANDIDATES, COMPUTED, DIFFERENCE, analyze, created_as, dropped, emptied, keyed, upsert, without_jit
from sync.store.listed import LISTED_PAIRS, PAIRS
from sync.store.prepared import Prepared
from sync.store.profiles import portions
from sync.store.schema import memberships, profiles

FEW: Final = 5_000
"""Of how many users the difference is worked out here, from lists; of more, in tables of the database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What a run would change."""

    rows: FromClause | None
    """(profile_id, value) of those who change: a table of the connection's own, or listed in `told`; None where nobody does."""
    told: Mapping[str, str]
    """What a statement that has the rows in it is to be told."""
    before: int
    """How many were in, or had a value."""
    entered: int
    exited: int
    changed: int

    @property
    def after(self) -> int:
        return self.before + self.entered - self.exited

    def counts(self, audience: Stored) -> dict[str, int]:
        """Return what a run says of it; nobody enters or leaves a computed trait."""
        moved = {"entered": self.entered, "exited": self.exited} if audience.is_audience else {"entered": 0, "exited": 0}
        return {"members": self.after, **moved, "changed": self.changed}


def of_everyone(connection: Connection, audience: Stored, values: Select[Any], now: int) -> Difference:
    """Compare what is computed of everyone with the ledger; users that are not among them are out, or have no value.

    `values` gives (profile_id, value) of everyone who is in, or has a value.
    """
    found = DIFFERENCE
    if connection.dialect.name == "postgresql":
        added = _differing(connection, audience, values, now)
    else:
        # SQLite takes three times as long for a full join as for the two halves of one.
        emptied(connection, found)
        computed = _computed(connection, _filling(values), now)
        added = connection.execute(insert(found).from_select(_NAMES, _told_anew(audience.id, computed))).rowcount
        added += connection.execute(insert(found).from_select(_NAMES, _gone(audience, computed))).rowcount
    analyze(connection, found, added)
    return _counted(connection, audience, found, size(connection, audience))


def _differing(connection: Connection, audience: Stored, values: Select[Any], now: int) -> int:
    """Make the table of differences by one full join, and return how many there are."""
    without_jit(connection)
    dropped(connection, DIFFERENCE)
    comparing = _comparing(values, OUT if audience.is_audience else None)
    differing = comparing.execute(connection, now=now, audience=audience.id).rowcount
    keyed(connection, DIFFERENCE)
    return differing


@lru_cache(maxsize=200)
def _filling(values: Select[Any]) -> Prepared:
    return Prepared(into_table(values))


@lru_cache(maxsize=200)
def _comparing(values: Select[Any], nothing: str | None) -> Prepared:
    """Return the statement that makes the table of differences; `nothing` is the value of those who are out, or have none.

    The table lies in the order in which it is recorded: a large one does not fit into what PostgreSQL keeps of temporary tables in
    memory, and to read it in no order took half as long again. It is found first and put in order then, so that how it is found
    does not depend on the order.
    """
    now = values.subquery("computed").c
    its = memberships.c.audience_id == prepared.told("audience", BigInteger())
    recorded = select(memberships.c.profile_id, memberships.c.value).where(its)
    if nothing is not None:
        # Who is out counts as who is not there, and whoever is in both is in both alike. PostgreSQL takes it that hardly anybody is
        # in one only, and shares the work among processes; of values that differ it expects that many do, and would not.
        recorded = recorded.where(memberships.c.value == IN)
    then = recorded.subquery("recorded").c
    joined = now.profile_id.table.join(then.profile_id.table, now.profile_id == then.profile_id, full=True)
    is_in_one = or_(now.profile_id.is_(None), then.profile_id.is_(None))
    differs = is_in_one if nothing is not None else now.value.is_distinct_from(then.value)
    value = cast(case((now.profile_id.is_(None), literal(nothing, Text())), else_=now.value), Text())
    who = func.coalesce(now.profile_id, then.profile_id)
    differing = select(who.label("profile_id"), value.label("value")).select_from(joined).where(differs)
    found = differing.cte("differing").prefix_with("MATERIALIZED")
    return Prepared(select(found.c.profile_id, found.c.value).order_by(found.c.profile_id), before=created_as(DIFFERENCE))


def of_concerned(
    connection: Connection,
    audience: Stored,
    computation: Computation,
    now: int,
    told: Mapping[str, int],
    answers: Sequence[Sequence[Any]],
    few: int = FEW,
) -> Difference:
    """Compare what is computed of those whom something happened to with the ledger; of the others nothing has changed.

    `answers` are those to what the computation had `asking` about one more than a `few`; `told` is where the stretches lie.
    """
    if computation.at_once is None:
        ids, rows = _few_in(answers, few), []
    else:
        [[(_, found, listed_ids), *rows]] = answers
        ids = listed.ids_in(listed_ids) if found <= few else None
    if ids is None:
        return _of_many(connection, audience, computation, now, told)
    if not ids:
        return of_nobody(audience)
    if computation.at_once is None or len(ids) > AT_ONCE:
        rows = computation.of_listed.rows(connection, now=now, ids=listed.values(ids), audience=audience.id)
    return _of_few(audience, rows)


def _few_in(answers: Sequence[Sequence[Any]], few: int) -> list[int] | None:
    """Return the ids that searches for one more than a few have found, in order; None where they are more than a few."""
    found = {id for answer in answers for (id,) in answer}
    return sorted(found) if len(found) <= few and all(len(answer) <= few for answer in answers) else None


def of_nobody(audience: Stored) -> Difference:
    """Return the difference of a run that need look at nobody."""
    return Difference(rows=None, told={}, before=audience.members, entered=0, exited=0, changed=0)


def of_retired(connection: Connection, audience: Stored) -> Difference:
    """Take every member out of an audience; leave a computed trait as it is, since nothing can be unset at Moesif."""
    found = emptied(connection, DIFFERENCE)
    if audience.is_audience:
        everybody = select(memberships.c.profile_id, literal(OUT)).where(_of(audience.id), memberships.c.value == IN)
        connection.execute(insert(found).from_select(_NAMES, everybody))
    return _counted(connection, audience, found, size(connection, audience))


def digest(connection: Connection, found: Difference) -> str:
    """Return a SHA-256 over who would change and to what, in hexadecimal."""
    told, rows = sha256(), found.rows
    if rows is None:
        return told.hexdigest()
    users = select(profiles.c.user_id, rows.c.value).join_from(rows, profiles, profiles.c.id == rows.c.profile_id)
    for user_id, value in connection.execute(users.order_by(rows.c.profile_id), found.told).yield_per(1000):
        told.update(encode([user_id, value]).encode())
    return told.hexdigest()


def sample(connection: Connection, audience: Stored, found: Difference, limit: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first user ids that would enter, or have another value, and of those that would leave."""
    rows = found.rows
    if rows is None:
        return (), ()
    here = rows.c.value == IN if audience.is_audience else rows.c.value.is_not(None)
    users = select(profiles.c.user_id).join_from(rows, profiles, profiles.c.id == rows.c.profile_id)
    some = users.order_by(rows.c.profile_id).limit(limit)
    entering, leaving = (connection.scalars(some.where(side), found.told).all() for side in (here, ~here))
    return tuple(entering), tuple(leaving)


def size(connection: Connection, audience: Stored) -> int:
    """Count who is in, or has a value."""
    statement = select(func.count()).select_from(memberships).where(_of(audience.id), present(audience))
    return connection.scalars(statement).one()


def present(audience: Stored) -> ColumnElement[bool]:
    """Return whether a row of the ledger says that somebody is in, or has a value."""
    return memberships.c.value == IN if audience.is_audience else memberships.c.value.is_not(None)


_NAMES: Final = ["profile_id", "value"]


def _of(audience_id: int) -> ColumnElement[bool]:
    return memberships.c.audience_id == audience_id


def _of_few(audience: Stored, rows: Iterable[Any]) -> Difference:
    """Compare, by rows of (whether it is computed now, profile_id, value)."""
    computed: dict[int, str] = {}
    recorded: dict[int, str | None] = {}
    for is_computed, id, value in rows:
        (computed if is_computed else recorded)[id] = value
    nothing = OUT if audience.is_audience else None
    gone = {id: nothing for id, value in recorded.items() if _is_present(audience, value) and id not in computed}
    anew = {id: value for id, value in computed.items() if recorded.get(id) != value}
    if not anew and not gone:
        return of_nobody(audience)
    return Difference(
        rows=LISTED_PAIRS,
        told={PAIRS: listed.pairs(sorted({**anew, **gone}.items()))},
        before=audience.members,
        entered=sum(not _is_present(audience, recorded.get(id)) for id in anew),
        exited=len(gone),
        changed=len(anew) + len(gone),
    )


def _of_many(connection: Connection, audience: Stored, computation: Computation, now: int, told: Mapping[str, int]) -> Difference:
    asked = _asked_about(connection, computation.candidates.scans, told)
    computed = _computed(connection, computation.of_candidates, now)
    found = emptied(connection, DIFFERENCE)
    added = connection.execute(insert(found).from_select(_NAMES, _told_anew(audience.id, computed))).rowcount
    added += connection.execute(insert(found).from_select(_NAMES, _gone(audience, computed, among=asked))).rowcount
    analyze(connection, found, added)
    return _counted(connection, audience, found, audience.members)


def _asked_about(connection: Connection, scans: Sequence[Scan], told: Mapping[str, int]) -> Table:
    asked, added = emptied(connection, CANDIDATES), 0
    for some in portions(scans, IN_ONE_STATEMENT):
        # A condition that always holds: SQLite cannot parse INSERT … SELECT … ON CONFLICT without one.
        either = union_all(*some).subquery()
        named = select(*either.c).distinct().where(true())
        into = upsert(connection, asked).from_select(["profile_id"], named).on_conflict_do_nothing()
        added += connection.execute(into, told).rowcount
    analyze(connection, asked, added)
    return asked


def _computed(connection: Connection, filling: Prepared, now: int) -> Table:
    computed = emptied(connection, COMPUTED)
    analyze(connection, computed, filling.execute(connection, now=now).rowcount)
    return computed


def _is_present(audience: Stored, value: str | None) -> bool:
    return value == IN if audience.is_audience else value is not None


def _told_anew(audience_id: int, now: Table) -> Select[tuple[int, str]]:
    recorded = and_(_of(audience_id), memberships.c.profile_id == now.c.profile_id)
    joined = now.outerjoin(memberships, recorded)
    return select(now.c.profile_id, now.c.value).select_from(joined).where(memberships.c.value.is_distinct_from(now.c.value))


def _gone(audience: Stored, now: Table, among: Table | None = None) -> Select[tuple[int, str]]:
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
    return Difference(rows=found, told={}, before=before, entered=entered, exited=exited, changed=changed)
