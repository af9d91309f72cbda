"""Who has a user id is known from an index alone, on PostgreSQL: a run had read the row of everybody whom it looked at.

The release before goes on working beside it. To make it takes a second for a million users, in which nobody new is taken in.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_profiles_known", "profiles", ["id"], unique=False, postgresql_where=sa.text("user_id IS NOT NULL"))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_profiles_known", table_name="profiles")
