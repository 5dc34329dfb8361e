"""Enrolment: a person with consents, voiceprints and clips, kept whole or not at all."""

from __future__ import annotations

import secrets
from typing import get_args

from sqlalchemy import Connection, delete

from babblefish.storage import audit, consents, erasure, material, speakers
from babblefish.storage.database import Database
from babblefish.storage.records import Actor, Clip, NewEnrolment, Source, Speaker
from babblefish.storage.tables import clips, embeddings

_ON_PURPOSE = tuple(source for source in get_args(Source) if source != "meeting")


def keep(database: Database, now: float, new: NewEnrolment, actor: Actor) -> Speaker:
    """Files first, then every row in one transaction: what a crash leaves behind are files that
    nothing refers to, which the next start sweeps away.

    Raises StorageError("not_found" | "consent" | "bad_value"), and OSError when a file cannot be
    written.
    """
    id_ = new.speaker or secrets.token_hex(8)
    written: list[Clip] = []
    try:
        for clip in new.clips:
            written.append(material.write_clip(database, now, id_, clip))
        with database.begin() as connection:
            return _keep_rows(connection, now, id_, new, written, actor)
    except BaseException:
        material.discard(database, written)
        raise


def _keep_rows(
    connection: Connection, now: float, id_: str, new: NewEnrolment, written: list[Clip],
    actor: Actor,
) -> Speaker:  # fmt: skip
    if new.speaker is None:
        speaker = speakers.add(connection, now, new.name, new.voice, new.color, actor, id_)
    else:
        speaker = speakers.get(connection, id_)
    if new.speaker and new.replace:
        for table in (embeddings, clips):
            earlier = (table.c.speaker == id_) & table.c.source.in_(_ON_PURPOSE)
            connection.execute(delete(table).where(earlier))
        erasure.mark(connection, everywhere=True)
        audit.note(connection, now, actor, "recordings_replaced", id_)
    for form in new.forms:
        consents.give(connection, now, id_, form, actor)
    for made in new.embeddings:
        material.add_embedding(
            connection, now, id_, made.encoder, made.vector, made.seconds, made.source, actor
        )
    for clip in written:
        consents.require(connection, id_, clip.purpose, clip.source)
        material.insert_clip(connection, clip, actor)
    return speaker
