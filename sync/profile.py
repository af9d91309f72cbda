"""A profile: what is known about one person, and how a call or another profile adds to it.

Knows that the newest statement about a trait wins, by the calls' timestamps and not by their order of arrival, so that late and
repeated calls do no harm. Does not know where profiles are kept.

Identity, in three rules. A user id names one profile for good. An anonymous id belongs to the first profile it was seen with; when
that profile is an anonymous one and a call links it to a user, it is merged into the user's. Two users are never merged, whatever
links them (Segment: an alias call does not merge profiles; a user id is limited to one a profile).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.json_value import Json


@dataclass(slots=True, kw_only=True)
class Profile:
    """One person, being worked on. Mutable: a batch of calls is applied to it before it is written once."""

    id: int | None = None
    """None until the store has given it one."""
    user_id: str | None = None
    """None while only an anonymous id is known."""
    traits: dict[str, Json] = field(default_factory=dict)
    """Null stands for a trait that was taken away; it is kept so that an older statement cannot bring it back."""
    traits_at: dict[str, int] = field(default_factory=dict)
    """When each trait was said, in microseconds since 1970."""
    changed: bool = False
    """Whether traits differ from what the store holds, be it only in when they were said."""
    news: dict[str, Json] = field(default_factory=dict)
    """The traits whose value differs from what the store holds, with what it holds."""

    def learn(self, traits: Mapping[str, Json], at: int) -> None:
        """Take in what a call of the given instant says; of two statements with one instant the later to arrive wins."""
        for key, value in traits.items():
            if at >= self.traits_at.get(key, at):
                is_news = not same(self.traits.get(key), value)
                self.changed = self.changed or is_news or self.traits_at.get(key) != at
                self._keep(key, value, at, is_news=is_news)

    def absorb(self, other: Profile) -> None:
        """Take in everything another profile knew; of two statements with one instant one's own stays."""
        for key, value in other.traits.items():
            if key not in self.traits_at or other.traits_at[key] > self.traits_at[key]:
                self.changed = True
                self._keep(key, value, other.traits_at[key], is_news=not same(self.traits.get(key), value))

    def _keep(self, key: str, value: Json, at: int, *, is_news: bool) -> None:
        if is_news:
            self.news.setdefault(key, self.traits.get(key))
        self.traits[key] = value
        self.traits_at[key] = at


def known(traits: Mapping[str, Json]) -> dict[str, Json]:
    """Return the traits that stand: without those that were taken away."""
    return {key: value for key, value in traits.items() if value is not None}


def same(first: Json, second: Json) -> bool:
    """Whether two JSON values are one: `1`, `1.0` and `true` are three, whatever Python says."""
    match first, second:
        case dict(), dict():
            return first.keys() == second.keys() and all(same(value, second[key]) for key, value in first.items())
        case list(), list():
            return len(first) == len(second) and all(map(same, first, second))
        case _:
            return type(first) is type(second) and first == second
