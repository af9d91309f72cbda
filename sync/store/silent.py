"""Processes that fell silent while PostgreSQL waits to hear the rest of what they were telling it.

One that is stopped between two statements is idle, and the server itself ends its session after a while. In the middle of a row of
statements that is told without waiting, or of a COPY, it counts as at work, and no limit of the server ends that: whatever it has
locked would stay so for as long as its machine is stopped, and nobody could compute or send. SQLite lets nobody else write either,
but there all are on one machine.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

_END: Final = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND application_name = current_setting('application_name')
      AND state = 'active' AND wait_event = 'ClientRead'
      AND clock_timestamp() - state_change > (
        SELECT setting::bigint * interval '1 millisecond' FROM pg_settings
        WHERE name = 'idle_in_transaction_session_timeout' AND setting <> '0')
""")


def end_silent(connection: Connection) -> int:
    """End the sessions of this program that have been silent for as long as one may be idle in a transaction; return how many.

    What was not committed did not take place. The process, should it go on, finds the store away for a moment.
    """
    if connection.dialect.name == "sqlite":
        return 0
    return len(connection.execute(_END).all())
