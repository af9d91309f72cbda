"""Faults: what is wrong with a definitions file, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sync.audience import Place
from sync.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One thing that is wrong, and what would be right. The first line and the first column are 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def fault_at(place: Place, message: str) -> Fault:
    """Return a fault at a place."""
    return Fault(file=place.file, line=place.line, column=place.column, message=message)


class InvalidDefinitions(InputError):
    """The definitions are wrong; `faults` has every fault, by file, line and column, and is never empty."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.file, fault.line, fault.column)))
        count = len(self.faults)
        title = f"the definitions have {count} fault{'' if count == 1 else 's'}:"
        super().__init__("\n".join([title, *(f"  {fault}" for fault in self.faults)]))
