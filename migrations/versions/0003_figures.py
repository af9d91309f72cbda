"""What metrics show: tallies of what was sent, and the runs that still deliver.

Safe while the previous release runs: it neither reads nor writes what is new here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DELIVERING = sa.text("outcome = 'delivering'")


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "outcome", name=op.f("pk_tallies")),
    )
    op.create_index("ix_runs_delivering", "runs", ["started_at"], sqlite_where=DELIVERING, postgresql_where=DELIVERING)


def downgrade() -> None:
    op.drop_index("ix_runs_delivering", table_name="runs")
    op.drop_table("tallies")
