"""Since when a lane waits: one that was paused by a clock that was ahead waits no longer.

Safe while the previous release runs: it neither reads nor writes what is new here, and of its own pauses only their end is known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lanes", sa.Column("paused_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("lanes", "paused_at")
