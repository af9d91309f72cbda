"""The tables.

Everything refers to a profile by its small integer key. Two tables are queues of what is owed to Moesif: `memberships`, the ledger,
for state (the latest value is what counts), and `deliveries` for facts (every forwarded call counts). Their partial indexes hold
only what is owed, so that an idle tick reads next to nothing.

The migrations make these tables; a test holds the two equal.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text, false, text
from sqlalchemy.schema import SchemaItem

from sync.store.types import Document, Instant, RowId

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ZERO: Final = text("0")

profiles: Final = Table(
    "profiles",
    metadata,
    Column("id", RowId, primary_key=True),
    # Null while only an anonymous id is known.
    Column("user_id", Text, unique=True),
    Column("traits", Document, nullable=False),
    # When each trait was said, in microseconds, by its name: the newest statement wins whatever the order of arrival.
    Column("traits_at", Document, nullable=False),
    Column("created_at", Instant, nullable=False),
    # Which arrival (`sync.store.arrivals`) made the profile or gave it another's calls, and which one last changed a trait.
    Column("arrival", BigInteger, nullable=False, server_default=_ZERO, index=True),
    Column("traits_arrival", BigInteger, nullable=False, server_default=_ZERO, index=True),
)

_ONLY_ON: Final = "only_on"
"""In the `info` of an index: the name of the one database that has it."""


def belongs_to(database: str, thing: SchemaItem) -> bool:
    """Return whether a database of this name has a thing of the schema: some indexes are made on one only."""
    return bool(thing.info.get(_ONLY_ON, database) == database)


# "Which profiles have a user id": known from the index alone, since the rows are as long as their traits. SQLite goes to the row
# whatever there is, for it is stored by the key.
Index("ix_profiles_known", profiles.c.id, postgresql_where=text("user_id IS NOT NULL"), info={_ONLY_ON: "postgresql"})

identifiers: Final = Table(
    "identifiers",
    metadata,
    Column("type", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("profile_id", RowId, ForeignKey("profiles.id"), nullable=False, index=True),
)

calls: Final = Table(
    "calls",
    metadata,
    # The order of arrival.
    Column("id", RowId, primary_key=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("profile_id", RowId, ForeignKey("profiles.id"), nullable=False),
    Column("event", Text),
    Column("timestamp", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    # What the call itself said; the profile may have learned more since.
    Column("user_id", Text),
    Column("anonymous_id", Text),
    Column("group_id", Text),
    Column("previous_id", Text),
    # Properties of track, page and screen; traits of identify and group.
    Column("properties", Document, nullable=False),
    Column("context", Document, nullable=False),
    Column("integrations", Document, nullable=False),
    # Which arrival brought it: see `sync.store.arrivals`.
    Column("arrival", BigInteger, nullable=False, server_default=_ZERO),
)
# "Which users did X between two instants": windows and their edges. The profile is in the index so that the table is not read.
_IS_EVENT: Final = text("event IS NOT NULL")
Index(
    "ix_calls_event",
    calls.c.event,
    calls.c.timestamp,
    calls.c.profile_id,
    postgresql_where=_IS_EVENT,
    sqlite_where=_IS_EVENT,
)
# "About whom did calls of this event arrive since the last run".
Index(
    "ix_calls_arrival",
    calls.c.event,
    calls.c.arrival,
    calls.c.profile_id,
    postgresql_where=_IS_EVENT,
    sqlite_where=_IS_EVENT,
)
# "What did this user do": one profile's predicate, funnels, look-ups and merges.
Index("ix_calls_profile", calls.c.profile_id, calls.c.event, calls.c.timestamp)
# Replay by time range.
Index("ix_calls_timestamp", calls.c.timestamp)

# "Of whom was a date passed": the dates in traits, in properties and in contexts, by the top-level field below which each stands.
dates: Final = Table(
    "dates",
    metadata,
    # `trait`, `property` or `context`.
    Column("place", Text, primary_key=True),
    # Of which event; empty for a trait.
    Column("event", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    # Microseconds since 1970.
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("profile_id", RowId, ForeignKey("profiles.id"), primary_key=True, autoincrement=False, index=True),
    sqlite_with_rowid=False,
)

arrivals: Final = Table(
    "arrivals",
    metadata,
    # One row, on SQLite only: PostgreSQL numbers its transactions itself.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)

rejected_calls: Final = Table(
    "rejected_calls",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", Text, nullable=False),
    Column("received_at", Instant, nullable=False, index=True),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    # As it came, cut at 32 KB.
    Column("body", Text, nullable=False),
    # By which one that comes again out of a spool is known; none where an older release kept it.
    Column("rejection_id", Text, unique=True, index=True),
)

audiences: Final = Table(
    "audiences",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("guard", Text),
    Column("enabled", Boolean(name="enabled"), nullable=False),
    # Counts the queries this key has had; 1 is the first.
    Column("version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    # Set when the definition has gone from the file; the key is never given to anything else.
    Column("retired_at", Instant),
    # The instant of the last run, and the version it computed.
    Column("computed_at", Instant),
    Column("computed_version", Integer),
    # The last slot of the schedule that was taken, by whichever scheduler.
    Column("slot_at", Instant),
    # How many slots passed before those that were taken, and nobody looked.
    Column("slots_skipped", BigInteger, nullable=False, server_default=_ZERO),
    # How many are in, or have a value.
    Column("members", Integer, nullable=False, server_default=_ZERO),
    # What the last run had seen, as JSON (`sync.store.basis`); without it the next one looks at everyone.
    Column("basis", Text),
    # Rises with what a run must not overlook that takes place beside it: another run that is recorded, a user who is forgotten.
    Column("generation", Integer, nullable=False, server_default=_ZERO),
)

runs: Final = Table(
    "runs",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("audience_id", RowId, ForeignKey("audiences.id"), nullable=False),
    # The instant that counted as now, and when it happened by the clock.
    Column("at", Instant, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", Text, nullable=False),
    Column("members", Integer, nullable=False),
    Column("entered", Integer, nullable=False),
    Column("exited", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    # What this run had to tell, and what became of it; what is missing from the sum is still underway.
    Column("owed", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("error", Text),
)
Index("ix_runs_audience", runs.c.audience_id, runs.c.id)
DELIVERING: Final = text("outcome = 'delivering'")
# Since when anything has been owed; holds the runs only that still have something to tell.
Index("ix_runs_delivering", runs.c.started_at, postgresql_where=DELIVERING, sqlite_where=DELIVERING)

# Syncs that somebody asked for and nobody has seen to: see `sync.store.requested`.
requested_syncs: Final = Table(
    "requested_syncs",
    metadata,
    Column("audience_id", RowId, ForeignKey("audiences.id"), primary_key=True, autoincrement=False),
    Column("requested_at", Instant, nullable=False),
)

# What became of what was sent, counted for ever: see `sync.store.tallies`.
tallies: Final = Table(
    "tallies",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# No foreign keys here and in `changes`: both are filled by the million in one statement, from `profiles` itself, and a check for
# each row would double its time.
memberships: Final = Table(
    "memberships",
    metadata,
    Column("audience_id", RowId, primary_key=True, autoincrement=False),
    Column("profile_id", RowId, primary_key=True, autoincrement=False),
    # JSON: `true` and `false` of an audience, any value of a computed trait; null where a computed trait has none.
    Column("value", Text),
    Column("since", Instant, nullable=False),
    # What Moesif last took; null where it never took anything.
    Column("accepted", Text),
    Column("accepted_at", Instant),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    # The run that answers for the row.
    Column("run_id", RowId, nullable=False),
    sqlite_with_rowid=False,
)
UNSETTLED: Final = text("state <> 'settled'")
"""SQLite takes the index below only where a query says this in the same words."""
Index(
    "ix_memberships_unsettled",
    memberships.c.audience_id,
    memberships.c.state,
    memberships.c.profile_id,
    postgresql_where=UNSETTLED,
    sqlite_where=UNSETTLED,
)

# What of the ledger is on its way: see `sync.store.ledger_claims`. The queue has none: its rows are `sending`.
claims: Final = Table(
    "claims",
    metadata,
    Column("id", RowId, primary_key=True),
    # By which right: a lease, and its epoch then. Where others hold it, or nobody, the sender is no more.
    Column("lease", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("audience_id", RowId, nullable=False, index=True),
    # JSON: what these users are told, and their profiles, an array.
    Column("sent", Text, nullable=False),
    Column("profiles", Text, nullable=False),
    # How many answers there will be: of those, too, who have been erased meanwhile.
    Column("number", Integer, nullable=False),
)

changes: Final = Table(
    "changes",
    metadata,
    Column("audience_id", RowId, primary_key=True, autoincrement=False),
    Column("profile_id", RowId, primary_key=True, autoincrement=False),
    # A run changes a user once at most, and an audience's runs follow each other in the order of their ids and instants.
    Column("run_id", RowId, primary_key=True, autoincrement=False),
    Column("value", Text),
    Column("at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
# "Who changed in this audience since that run".
Index("ix_changes_run", changes.c.audience_id, changes.c.run_id)

deliveries: Final = Table(
    "deliveries",
    metadata,
    # The order in which calls about one subject leave.
    Column("id", RowId, primary_key=True),
    Column("call_id", RowId, ForeignKey("calls.id"), nullable=False, index=True),
    Column("lane", Text, nullable=False),
    # The user or company it is about; empty for what somebody unknown did.
    Column("subject", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("reason", Text),
    # Whether it was sent before: what is replayed lets live calls go first.
    Column("replayed", Boolean(name="replayed"), nullable=False, server_default=false()),
)
Index("ix_deliveries_lane", deliveries.c.lane, deliveries.c.state, deliveries.c.replayed, deliveries.c.id)
REPLAYED: Final = text("replayed AND subject <> ''")
"""Whether a row is a replayed one about somebody; in the words that SQLite wants to see."""
# "What is replayed of these users": a live call takes it along.
Index(
    "ix_deliveries_replayed",
    deliveries.c.subject,
    deliveries.c.lane,
    deliveries.c.state,
    deliveries.c.id,
    postgresql_where=REPLAYED,
    sqlite_where=REPLAYED,
)

# Who is never to be known again: digests of identifiers, so that the list itself says nothing about anybody.
suppressions: Final = Table(
    "suppressions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("at", Instant, nullable=False),
)

# What was done when a user was forgotten, without a word about who it was.
receipts: Final = Table(
    "receipts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("digest", Text, nullable=False),
    # Counts by table, as JSON.
    Column("erased", Text, nullable=False),
    # What Moesif answered; null where it was not asked.
    Column("in_moesif", Text),
)

# What the digests are made with, so that nobody can make a list of them beforehand; one row.
salts: Final = Table(
    "salts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("salt", Text, nullable=False),
)

# Up to when history has been thrown away, by table: what lies before can no longer be asked for.
purges: Final = Table(
    "purges",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until", Instant, nullable=False),
)

lanes: Final = Table(
    "lanes",
    metadata,
    Column("lane", Text, primary_key=True),
    # Nobody sends before this instant; an open lane has no row.
    Column("paused_until", Instant, nullable=False),
    # By the clock of whoever paused it; none where an older release did.
    Column("paused_at", Instant),
    Column("reason", Text, nullable=False),
    # The key was refused: whoever starts to send may try again at once, since it may have been mended.
    Column("key_refused", Boolean(name="key_refused"), nullable=False),
    # Failures in a row.
    Column("failures", Integer, nullable=False),
)

# The JSON type that each metadata key was accepted with first: see `sync.store.metadata_types`.
metadata_types: Final = Table(
    "metadata_types",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("since", Instant, nullable=False),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    # Rises with every change of hands.
    Column("epoch", Integer, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

heartbeats: Final = Table(
    "heartbeats",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("detail", Text, nullable=False),
)
