"""What Moesif is sent, as plain data: a Segment call in, the bodies of Moesif's Collector API out.

Knows both vocabularies, Segment's Spec and Moesif's API reference, and no more: no HTTP, no queue, no clock, no store.

    bodies.py          a call → the bodies that tell Moesif about it, and whether the call asks to be forwarded at all
    membership.py      an audience's value for a user → the Segment call that says so; several such updates → one
    metadata_types.py  which JSON type each metadata key has, and whether that is the one Moesif holds it to
    sizes.py           how large a body is, and how large it may be
"""

from __future__ import annotations

from sync.payload.bodies import Body, Mapping, addressed, bodies, transaction_id, wanted
from sync.payload.membership import Computation, ComputationClass, membership_call, merge, telling
from sync.payload.metadata_types import Clash, fits, typed_keys, weighed
from sync.payload.sizes import BATCH_BYTES, BATCH_ITEMS, ITEM_BYTES, size, size_of_all

__all__ = [
    "BATCH_BYTES",
    "BATCH_ITEMS",
    "ITEM_BYTES",
    "Body",
    "Clash",
    "Computation",
    "ComputationClass",
    "Mapping",
    "addressed",
    "bodies",
    "fits",
    "membership_call",
    "merge",
    "size",
    "size_of_all",
    "telling",
    "transaction_id",
    "typed_keys",
    "wanted",
    "weighed",
]
