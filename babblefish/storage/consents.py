"""Consents: what a person agreed to, word for word, and what may be kept because of it.

Runs inside the caller's transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import Connection, Table, delete, insert, select, update

from babblefish.errors import StorageError
from babblefish.storage import audit, erasure, laptops
from babblefish.storage.records import (
    Actor,
    Consent,
    ConsentForm,
    Purpose,
    Source,
    required_consents,
)
from babblefish.storage.tables import AS_ADDED, clips, embeddings, speakers
from babblefish.storage.tables import consents as table


def give(
    connection: Connection, now: float, speaker: str, form: ConsentForm, actor: Actor
) -> Consent:
    """Raises StorageError("not_found" | "bad_value")."""
    if not connection.scalar(select(speakers.c.id).where(speakers.c.id == speaker)):
        raise StorageError("not_found", "This person is not stored any more. Reload the list.")
    words = (form.given_by, form.wording, form.version, form.language)
    if form.purpose not in get_args(Purpose) or not all(word.strip() for word in words):
        raise StorageError(
            "bad_value", "A consent says for what, by whom, in which words, version and language."
        )
    consent = Consent(secrets.token_hex(8), speaker, form, now)
    connection.execute(
        insert(table).values(
            id=consent.id, speaker=speaker, purpose=form.purpose, given_by=form.given_by,
            wording=form.wording, version=form.version, language=form.language, given=now,
        )
    )  # fmt: skip
    audit.note(connection, now, actor, f"consent_given_{form.purpose}", speaker)
    return consent


def of(connection: Connection, speaker: str) -> list[Consent]:
    """Withdrawn ones too, the oldest first."""
    found = connection.execute(
        select(table).where(table.c.speaker == speaker).order_by(table.c.given, AS_ADDED)
    )
    return [_consent(row) for row in found]


def current(connection: Connection, speaker: str) -> frozenset[Purpose]:
    """What ``speaker`` agrees to now."""
    return frozenset(
        connection.scalars(
            select(table.c.purpose).where(table.c.speaker == speaker, table.c.withdrawn.is_(None))
        )
    )


def require(connection: Connection, speaker: str, purpose: Purpose, source: Source) -> None:
    """Raises StorageError("consent")."""
    if missing := required_consents(purpose, source) - current(connection, speaker):
        raise StorageError(
            "consent",
            f"This person has not agreed to {_in_words(missing)}. Ask them, and record their "
            "consent first.",
        )


def require_all(connection: Connection, speaker: str) -> None:
    """Whether ``speaker`` agrees to everything that is kept of them. Raises
    StorageError("consent")."""
    for row in _material(connection, speaker):
        require(connection, speaker, row.purpose, row.source)


def withdraw(
    connection: Connection, now: float, speaker: str, purpose: Purpose, actor: Actor
) -> None:
    """Ends every consent to ``purpose`` and deletes what needed one.

    Raises StorageError("not_found") when there is none.
    """
    ended = connection.execute(
        update(table)
        .where(table.c.speaker == speaker, table.c.purpose == purpose, table.c.withdrawn.is_(None))
        .values(withdrawn=now)
    )
    if not ended.rowcount:
        raise StorageError("not_found", "There is no such consent any more. Reload the list.")
    for row in _material(connection, speaker):
        if purpose in required_consents(row.purpose, row.source):
            connection.execute(delete(row.table).where(row.table.c.id == row.id))
    if purpose in ("cloning", "passive_collection"):
        laptops.owe(connection, now, (speaker,))
    erasure.mark(connection, everywhere=True)
    audit.note(connection, now, actor, f"consent_withdrawn_{purpose}", speaker)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A clip or an embedding, as far as consent matters."""

    table: Table
    id: str
    purpose: Purpose
    source: Source


def _material(connection: Connection, speaker: str) -> list[_Kept]:
    recordings = connection.execute(
        select(clips.c.id, clips.c.purpose, clips.c.source).where(clips.c.speaker == speaker)
    )
    prints = connection.execute(
        select(embeddings.c.id, embeddings.c.source).where(embeddings.c.speaker == speaker)
    )
    return [_Kept(clips, row.id, row.purpose, row.source) for row in recordings] + [
        _Kept(embeddings, row.id, "voiceprint", row.source) for row in prints
    ]


def _in_words(purposes: frozenset[Purpose]) -> str:
    words = {
        "voiceprint": "a voiceprint",
        "cloning": "a copy of their voice",
        "passive_collection": "recordings being collected during meetings",
    }
    return " and ".join(words[purpose] for purpose in sorted(purposes))


def _consent(row: Any) -> Consent:
    form = ConsentForm(row.purpose, row.given_by, row.wording, row.version, row.language)
    return Consent(row.id, row.speaker, form, row.given, row.withdrawn)
