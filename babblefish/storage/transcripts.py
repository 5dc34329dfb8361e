"""What was said in rooms and how it was translated: kept as long as the room's policy says.

Runs inside the caller's transaction; time is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError

from babblefish.errors import StorageError
from babblefish.storage import audit, erasure, rooms
from babblefish.storage.records import (
    Actor,
    SpokenLine,
    StoredRoom,
    TranscriptEntry,
    TranslatedLine,
)
from babblefish.storage.tables import rooms as room_table
from babblefish.storage.tables import speakers, translations, utterances
from babblefish.storage.trouble import code_of

_DAY = 86400.0


def store(
    connection: Connection,
    new_rooms: Sequence[StoredRoom],
    lines: Sequence[SpokenLine | TranslatedLine],
) -> int:
    """Write what a meeting produced; says how many lines could not be kept.

    A line that nobody wanted kept (the room's policy) is not one of them. One bad line never
    costs the others.
    """
    lost = 0
    for room in new_rooms:
        _attempt(rooms.save, connection, room)
    policies = {
        row.code: row.retention == "off" or (row.retention == "until_close" and row.closed)
        for row in connection.execute(
            select(room_table.c.code, room_table.c.retention, room_table.c.closed).where(
                room_table.c.code.in_({line.room for line in lines})
            )
        )
    }
    for line in lines:
        if line.room not in policies:
            lost += 1
        elif not policies[line.room]:
            write = _add_spoken if isinstance(line, SpokenLine) else _add_translated
            lost += not _attempt(write, connection, line)
    return lost


def _attempt(write: Any, connection: Connection, item: Any) -> bool:
    """False when ``item`` is at fault; raises when the database is."""
    try:
        return write(connection, item) is not False
    except (SQLAlchemyError, ValueError, TypeError, OverflowError, StorageError) as error:
        if code_of(error) is not None:
            raise
        return False


def _add_spoken(connection: Connection, line: SpokenLine) -> None:
    known = line.speaker_id is not None and connection.scalar(
        select(speakers.c.id).where(speakers.c.id == line.speaker_id)
    )
    values = {
        "sequence": line.sequence, "language": line.language, "text": line.text,
        "start": line.start, "seconds": line.seconds,
        "speaker_id": line.speaker_id if known else None,
        # a person who was deleted meanwhile has no name any more
        "speaker_name": line.speaker_name if known or line.speaker_id is None else "",
    }  # fmt: skip
    connection.execute(
        sqlite.insert(utterances)
        .values(room=line.room, utterance=line.utterance, **values)
        .on_conflict_do_update(index_elements=["room", "utterance"], set_=values)
    )


def _add_translated(connection: Connection, line: TranslatedLine) -> bool:
    spoken = connection.scalar(
        select(utterances.c.id).where(
            utterances.c.room == line.room, utterances.c.utterance == line.utterance
        )
    )
    if spoken is None:
        return False
    values = {"text": line.text, "quality": line.quality, "voice": line.voice}
    connection.execute(
        sqlite.insert(translations)
        .values(utterance_id=spoken, language=line.language, **values)
        .on_conflict_do_update(index_elements=["utterance_id", "language"], set_=values)
    )
    return True


def read(
    connection: Connection, room: str, after: int, limit: int, words: str, newest: bool = False
) -> list[TranscriptEntry]:
    """Entries of ``room`` after sequence number ``after``, in order: the first ``limit`` of them,
    or the ``newest``. ``words``: only those in which original, translation or speaker's name
    contain them, in whichever case."""
    query = select(utterances).where(utterances.c.room == room, utterances.c.sequence > after)
    if words:
        needle = words.casefold()
        query = query.where(
            or_(
                func.instr(func.folded(utterances.c.text), needle) > 0,
                func.instr(func.folded(utterances.c.speaker_name), needle) > 0,
                exists().where(
                    translations.c.utterance_id == utterances.c.id,
                    func.instr(func.folded(translations.c.text), needle) > 0,
                ),
            )
        )
    order = (utterances.c.sequence, utterances.c.id)
    query = query.order_by(*(c.desc() for c in order) if newest else order).limit(limit)
    rows = connection.execute(query).all()
    by_utterance = _translations(connection, query)
    entries = [_entry(row, by_utterance.get(row.id, [])) for row in rows]
    return entries[::-1] if newest else entries


def _translations(connection: Connection, query: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    wanted = query.with_only_columns(utterances.c.id).subquery()
    for row in connection.execute(
        select(translations)
        .where(translations.c.utterance_id.in_(select(wanted.c.id)))
        .order_by(translations.c.language)
    ):
        found.setdefault(row.utterance_id, []).append(row)
    return found


def _entry(row: Row[Any], found: Sequence[Any]) -> TranscriptEntry:
    spoken = SpokenLine(
        row.room, row.utterance, row.sequence, row.speaker_name, row.language, row.text,
        row.start, row.seconds, row.speaker_id,
    )  # fmt: skip
    return TranscriptEntry(
        spoken,
        tuple(
            TranslatedLine(row.room, row.utterance, t.language, t.text, t.quality, t.voice)
            for t in found
        ),
    )


def last_sequence(connection: Connection, room: str) -> int:
    query = select(func.max(utterances.c.sequence)).where(utterances.c.room == room)
    return connection.scalar(query) or 0


def remove(connection: Connection, now: float, room: str, actor: Actor) -> None:
    """Everything that was said in ``room``; the room stays."""
    connection.execute(delete(utterances).where(utterances.c.room == room))
    erasure.mark(connection, everywhere=True)
    audit.note(connection, now, actor, "transcripts_deleted", room)


def remove_room(connection: Connection, now: float, room: str, actor: Actor) -> None:
    """The room and everything that was said in it."""
    connection.execute(delete(room_table).where(room_table.c.code == room))
    erasure.mark(connection, everywhere=True)
    audit.note(connection, now, actor, "room_deleted", room)


def close_room(connection: Connection, now: float, room: str) -> None:
    """Nobody enters any more; what is kept until then goes."""
    connection.execute(
        update(room_table)
        .where(room_table.c.code == room, room_table.c.closed.is_(None))
        .values(closed=now)
    )
    expire(connection, now)


def expire(connection: Connection, now: float) -> int:
    """Close rooms whose time has come, and delete transcripts as each room's policy says and
    closed rooms of which nothing is left. Says how many utterances were deleted."""
    connection.execute(
        update(room_table)
        .where(room_table.c.expires <= now, room_table.c.closed.is_(None))
        .values(closed=room_table.c.expires)
    )
    oldest = now - room_table.c.retention_days * _DAY
    over = exists().where(
        room_table.c.code == utterances.c.room,
        or_(
            room_table.c.retention == "off",
            and_(room_table.c.retention == "until_close", room_table.c.closed.is_not(None)),
            and_(room_table.c.retention == "days", utterances.c.start < oldest),
        ),
    )
    concerned = connection.scalars(select(utterances.c.room).where(over).distinct()).all()
    deleted = connection.execute(delete(utterances).where(over)).rowcount
    for room in concerned:
        audit.note(connection, now, "server", "transcripts_expired", room)
    left = exists().where(utterances.c.room == room_table.c.code)
    gone = connection.execute(delete(room_table).where(room_table.c.closed.is_not(None), ~left))
    if deleted or gone.rowcount:
        erasure.mark(connection)
    return deleted
