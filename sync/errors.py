"""What can go wrong for a reason that the caller can mend.

    SyncError
    ├── SettingsError        the environment is wrong; says which variable          exit 3
    ├── InputError           what the user typed or wrote is wrong                   exit 2
    │   ├── InvalidDefinitions   a definitions file; all faults at once
    │   ├── InvalidQuery         a query; line, column, what was expected
    │   └── NotFound             no such audience, user, delivery
    ├── GuardTripped         a run would flip suspiciously many                      exit 4
    └── Unreachable          the store or Moesif cannot be reached                   exit 5
        ├── SchemaMismatch       the store's schema is not this program's; says `personas-sync db upgrade`
        ├── StoreBusy            locked by somebody else; try again
        ├── LogFull              a SQLite file's log cannot begin anew while somebody reads; what can wait is to wait
        └── TookTooLong          ended at its deadline; says what to look at

Named by remedy. What Moesif answers to a request is not here: that is a value (`sync.delivery.Outcome`). No message may hold a
key, a trait or any other personal data beyond the identifier that the user typed.
"""

from __future__ import annotations


class SyncError(Exception):
    """Something failed for a reason that the caller can mend."""

    exit_code = 1


class SettingsError(SyncError):
    """A setting is missing or wrong."""

    exit_code = 3


class InputError(SyncError):
    """What was asked for is wrong."""

    exit_code = 2


class NotFound(InputError):
    """There is no such thing."""


class GuardTripped(SyncError):
    """A guard stopped the run before anything was sent."""

    exit_code = 4


class Unreachable(SyncError):
    """The store or Moesif cannot be reached."""

    exit_code = 5


class SchemaMismatch(Unreachable):
    """The store's schema is not the one this program needs."""


class StoreBusy(Unreachable):
    """The store is locked by another process; nothing was done, try again."""


class LogFull(Unreachable):
    """The store's log is long, and cannot begin anew while somebody reads; nothing was done, though it could have been."""


class TookTooLong(Unreachable):
    """What was asked of the store was ended, since it had had all its time; nothing was done."""
