"""Sending from the command line: with a bar, for as long as the user cares to wait, and with an exit code that says how it went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from sync.cli.output import Bar, note, progress
from sync.errors import GuardTripped, SettingsError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.app import App
    from sync.delivery import Outcome
    from sync.send import Drain


class Sent(Protocol):
    """What a drain and a sync's report have in common."""

    @property
    def accepted(self) -> int:
        """Items that Moesif took."""

    @property
    def last_failure(self) -> Outcome | None:
        """What the last answer was, where it was neither a success nor a refusal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarded:
    """Where the forwarded calls stand that Moesif has not accepted."""

    owed: int
    """To be sent, or on the way."""
    unknown: int
    rejected: int

    @property
    def due(self) -> int:
        return self.owed + self.unknown


def forwarded(app: App) -> Forwarded:
    """Count the queue."""
    from sync.delivery import State
    from sync.store import queue

    with app.store.reading() as connection:
        states = queue.states(connection)
    counts = {state: sum(number for (_, one), number in states.items() if one == state.value) for state in State}
    return Forwarded(
        owed=counts[State.OWED] + counts[State.SENDING], unknown=counts[State.UNKNOWN], rejected=counts[State.REJECTED]
    )


def drained(app: App, wait: float) -> Drain:
    """Send whatever is due."""
    with progress("sending", due(app)) as bar, app.sender() as sender:
        return sender.drain(timedelta(seconds=wait), counting(bar))


def due(app: App) -> int:
    """Count what is owed, calls and memberships together: how long the bar is."""
    from sync.delivery import State
    from sync.store import ledger, queue

    with app.store.reading() as connection:
        states = [*ledger.states(connection).items(), *queue.states(connection).items()]
    return sum(number for (_, state), number in states if state != State.REJECTED.value)


def counting(bar: Bar) -> Callable[[int], None]:
    """Return what adds to a bar, from whichever thread."""
    lock, done = Lock(), 0

    def add(number: int) -> None:
        nonlocal done
        with lock:
            done += number
            bar(done)

    return add


def exit_code(app: App, sent: Sent, due: int, *, rejected: int, guarded: bool = False, failed: bool = False) -> int:
    """Return the exit code of a command that sends, the gravest one, and say what a person should know about it.

    `due` is what is still owed or unknown; `failed` is whether a run took too long.
    """
    from sync.delivery import KeyRefused

    failure = sent.last_failure
    if due and isinstance(failure, KeyRefused):
        note(f"personas-sync: the key was refused, so nothing more is sent: {failure.reason}")
        return SettingsError.exit_code
    if due and failure is not None and not sent.accepted and (reason := _away(app)):
        note(f"personas-sync: Moesif cannot be reached at {app.settings.moesif_url}: {reason}; everything stays owed")
        return Unreachable.exit_code
    if due and failure is not None:
        are = "is" if due == 1 else "are"
        note(f"personas-sync: {due:,} {are} still owed; the last answer was: {getattr(failure, 'reason', '')}")
    if guarded:
        return GuardTripped.exit_code
    return 1 if due or rejected or failed else 0


def _away(app: App) -> str | None:
    """Return why Moesif cannot be reached; None where it answers."""
    with app.collector() as collector:
        probe = collector.probe()
    return None if probe.ok else probe.reason
