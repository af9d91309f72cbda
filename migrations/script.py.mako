"""${message}

Safe while the previous release runs: (say why, or say what must stop first)

A migration imports nothing from `sync`: it runs years later, on whatever the program has become.
Large tables: fill in steps of a few thousand rows; build PostgreSQL indexes CONCURRENTLY.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
