"""Laptops that speak in people's own voices, and what they still have to forget."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "laptops",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("urls", sa.JSON, nullable=False),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("paired", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_laptops"),
    )
    op.create_table(
        "laptop_debts",
        sa.Column("laptop", sa.String, nullable=False),
        sa.Column("speaker", sa.String, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("laptop", "speaker", name="pk_laptop_debts"),
        sa.ForeignKeyConstraint(
            ["laptop"], ["laptops.id"], name="fk_laptop_debts_laptop", ondelete="CASCADE"
        ),
    )
