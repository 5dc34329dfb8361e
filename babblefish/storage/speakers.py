"""Speakers: known people, merged, split and deleted. Runs inside the caller's transaction."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from babblefish.errors import StorageError
from babblefish.storage import audit, consents, erasure, laptops
from babblefish.storage.records import Actor, ConsentForm, Speaker
from babblefish.storage.tables import clips, embeddings, rooms, utterances
from babblefish.storage.tables import consents as consent_table
from babblefish.storage.tables import speakers as table

_MAX_NAME = 200
Spoken = Literal["delete", "anonymise"]


def add(
    connection: Connection, now: float, name: str, voice: str, color: int, actor: Actor,
    id_: str = "",
) -> Speaker:  # fmt: skip
    """Raises StorageError("bad_value") without a name."""
    speaker = Speaker(id_ or secrets.token_hex(8), _checked(name), voice, {}, color, now)
    connection.execute(
        insert(table).values(
            id=speaker.id, name=speaker.name, voice=voice, voices={}, color=color, created=now
        )
    )
    audit.note(connection, now, actor, "speaker_added", speaker.id)
    return speaker


def everybody(connection: Connection) -> list[Speaker]:
    """By name."""
    found = connection.execute(select(table).order_by(func.folded(table.c.name), table.c.created))
    return [_speaker(row) for row in found]


def get(connection: Connection, speaker: str) -> Speaker:
    """Raises StorageError("not_found")."""
    row = connection.execute(select(table).where(table.c.id == speaker)).first()
    if row is None:
        raise StorageError("not_found", "This person is not stored any more. Reload the list.")
    return _speaker(row)


def change(
    connection: Connection, now: float, speaker: str, changes: dict[str, Any], actor: Actor
) -> Speaker:
    """``changes``: name, voice, voices, color. A new name goes into transcripts too."""
    before = get(connection, speaker)
    if unknown := set(changes) - {"name", "voice", "voices", "color"}:
        raise StorageError("bad_value", f"A speaker has no {', '.join(sorted(unknown))}.")
    if "name" in changes:
        changes["name"] = _checked(changes["name"])
    if not changes:
        return before
    connection.execute(update(table).where(table.c.id == speaker).values(**changes))
    if changes.get("name", before.name) != before.name:
        _rename_lines(connection, speaker, speaker, changes["name"])
        erasure.mark(connection)
        audit.note(connection, now, actor, "speaker_renamed", speaker)
    return get(connection, speaker)


def remove(connection: Connection, now: float, speaker: str, spoken: Spoken, actor: Actor) -> None:
    """Everything about a person; what they said in meetings too, or only that it was them."""
    name = get(connection, speaker).name
    theirs = utterances.c.speaker_id == speaker
    if spoken == "delete":
        connection.execute(delete(utterances).where(theirs))
    else:
        connection.execute(
            update(utterances).where(theirs).values(speaker_id=None, speaker_name="")
        )
    _forget_term(connection, name)
    connection.execute(delete(table).where(table.c.id == speaker))
    laptops.owe(connection, now, (speaker,))
    erasure.mark(connection, everywhere=True)
    audit.note(connection, now, actor, "speaker_deleted", speaker)


def merge(connection: Connection, now: float, keep: str, other: str, actor: Actor) -> Speaker:
    """``other`` turned out to be ``keep``: all of theirs becomes ``keep``'s."""
    kept = get(connection, keep)
    get(connection, other)
    if keep == other:
        raise StorageError("bad_value", "These are one person already. Choose two.")
    for owned in (consent_table, embeddings, clips):
        connection.execute(update(owned).where(owned.c.speaker == other).values(speaker=keep))
    _rename_lines(connection, other, keep, kept.name)
    connection.execute(delete(table).where(table.c.id == other))
    laptops.owe(connection, now, (other,))
    erasure.mark(connection)
    audit.note(connection, now, actor, "speaker_merged_into", keep)
    audit.note(connection, now, actor, "speaker_merged_away", other)
    return kept


def split(
    connection: Connection, now: float, speaker: str, name: str, *, clip_ids: Sequence[str],
    embedding_ids: Sequence[str], consent_ids: Sequence[str], forms: Sequence[ConsentForm],
    actor: Actor,
) -> Speaker:  # fmt: skip
    """Some of ``speaker``'s material is somebody else's: a new speaker gets it, with consents of
    their own (``forms``) or those that were theirs all along (``consent_ids``).

    Raises StorageError("consent") when that leaves either of the two with something that they
    did not agree to, StorageError("not_found") for ids that are not ``speaker``'s.
    """
    old = get(connection, speaker)
    new = add(connection, now, name, "closest", old.color + 1, actor)
    for owned, ids in (
        (clips, clip_ids),
        (embeddings, embedding_ids),
        (consent_table, consent_ids),
    ):
        wanted = set(ids)
        moved = connection.execute(
            update(owned)
            .where(owned.c.id.in_(wanted), owned.c.speaker == speaker)
            .values(speaker=new.id)
        )
        if moved.rowcount != len(wanted):
            raise StorageError("not_found", "Some of this is not stored any more. Reload the list.")
    for form in forms:
        consents.give(connection, now, new.id, form, actor)
    consents.require_all(connection, new.id)
    consents.require_all(connection, speaker)
    if clip_ids:
        laptops.owe(connection, now, (speaker,))
    audit.note(connection, now, actor, "speaker_split", speaker)
    return new


def _rename_lines(connection: Connection, old: str, new: str, name: str) -> None:
    connection.execute(
        update(utterances)
        .where(utterances.c.speaker_id == old)
        .values(speaker_id=new, speaker_name=name)
    )


def _forget_term(connection: Connection, name: str) -> None:
    for row in connection.execute(select(rooms.c.code, rooms.c.glossary)).all():
        kept = [term for term in row.glossary if term.casefold() != name.casefold()]
        if len(kept) < len(row.glossary):
            connection.execute(update(rooms).where(rooms.c.code == row.code).values(glossary=kept))


def _checked(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _MAX_NAME:
        raise StorageError("bad_value", f"A name has 1 to {_MAX_NAME} characters.")
    return name


def _speaker(row: Any) -> Speaker:
    return Speaker(row.id, row.name, row.voice, row.voices, row.color, row.created)
