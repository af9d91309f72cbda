"""By which a rejected call is known that comes again out of a spool.

Safe while the previous release runs: what it adds has no id, which is as it was.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rejected_calls", sa.Column("rejection_id", sa.Text(), nullable=True))
    op.create_index(op.f("ix_rejected_calls_rejection_id"), "rejected_calls", ["rejection_id"], unique=True)


def downgrade() -> None:
    op.drop_index(op.f("ix_rejected_calls_rejection_id"), table_name="rejected_calls")
    op.drop_column("rejected_calls", "rejection_id")
