"""The audiences of the benchmark `compute`: what is asked, who knows the answer beside the store, and the same in SQL by hand.

    ordered    who ordered within thirty days: an index answers it, since one order is enough
    revenue    who spent 80 or more within sixty days: every order of that time has to be read and added up

About two users in five are in either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from benchmarks.population import ORDER, WINDOW, Purchases, Spending
from sync.audience import Definition, Every, Kind

_SECOND: Final = Every(timedelta(seconds=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One audience."""

    definition: Definition
    window: timedelta
    """How old an order may be that counts."""
    order: float
    """The revenue of an order that alone makes a member."""
    known: Callable[[int], Purchases]
    """Makes what knows who is in, for so many users."""
    by_hand: Mapping[str, str]
    """By the name of the database, what selects the `profile_id` of everyone who is in, by the `event` from `after` to `until`."""


ORDERED: Final = Asked(
    definition=Definition(
        kind=Kind.AUDIENCE,
        key="ordered_last_30_days",
        name="Ordered Last 30 Days",
        query=f"event('{ORDER}').within(30 days).count() >= 1",
        schedule=_SECOND,
    ),
    window=WINDOW,
    order=19.9,
    known=Purchases,
    by_hand={
        "postgresql": """
  SELECT id AS profile_id FROM profiles WHERE user_id IS NOT NULL AND EXISTS (
    SELECT 1 FROM calls
    WHERE profile_id = profiles.id AND event = :event AND timestamp > :after AND timestamp <= :until
  )
""",
        "sqlite": """
  SELECT id AS profile_id FROM profiles WHERE user_id IS NOT NULL AND id IN (
    SELECT profile_id FROM calls WHERE event = :event AND timestamp > :after AND timestamp <= :until
  )
""",
    },
)

_SIXTY_DAYS: Final = timedelta(days=60)

REVENUE: Final = Asked(
    definition=Definition(
        kind=Kind.AUDIENCE,
        key="spent_80_last_60_days",
        name="Spent 80 Last 60 Days",
        query=f"event('{ORDER}').within(60 days).sum(property('revenue')) >= 80",
        schedule=_SECOND,
    ),
    window=_SIXTY_DAYS,
    order=80.0,
    known=partial(Spending, window=_SIXTY_DAYS, least=8000),
    # Floating point is fastest and near enough: revenues have two decimals.
    by_hand={
        "postgresql": """
  SELECT spent.profile_id FROM (
    SELECT profile_id FROM calls
    WHERE event = :event AND timestamp > :after AND timestamp <= :until
    GROUP BY profile_id HAVING sum((properties -> 'revenue')::float8) > 79.995
  ) AS spent JOIN profiles ON profiles.id = spent.profile_id AND profiles.user_id IS NOT NULL
""",
        "sqlite": """
  SELECT spent.profile_id FROM (
    SELECT profile_id FROM calls
    WHERE event = :event AND timestamp > :after AND timestamp <= :until
    GROUP BY profile_id HAVING sum(properties ->> '$.revenue') > 79.995
  ) AS spent JOIN profiles ON profiles.id = spent.profile_id AND profiles.user_id IS NOT NULL
""",
    },
)

AUDIENCES: Final[Mapping[str, Asked]] = {"ordered": ORDERED, "revenue": REVENUE}
