"""Syncs that somebody asks for over HTTP.

Safe while the previous release runs: it neither reads nor writes what is new here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "requested_syncs",
        sa.Column("audience_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["audience_id"], ["audiences.id"], name=op.f("fk_requested_syncs_audience_id_audiences")),
        sa.PrimaryKeyConstraint("audience_id", name=op.f("pk_requested_syncs")),
    )


def downgrade() -> None:
    op.drop_table("requested_syncs")
