"""Rooms that outlive the process, and their transcripts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "rooms",
        sa.Column("code", sa.String, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("preset", sa.String, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=True),
        sa.Column("closed", sa.Float, nullable=True),
        sa.Column("locked", sa.Boolean, nullable=False),
        sa.Column("retention", sa.String, nullable=False),
        sa.Column("retention_days", sa.Integer, nullable=False),
        sa.Column("glossary", sa.JSON, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_rooms"),
    )
    op.create_table(
        "room_tokens",
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("room", sa.String, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_room_tokens"),
        sa.ForeignKeyConstraint(
            ["room"], ["rooms.code"], name="fk_room_tokens_room", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_room_tokens_room", "room_tokens", ["room"])
    op.create_table(
        "utterances",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("room", sa.String, nullable=False),
        sa.Column("utterance", sa.String, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("speaker_id", sa.String, nullable=True),
        sa.Column("speaker_name", sa.Text, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("start", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_utterances"),
        sa.ForeignKeyConstraint(
            ["room"], ["rooms.code"], name="fk_utterances_room", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["speaker_id"], ["speakers.id"], name="fk_utterances_speaker_id", ondelete="SET NULL"
        ),
        sa.UniqueConstraint("room", "utterance", name="uq_utterances_room_utterance"),
    )
    op.create_index("ix_utterances_speaker_id", "utterances", ["speaker_id"])
    op.create_index("ix_utterances_room_sequence", "utterances", ["room", "sequence"])
    op.create_table(
        "translations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("utterance_id", sa.Integer, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("quality", sa.String, nullable=False),
        sa.Column("voice", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_translations"),
        sa.ForeignKeyConstraint(
            ["utterance_id"], ["utterances.id"], name="fk_translations_utterance_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "utterance_id", "language", name="uq_translations_utterance_id_language"
        ),
    )  # fmt: skip
