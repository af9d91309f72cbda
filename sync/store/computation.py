"""How the values of one definition are computed: for everyone, or for those whom something happened to, few or many.

It is one query over more or fewer users. Written once for each definition, since to write it takes longer than to ask it of a few.
Every statement asks for `now`; what else is told by name, `sync.store.candidates` and `sync.store.listed` say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Insert,
    Select,
    Text,
    any_,
    case,
    cast,
    false,
    func,
    insert,
    literal,
    null,
    select,
    text,
    true,
    union_all,
)

from sync.language import tree
from sync.membership import IN
from sync.store.bulk import Question
from sync.store.candidates import Candidates, Scan
from sync.store.compiler import NOW, Among, Reference, compile_audience, compile_trait
from sync.store.dialect import CANDIDATES, COMPUTED
from sync.store.listed import IDS, one_of
from sync.store.prepared import Prepared, told
from sync.store.profiles import portions
from sync.store.schema import memberships

IN_ONE_STATEMENT: Final = 100
"""How many selects are put into one; SQLite takes 500."""

AT_ONCE: Final = 100
"""Of how many users what they have is asked for together with the search for them; of more, once they are known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Computation:
    """The statements of one definition."""

    candidates: Candidates
    searches: tuple[Prepared, ...]
    """Give the ids of those concerned, at most `most` of them, some more than once."""
    of_everyone: Select[Any]
    """Gives (profile_id, value) of everyone."""
    of_candidates: Prepared
    """Fills the table of computed values, for the users in the table of candidates."""
    of_listed: Prepared
    """Gives (whether it is computed now, profile_id, value) of the users with the `ids`: what they have now, and what the ledger of
    the `audience` has of them."""
    at_once: Prepared | None
    """Where a database does both for the price of one, the search and what it gives of those found, if they are few: the same rows
    as `of_listed`, and one of (nothing, how many were found, their ids in JSON)."""

    @classmethod
    def of(cls, query: tree.Query, references: Mapping[str, Reference], database: str) -> Self:
        """Write the statements of a query, for a database by the name of its dialect."""
        candidates = Candidates.of(query, {key: one.audience_id for key, one in references.items()})
        searches = [_some(scans) for scans in portions(candidates.scans, IN_ONE_STATEMENT)]
        is_one = database != "sqlite" and len(searches) == 1
        return cls(
            candidates=candidates,
            searches=tuple(Prepared(search, planned_once=True) for search in searches),
            of_everyone=_values(query, None, references),
            of_candidates=Prepared(into_table(_values(query, _is_candidate, references))),
            of_listed=Prepared(_now_and_then(_values(query, _is_listed, references), _is_listed)),
            at_once=Prepared(_at_once(query, references, *searches), planned_once=True) if is_one else None,
        )

    def searching(self, told: Mapping[str, int], most: int) -> list[Question]:
        """Return what to ask for the ids of so many of those concerned; `told` is what `Candidates.between` tells."""
        return [Question(search, {"most": most, **told}) for search in self.searches]

    def asking(self, told: Mapping[str, int], most: int, audience_id: int, now: int) -> list[Question]:
        """Return what to ask for so many of those concerned, and for what they have if they are few and it can be asked at once."""
        if self.at_once is None:
            return self.searching(told, most)
        return [Question(self.at_once, {"most": most, "audience": audience_id, "now": now, **told})]


def _some(scans: Sequence[Scan]) -> Select[Any]:
    either = union_all(*scans).subquery()
    return select(either.c.profile_id).limit(told("most", BigInteger()))


def _at_once(query: tree.Query, references: Mapping[str, Reference], search: Select[Any]) -> CompoundSelect[Any]:
    one = search.subquery().c.profile_id
    all_ids = func.coalesce(func.array_agg(one.distinct()), _NOBODY)
    concerned = select(func.count().label("found"), all_ids.label("ids")).cte("concerned").c
    ids = case((func.cardinality(concerned.ids) <= AT_ONCE, concerned.ids), else_=_NOBODY)
    few = select(ids.label("ids")).cte("few").c

    def is_one_of_few(profile_id: ColumnElement[Any]) -> ColumnElement[bool]:
        return profile_id == any_(cast(select(few.ids).scalar_subquery(), ARRAY(BigInteger)))

    found = select(null(), concerned.found, cast(func.array_to_json(concerned.ids), Text()))
    return union_all(found, *_now_and_then(_values(query, is_one_of_few, references), is_one_of_few).selects)


_NOBODY: Final = text("CAST('{}' AS BIGINT[])")


def _is_candidate(profile_id: ColumnElement[Any]) -> ColumnElement[bool]:
    return profile_id.in_(select(CANDIDATES.c.profile_id))


def _is_listed(profile_id: ColumnElement[Any]) -> ColumnElement[bool]:
    # As an array: the plan that PostgreSQL keeps for any list of rows goes through all events of the kind in the time that counts.
    return one_of(profile_id, IDS)


def _now_and_then(found: Select[Any], among: Among) -> CompoundSelect[Any]:
    """Ask for what is computed and what is recorded in one go: for a few users it is the asking that takes time."""
    now, m = found.subquery().c, memberships.c
    recorded = (m.audience_id == told("audience", BigInteger()), among(m.profile_id))
    return union_all(
        select(true(), now.profile_id, cast(now.value, Text())),
        select(false(), m.profile_id, m.value).where(*recorded),
    )


def into_table(found: Select[Any]) -> Insert:
    """Fill the table of computed values with (profile_id, value)."""
    return insert(COMPUTED).from_select(["profile_id", "value"], found)


def _values(query: tree.Query, among: Among | None, references: Mapping[str, Reference]) -> Select[Any]:
    if not isinstance(query, tree.Condition):
        return compile_trait(query, NOW, among, references)
    members = compile_audience(query, NOW, among, references).subquery()
    return select(members.c.profile_id, literal(IN).label("value"))
