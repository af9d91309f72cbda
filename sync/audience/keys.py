"""Keys: the names under which Moesif sees audiences and computed traits.

Knows how a key comes from a name, what a key may look like, and which keys already mean something else. Does not know which keys
are taken; that is the store's.
"""

from __future__ import annotations

import re
from typing import Final

import inflection

LONGEST: Final = 100
"""Characters in a key, at most."""

_SHAPE: Final = re.compile(r"[a-z][a-z0-9_]*")

# https://segment.com/docs/connections/spec/identify/#traits and /spec/common/ (read 2025-11).
# fmt: off
_SEGMENT: Final = frozenset({
    "address", "age", "avatar", "birthday", "company", "createdAt", "description", "email", "firstName", "gender", "id", "lastName",
    "name", "phone", "title", "username", "website",
    "userId", "anonymousId", "groupId", "previousId",
})

# https://www.moesif.com/docs/api#update-a-user: what a user update calls its own, and what a user is searched by (read 2025-11).
_MOESIF: Final = frozenset({
    "email", "first_name", "last_name", "name", "phone", "photo_url",
    "user_id", "company_id", "session_token", "ip_address", "user_agent", "user_agent_string", "campaign", "modified_time",
    "metadata",
    "identified_user_id", "anonymous_id", "geo_ip", "first_seen_time", "last_seen_time",
})
# fmt: on

RESERVED: Final = _SEGMENT | _MOESIF | {inflection.underscore(trait) for trait in _SEGMENT}
"""Names that Segment or Moesif read as something else about a user, in Segment's spelling and in snake_case."""


def key_of(name: str) -> str:
    """Return the name in snake_case: `Order Completed Last 30days` gives `order_completed_last_30days`.

    Accents are dropped and letters of other alphabets are lost. The key of a key made here is itself. Raises ValueError where what
    is left is no key; says nothing about reserved keys.
    """
    key: str = inflection.parameterize(inflection.underscore(inflection.transliterate(name)), separator="_")
    if not key:
        raise ValueError("the name has no Latin letters to make a key of; write `key:` as well")
    if not key[0].isalpha():
        raise ValueError(f"the name gives the key {key}, which does not begin with a letter; write `key:` as well")
    if len(key) > LONGEST:
        raise ValueError(f"the name gives a key of {len(key)} characters, and {LONGEST} is the most; write `key:` as well")
    return key


def check_key(key: str) -> None:
    """Raise ValueError, with what would be right, unless an audience or computed trait may have this key."""
    if key in RESERVED:
        raise ValueError(f"{key} is a reserved trait of Segment or Moesif; write another `key:`")
    if not _SHAPE.fullmatch(key) or len(key) > LONGEST:
        raise ValueError(
            f"a key has lower-case letters, digits and underscores, begins with a letter, and has at most {LONGEST} characters"
            + _suggestion(key)
        )


def _suggestion(key: str) -> str:
    try:
        better = key_of(key)
    except ValueError:
        return ""
    return "" if better in RESERVED else f"; for example {better}"
