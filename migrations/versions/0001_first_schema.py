"""The first schema: calls, profiles, audiences, the ledger and what is owed.

Safe while the previous release runs: there is none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
DOCUMENT = sa.Text().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audiences",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("guard", sa.Text(), nullable=True),
        sa.Column("enabled", sa.Boolean(name="enabled"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.Column("computed_at", sa.BigInteger(), nullable=True),
        sa.Column("computed_version", sa.Integer(), nullable=True),
        sa.Column("slot_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audiences")),
        sa.UniqueConstraint("key", name=op.f("uq_audiences_key")),
    )
    op.create_table(
        "changes",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("audience_id", ROW_ID, nullable=False),
        sa.Column("profile_id", ROW_ID, nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", ROW_ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
    )
    op.create_index("ix_changes_audience", "changes", ["audience_id", "at", "profile_id"], unique=False)
    op.create_index("ix_changes_profile", "changes", ["profile_id", "audience_id", "at"], unique=False)
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    op.create_table(
        "lanes",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("paused_until", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("key_refused", sa.Boolean(name="key_refused"), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("lane", name=op.f("pk_lanes")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "memberships",
        sa.Column("audience_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("profile_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sent", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("run_id", ROW_ID, nullable=False),
        sa.PrimaryKeyConstraint("audience_id", "profile_id", name=op.f("pk_memberships")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_memberships_profile", "memberships", ["profile_id", "audience_id"], unique=False)
    op.create_index(
        "ix_memberships_unsettled",
        "memberships",
        ["audience_id", "state", "profile_id"],
        unique=False,
        postgresql_where=sa.text("state <> 'settled'"),
        sqlite_where=sa.text("state <> 'settled'"),
    )
    op.create_table(
        "profiles",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("traits", DOCUMENT, nullable=False),
        sa.Column("traits_at", DOCUMENT, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
        sa.UniqueConstraint("user_id", name=op.f("uq_profiles_user_id")),
    )
    op.create_table(
        "rejected_calls",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_calls")),
    )
    op.create_index(op.f("ix_rejected_calls_received_at"), "rejected_calls", ["received_at"], unique=False)
    op.create_table(
        "calls",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("profile_id", ROW_ID, nullable=False),
        sa.Column("event", sa.Text(), nullable=True),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("anonymous_id", sa.Text(), nullable=True),
        sa.Column("group_id", sa.Text(), nullable=True),
        sa.Column("previous_id", sa.Text(), nullable=True),
        sa.Column("properties", DOCUMENT, nullable=False),
        sa.Column("context", DOCUMENT, nullable=False),
        sa.Column("integrations", DOCUMENT, nullable=False),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_calls_profile_id_profiles")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
        sa.UniqueConstraint("message_id", name=op.f("uq_calls_message_id")),
    )
    op.create_index(
        "ix_calls_event",
        "calls",
        ["event", "timestamp", "profile_id"],
        unique=False,
        postgresql_where=sa.text("event IS NOT NULL"),
        sqlite_where=sa.text("event IS NOT NULL"),
    )
    op.create_index("ix_calls_profile", "calls", ["profile_id", "event", "timestamp"], unique=False)
    op.create_index("ix_calls_timestamp", "calls", ["timestamp"], unique=False)
    op.create_table(
        "identifiers",
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("profile_id", ROW_ID, nullable=False),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.id"], name=op.f("fk_identifiers_profile_id_profiles")),
        sa.PrimaryKeyConstraint("type", "value", name=op.f("pk_identifiers")),
    )
    op.create_index(op.f("ix_identifiers_profile_id"), "identifiers", ["profile_id"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("audience_id", ROW_ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("entered", sa.Integer(), nullable=False),
        sa.Column("exited", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("owed", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("unknown", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["audience_id"], ["audiences.id"], name=op.f("fk_runs_audience_id_audiences")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_audience", "runs", ["audience_id", "id"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("call_id", ROW_ID, nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name=op.f("fk_deliveries_call_id_calls")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_call_id"), "deliveries", ["call_id"], unique=False)
    op.create_index("ix_deliveries_lane", "deliveries", ["lane", "state", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_deliveries_lane", table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_call_id"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("ix_runs_audience", table_name="runs")
    op.drop_table("runs")
    op.drop_index(op.f("ix_identifiers_profile_id"), table_name="identifiers")
    op.drop_table("identifiers")
    op.drop_index("ix_calls_timestamp", table_name="calls")
    op.drop_index("ix_calls_profile", table_name="calls")
    op.drop_index(
        "ix_calls_event",
        table_name="calls",
        postgresql_where=sa.text("event IS NOT NULL"),
        sqlite_where=sa.text("event IS NOT NULL"),
    )
    op.drop_table("calls")
    op.drop_index(op.f("ix_rejected_calls_received_at"), table_name="rejected_calls")
    op.drop_table("rejected_calls")
    op.drop_table("profiles")
    op.drop_index(
        "ix_memberships_unsettled",
        table_name="memberships",
        postgresql_where=sa.text("state <> 'settled'"),
        sqlite_where=sa.text("state <> 'settled'"),
    )
    op.drop_index("ix_memberships_profile", table_name="memberships")
    op.drop_table("memberships")
    op.drop_table("leases")
    op.drop_table("lanes")
    op.drop_table("heartbeats")
    op.drop_index("ix_changes_profile", table_name="changes")
    op.drop_index("ix_changes_audience", table_name="changes")
    op.drop_table("changes")
    op.drop_table("audiences")
