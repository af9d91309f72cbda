"""How many slots of its schedule passed that nobody computed an audience or computed trait for.

Safe while the previous release runs: it neither reads nor writes what is new here, so that it counts none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audiences", sa.Column("slots_skipped", sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.drop_column("audiences", "slots_skipped")
