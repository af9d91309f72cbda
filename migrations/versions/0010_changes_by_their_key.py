"""The history has one index beside its key, and its key is what it is about: two indexes cost half of what it takes to record.

Stop whoever computes, purges or forgets before (`serve`, `serve --only worker`, `sync`, `compute`, `purge`, `forget`): the previous
release asks for what is no longer there. On SQLite the table is written anew, and on either database where this is taken back.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEY = ("audience_id", "profile_id", "run_id")
_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _drop_indexes("ix_changes_profile", "ix_changes_audience")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("pk_changes", "changes")
        op.drop_column("changes", "id")
        op.create_primary_key("pk_changes", "changes", [*KEY])
    else:
        op.rename_table("changes", "changes_before")
        op.create_table(
            "changes",
            *(sa.Column(name, _ROW_ID, nullable=False, autoincrement=False) for name in KEY),
            *_what_changed(),
            sa.PrimaryKeyConstraint(*KEY, name="pk_changes"),
            sqlite_with_rowid=False,
        )
        _fill("audience_id, profile_id, run_id")
    op.create_index("ix_changes_run", "changes", ["audience_id", "run_id"], unique=False)


def downgrade() -> None:
    _drop_indexes("ix_changes_run")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("pk_changes", "changes")
    op.rename_table("changes", "changes_before")
    op.create_table(
        "changes",
        sa.Column("id", _ROW_ID, nullable=False),
        *(sa.Column(name, _ROW_ID, nullable=False) for name in KEY),
        *_what_changed(),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
    )
    # The previous release takes the order of the ids for that of what happened.
    _fill("run_id, audience_id, profile_id")
    op.create_index("ix_changes_audience", "changes", ["audience_id", "at", "profile_id"], unique=False)
    op.create_index("ix_changes_profile", "changes", ["profile_id", "audience_id", "at"], unique=False)


def _what_changed() -> tuple[sa.Column[str], sa.Column[int]]:
    return sa.Column("value", sa.Text(), nullable=True), sa.Column("at", sa.BigInteger(), nullable=False)


def _drop_indexes(*names: str) -> None:
    for name in names:
        op.drop_index(name, table_name="changes")


def _fill(order: str) -> None:
    columns = "audience_id, profile_id, run_id, value, at"
    # Only the names above are in it.
    op.execute(f"INSERT INTO changes ({columns}) SELECT {columns} FROM changes_before ORDER BY {order}")
    op.drop_table("changes_before")
