"""The JSON type that each metadata key was accepted with first.

Safe while the previous release runs: it neither reads nor writes what is new here.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "metadata_types",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "key", name=op.f("pk_metadata_types")),
    )


def downgrade() -> None:
    op.drop_table("metadata_types")
