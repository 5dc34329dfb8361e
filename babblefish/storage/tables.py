"""The tables of the database, as the newest migration leaves them. Knows no queries."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)

REVISION = "0004"
"""the newest migration in ``migrations/versions``"""

AS_ADDED = literal_column("rowid")
"""orders what was added in the same moment"""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _of_speaker() -> Column:
    return Column(
        "speaker", String, ForeignKey("speakers.id", ondelete="CASCADE"), nullable=False, index=True
    )


speakers = Table(
    "speakers", metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("voice", String, nullable=False),
    Column("voices", JSON, nullable=False),
    Column("color", Integer, nullable=False),
    Column("created", Float, nullable=False),
)  # fmt: skip

consents = Table(
    "consents", metadata,
    Column("id", String, primary_key=True),
    _of_speaker(),
    Column("purpose", String, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("wording", Text, nullable=False),
    Column("version", String, nullable=False),
    Column("language", String, nullable=False),
    Column("given", Float, nullable=False),
    Column("withdrawn", Float, nullable=True),
)  # fmt: skip

embeddings = Table(
    "embeddings", metadata,
    Column("id", String, primary_key=True),
    _of_speaker(),
    Column("encoder", String, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("source", String, nullable=False),
    Column("made", Float, nullable=False),
)  # fmt: skip

clips = Table(
    "clips", metadata,
    Column("id", String, primary_key=True),
    _of_speaker(),
    Column("file", String, nullable=False, unique=True),
    Column("seconds", Float, nullable=False),
    Column("text", Text, nullable=False),
    Column("language", String, nullable=False),
    Column("source", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("quality", JSON, nullable=False),
    Column("sha256", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("made", Float, nullable=False),
)  # fmt: skip

audit = Table(
    "audit", metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("act", String, nullable=False),
    Column("subject", String, nullable=False),
)  # fmt: skip

rooms = Table(
    "rooms", metadata,
    Column("code", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("preset", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=True),
    Column("closed", Float, nullable=True),
    Column("locked", Boolean, nullable=False),
    Column("retention", String, nullable=False),
    Column("retention_days", Integer, nullable=False),
    Column("glossary", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
)  # fmt: skip

room_tokens = Table(
    "room_tokens", metadata,
    Column("sha256", String, primary_key=True),
    Column("room", String, ForeignKey("rooms.code", ondelete="CASCADE"), nullable=False,
           index=True),
    Column("expires", Float, nullable=False),
)  # fmt: skip

utterances = Table(
    "utterances", metadata,
    Column("id", Integer, primary_key=True),
    Column("room", String, ForeignKey("rooms.code", ondelete="CASCADE"), nullable=False),
    Column("utterance", String, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("speaker_id", String, ForeignKey("speakers.id", ondelete="SET NULL"), nullable=True,
           index=True),
    Column("speaker_name", Text, nullable=False),
    Column("language", String, nullable=False),
    Column("start", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("text", Text, nullable=False),
    UniqueConstraint("room", "utterance"),
    Index(None, "room", "sequence"),
)  # fmt: skip

translations = Table(
    "translations", metadata,
    Column("id", Integer, primary_key=True),
    Column("utterance_id", Integer, ForeignKey("utterances.id", ondelete="CASCADE"),
           nullable=False),
    Column("language", String, nullable=False),
    Column("text", Text, nullable=False),
    Column("quality", String, nullable=False),
    Column("voice", String, nullable=False),
    UniqueConstraint("utterance_id", "language"),
)  # fmt: skip

laptops = Table(
    "laptops", metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("urls", JSON, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("paired", Float, nullable=False),
)  # fmt: skip

laptop_debts = Table(
    "laptop_debts", metadata,
    Column("laptop", String, ForeignKey("laptops.id", ondelete="CASCADE"), primary_key=True),
    Column("speaker", String, primary_key=True),
    Column("since", Float, nullable=False),
)  # fmt: skip
"""voices that a laptop has to forget and may still have; the person is often gone already"""

api_keys = Table(
    "api_keys", metadata,
    Column("id", String, primary_key=True),
    Column("name", Text, nullable=False),
    Column("sha256", String, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("per_minute", Integer, nullable=False),
    Column("connections", Integer, nullable=False),
    Column("made", Float, nullable=False),
    Column("used", Float, nullable=True),
)  # fmt: skip
