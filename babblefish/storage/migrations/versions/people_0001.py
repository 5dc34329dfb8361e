"""The first tables: speakers, their consents, voiceprints and clips, and the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _of_speaker(table: str) -> tuple[sa.Column, sa.ForeignKeyConstraint]:
    return sa.Column("speaker", sa.String, nullable=False), sa.ForeignKeyConstraint(
        ["speaker"], ["speakers.id"], name=f"fk_{table}_speaker", ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "speakers",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("voice", sa.String, nullable=False),
        sa.Column("voices", sa.JSON, nullable=False),
        sa.Column("color", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_speakers"),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.String, nullable=False),
        *_of_speaker("consents"),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("given_by", sa.Text, nullable=False),
        sa.Column("wording", sa.Text, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("given", sa.Float, nullable=False),
        sa.Column("withdrawn", sa.Float, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_consents"),
    )
    op.create_table(
        "embeddings",
        sa.Column("id", sa.String, nullable=False),
        *_of_speaker("embeddings"),
        sa.Column("encoder", sa.String, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_embeddings"),
    )
    op.create_table(
        "clips",
        sa.Column("id", sa.String, nullable=False),
        *_of_speaker("clips"),
        sa.Column("file", sa.String, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("quality", sa.JSON, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_clips"),
        sa.UniqueConstraint("file", name="uq_clips_file"),
    )
    for table in ("consents", "embeddings", "clips"):
        op.create_index(f"ix_{table}_speaker", table, ["speaker"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("act", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
