"""Processes that fell silent while PostgreSQL waits to hear the rest of what they were telling it, or for them to hear its answer.

One that is stopped between two statements is idle, and the server itself ends its session after a while. In the middle of a row of
statements that is told without waiting, of a COPY, or of an answer that is longer than what lies between holds, it counts as at
work, and no limit of the server ends that: whatever it has locked would stay so for as long as its machine is stopped, and nobody
could compute or send. What of its sessions waits for another of its own is silent from the moment that it gets what it waits for,
so all of a process end together, or each would take its time. Who only reads may hear an answer as slowly as it likes. SQLite lets
nobody else write either, but there all are on one machine.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

_END: Final = text("""
    WITH ours AS (
        SELECT pid, application_name AS process, state, wait_event_type, wait_event, backend_xid IS NOT NULL AS writes,
            clock_timestamp() - state_change AS since
        FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND application_name LIKE 'personas-sync %'
          AND xact_start IS NOT NULL
    ), silent AS (
        SELECT process FROM ours
        WHERE since > (
            SELECT setting::bigint * interval '1 millisecond' * 2 / 3 FROM pg_settings
            WHERE name = 'idle_in_transaction_session_timeout' AND setting <> '0')
          AND ((state = 'active' AND wait_event = 'ClientRead')
            OR (writes AND (wait_event = 'ClientWrite' OR state LIKE 'idle in transaction%')))
    )
    SELECT pg_terminate_backend(pid) FROM ours
    WHERE process IN (SELECT process FROM silent) AND (wait_event_type IN ('Client', 'Lock') OR state LIKE 'idle in transaction%')
""")
"""After two thirds of the server's own time, or it would end what is idle before anybody knows of the others."""


def end_silent(connection: Connection) -> int:
    """End the sessions of processes of this program one of which has been silent for nearly as long as one may be idle.

    Return how many those were. What was not committed did not take place. The process, should it go on, finds the store away for a
    moment.
    """
    if connection.dialect.name == "sqlite":
        return 0
    return len(connection.execute(_END).all())
