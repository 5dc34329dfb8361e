"""Voiceprints and clips of speakers: kept with their consent only. Knows no sound.

Embeddings run inside the caller's transaction. A clip is a file first and a row afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from sqlalchemy import Connection, delete, insert, select

from babblefish.errors import StorageError
from babblefish.storage import audit, consents, erasure, files
from babblefish.storage.database import Database
from babblefish.storage.records import Actor, Clip, Embedding, NewClip, Purpose, Source
from babblefish.storage.tables import AS_ADDED, clips, embeddings

MAX_CLIP_BYTES = 16 * 1024 * 1024
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")


def add_embedding(
    connection: Connection, now: float, speaker: str, encoder: str, vector: np.ndarray,
    seconds: float, source: Source, actor: Actor,
) -> Embedding:  # fmt: skip
    """vector: shape (n,), finite. Raises StorageError("consent" | "bad_value")."""
    consents.require(connection, speaker, "voiceprint", source)
    values = np.asarray(vector, "<f4")
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise StorageError("bad_value", "A voiceprint is a row of finite numbers. Record it again.")
    made = Embedding(secrets.token_hex(8), speaker, encoder, values.tobytes(), seconds, source, now)
    connection.execute(
        insert(embeddings).values(
            id=made.id, speaker=speaker, encoder=encoder, vector=made.vector, seconds=seconds,
            source=source, made=now,
        )
    )  # fmt: skip
    audit.note(connection, now, actor, "embedding_added", speaker)
    return made


def list_embeddings(
    connection: Connection, speaker: str | None, encoder: str | None
) -> list[Embedding]:
    """Of one speaker or all, of one encoder or all, the oldest first."""
    query = select(embeddings).order_by(embeddings.c.made, AS_ADDED)
    if speaker is not None:
        query = query.where(embeddings.c.speaker == speaker)
    if encoder is not None:
        query = query.where(embeddings.c.encoder == encoder)
    return [
        Embedding(r.id, r.speaker, r.encoder, r.vector, r.seconds, r.source, r.made)
        for r in connection.execute(query)
    ]


def remove_embeddings(connection: Connection, now: float, ids: Sequence[str], actor: Actor) -> None:
    _remove(connection, embeddings, ids)
    for subject in ids:
        audit.note(connection, now, actor, "embedding_deleted", subject)


def add_clip(database: Database, now: float, speaker: str, new: NewClip, actor: Actor) -> Clip:
    """Raises StorageError("consent" | "bad_value"), and OSError when the file cannot be written."""
    _check(new)
    with database.begin(write=False) as connection:
        consents.require(connection, speaker, new.purpose, new.source)
    made = write_clip(database, now, speaker, new)
    try:
        with database.begin() as connection:
            insert_clip(connection, made, actor)
    except BaseException:
        discard(database, [made])
        raise
    return made


def write_clip(database: Database, now: float, speaker: str, new: NewClip) -> Clip:
    """The file of a clip, without its row. Raises StorageError("bad_value") and OSError."""
    _check(new)
    name = files.write_new(database.clips, new.audio, new.suffix)
    return Clip(
        secrets.token_hex(8), speaker, name, new.seconds, new.text, new.language, new.source,
        new.purpose, dict(new.quality), hashlib.sha256(new.audio).hexdigest(), len(new.audio), now,
    )  # fmt: skip


def insert_clip(connection: Connection, made: Clip, actor: Actor) -> None:
    """The row of a clip whose file is written."""
    connection.execute(
        insert(clips).values(
            id=made.id, speaker=made.speaker, file=made.file, seconds=made.seconds, text=made.text,
            language=made.language, source=made.source, purpose=made.purpose,
            quality=made.quality, sha256=made.sha256, size=made.size, made=made.made,
        )
    )  # fmt: skip
    audit.note(connection, made.made, actor, "clip_added", made.speaker)


def discard(database: Database, made: Sequence[Clip]) -> None:
    """Files of clips that got no row."""
    for clip in made:
        with contextlib.suppress(OSError):
            (database.clips / clip.file).unlink()


def list_clips(connection: Connection, speaker: str, purpose: Purpose | None) -> list[Clip]:
    """The oldest first; with ``purpose``, what may be used for it."""
    query = select(clips).where(clips.c.speaker == speaker).order_by(clips.c.made, AS_ADDED)
    if purpose is not None:
        query = query.where(clips.c.purpose == purpose)
    return [_clip(row) for row in connection.execute(query)]


def read_clip(database: Database, clip: str) -> bytes:
    """The file as it was kept. Raises StorageError("not_found" | "clip_damaged")."""
    with database.begin(write=False) as connection:
        row = connection.execute(select(clips).where(clips.c.id == clip)).first()
    if row is None:
        raise StorageError("not_found", "This recording is not stored any more. Reload the list.")
    path = database.clips / row.file
    data = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise StorageError("clip_damaged", "This recording is damaged. Delete it and record again.")
    return data


def remove_clips(connection: Connection, now: float, ids: Sequence[str], actor: Actor) -> None:
    """The files go when traces are erased, right after this transaction."""
    _remove(connection, clips, ids)
    for subject in ids:
        audit.note(connection, now, actor, "clip_deleted", subject)


def _remove(connection: Connection, table: Any, ids: Sequence[str]) -> None:
    gone = connection.execute(delete(table).where(table.c.id.in_(set(ids))))
    if gone.rowcount != len(set(ids)):
        raise StorageError("not_found", "Some of this is not stored any more. Reload the list.")
    erasure.mark(connection, everywhere=True)


def _check(new: NewClip) -> None:
    if not new.audio or len(new.audio) > MAX_CLIP_BYTES:
        limit = MAX_CLIP_BYTES // 1024**2
        raise StorageError("bad_value", f"A recording has up to {limit} MB. Record a shorter one.")
    if not _SUFFIX.fullmatch(new.suffix):
        raise StorageError("bad_value", "A recording's file name ends like .wav or .flac.")
    if new.source not in get_args(Source) or new.purpose not in get_args(Purpose):
        raise StorageError("bad_value", "A recording says where it comes from and what it is for.")


def _clip(row: Any) -> Clip:
    return Clip(
        row.id, row.speaker, row.file, row.seconds, row.text, row.language, row.source,
        row.purpose, row.quality, row.sha256, row.size, row.made,
    )  # fmt: skip
