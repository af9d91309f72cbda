"""In which order definitions are computed: one that refers to another comes after it.

`trait('big_spender')` of an audience's key means membership at this run, so the referred must be computed first. Knows names only.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from graphlib import CycleError, TopologicalSorter


class Cycle(ValueError):
    """Definitions refer to one another in a circle."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(" → ".join(keys))
        self.keys = keys
        """The circle; the first stands again at the end."""


def in_order(reads: Mapping[str, Set[str]]) -> tuple[str, ...]:
    """Return the keys so that each comes after those it reads; names that are no key are ordinary traits. Raises Cycle."""
    references = {key: sorted(names & reads.keys()) for key, names in sorted(reads.items())}
    try:
        return tuple(TopologicalSorter(references).static_order())
    except CycleError as error:
        # The sorter names the circle from the referred to the referring; people read it the other way round.
        raise Cycle(tuple(reversed(error.args[1]))) from None
