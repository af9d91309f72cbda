"""Which queued calls are replayed ones, so that live ones go before them.

Safe while the previous release runs: what it queues has the default, and it sends in the order of the queue, as it did.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

REPLAYED = sa.text("replayed AND subject <> ''")


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("replayed", sa.Boolean(name="replayed"), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_deliveries_replayed",
        "deliveries",
        ["subject", "lane", "state", "id"],
        unique=False,
        postgresql_where=REPLAYED,
        sqlite_where=REPLAYED,
    )
    op.drop_index("ix_deliveries_lane", table_name="deliveries")
    op.create_index("ix_deliveries_lane", "deliveries", ["lane", "state", "replayed", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_deliveries_lane", table_name="deliveries")
    op.create_index("ix_deliveries_lane", "deliveries", ["lane", "state", "id"], unique=False)
    op.drop_index("ix_deliveries_replayed", table_name="deliveries", postgresql_where=REPLAYED, sqlite_where=REPLAYED)
    # SQLite drops a column in place only where nothing refers to it, which is so here.
    op.drop_column("deliveries", "replayed")
