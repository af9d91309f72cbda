"""Who was in at an instant, page by page, from the changes alone."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, select

from sync.membership import IN
from sync.store.audiences import Stored
from sync.store.schema import changes, memberships, profiles

Member = tuple[int, str, datetime, str]
"""Profile id, user id, since, value."""


def page_at(connection: Connection, audience: Stored, at: datetime, after: int, limit: int) -> list[Member]:
    """Return the next members after a profile id, in the order of those ids, as of an instant.

    Goes through the ledger, which has a row for everybody who ever was in, and looks up the last change of each: so a page costs
    what it looks at, and not the whole history.
    """
    m, c = memberships.c, changes.c
    theirs = (c.audience_id == m.audience_id, c.profile_id == m.profile_id, c.at <= at)
    last = select(c.run_id).where(*theirs).order_by(c.audience_id.desc(), c.profile_id.desc(), c.run_id.desc()).limit(1)
    then = changes.alias("then")
    is_last = then.c.run_id == last.correlate(memberships).scalar_subquery()
    statement = (
        select(m.profile_id, profiles.c.user_id, then.c.at, then.c.value)
        .select_from(memberships)
        .join(then, and_(then.c.audience_id == m.audience_id, then.c.profile_id == m.profile_id, is_last))
        .join(profiles, profiles.c.id == m.profile_id)
        # Said of profiles, too: PostgreSQL, which may merge the two, would otherwise go through all profiles before the page.
        .where(m.audience_id == audience.id, m.profile_id > after, profiles.c.id > after)
        .where(then.c.value == IN if audience.is_audience else then.c.value.is_not(None))
        .order_by(m.profile_id)
        .limit(limit)
    )
    return [tuple(row) for row in connection.execute(statement)]
