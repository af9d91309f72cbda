"""What is on its way to Moesif, by claim, where each row of the ledger was marked before.

Stop whoever sends (`serve`, `sync`, `audit --repair`) before: the previous release marks rows where this one no longer looks, and
fails as soon as it sends. What it left on its way is unknown from now on, and goes first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LEFT = "the program was upgraded before the answer came"


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lease", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("audience_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sent", sa.Text(), nullable=False),
        sa.Column("profiles", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
    )
    op.create_index(op.f("ix_claims_audience_id"), "claims", ["audience_id"])
    _forget_what_is_on_its_way()
    op.drop_column("memberships", "sent")


def downgrade() -> None:
    op.add_column("memberships", sa.Column("sent", sa.Text(), nullable=True))
    # Whose rows are in a claim is left as it is: owed, and so told once more.
    op.drop_index(op.f("ix_claims_audience_id"), table_name="claims")
    op.drop_table("claims")


def _forget_what_is_on_its_way() -> None:
    m = sa.table("memberships", *map(sa.column, ("state", "accepted", "accepted_at", "reason", "value")))
    gone = sa.case((m.c.value.is_(None), "settled"), else_="unknown")
    left = sa.update(m).where(m.c.state == "sending", sa.text("state <> 'settled'"))
    op.execute(left.values(state=gone, accepted=None, accepted_at=None, reason=LEFT))
