"""How large a body is, and how large it may be.

Moesif counts uncompressed bytes, whatever the encoding (API reference, "Errors", read 2026-07).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sync.json_value import Json, encode_bytes

ITEM_BYTES: Final = 1_000_000
"""Moesif refuses an event above 1 MB. It says nothing of users and companies, so they are held to the same."""
BATCH_BYTES: Final = 1_000_000
"""Far below the 15 MB that Moesif documents for actions, so that a batch that is sent again costs little."""
BATCH_ITEMS: Final = 1_000
"""Moesif states no number, only bytes, of which a thousand audience updates are a tenth of `BATCH_BYTES`. Its own clients, which
must not keep an API call waiting, send 25 to 200. One bad item among a thousand costs three refusals more than among a hundred.
"""


def size(document: dict[str, Json]) -> int:
    """Return how many bytes a document takes in a request, before compression. In a batch one comma comes on top."""
    return len(encode_bytes(document))


def size_of_all(documents: Sequence[dict[str, Json]]) -> int:
    """Return how many bytes a batch of documents takes, before compression."""
    return len(encode_bytes(documents))
