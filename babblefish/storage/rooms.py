"""Rooms that outlive the process: their settings and the hashes of their links.

Runs inside the caller's transaction. Knows nothing of who is in a room.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import sqlite

from babblefish.errors import StorageError
from babblefish.storage.records import Retention, StoredRoom, TokenHash
from babblefish.storage.tables import room_tokens
from babblefish.storage.tables import rooms as table


def save(connection: Connection, room: StoredRoom) -> None:
    """``room`` as it is now; links that are not in it open nothing any more."""
    if room.retention.kind == "days" and room.retention.days < 1:
        raise StorageError("bad_value", "Transcripts are kept for at least one day.")
    values = {
        "name": room.name, "preset": room.preset, "created": room.created,
        "expires": room.expires, "closed": room.closed, "locked": room.locked,
        "retention": room.retention.kind, "retention_days": room.retention.days,
        "glossary": list(room.glossary), "settings": dict(room.settings),
    }  # fmt: skip
    connection.execute(
        sqlite.insert(table)
        .values(code=room.code, **values)
        .on_conflict_do_update(index_elements=["code"], set_=values)
    )
    connection.execute(delete(room_tokens).where(room_tokens.c.room == room.code))
    for token in room.tokens:
        connection.execute(
            insert(room_tokens).values(sha256=token.sha256, room=room.code, expires=token.expires)
        )


def everything(connection: Connection, *, closed: bool) -> list[StoredRoom]:
    """The oldest first; open ones only, unless ``closed``."""
    query = select(table).order_by(table.c.created, table.c.code)
    if not closed:
        query = query.where(table.c.closed.is_(None))
    return [_room(connection, row) for row in connection.execute(query).all()]


def get(connection: Connection, code: str) -> StoredRoom | None:
    row = connection.execute(select(table).where(table.c.code == code)).first()
    return None if row is None else _room(connection, row)


def _room(connection: Connection, row: Any) -> StoredRoom:
    found = connection.execute(
        select(room_tokens).where(room_tokens.c.room == row.code).order_by(room_tokens.c.expires)
    )
    return StoredRoom(
        row.code, row.name, row.preset, row.created,
        tuple(TokenHash(token.sha256, token.expires) for token in found),
        row.expires, row.closed, row.locked, Retention(row.retention, row.retention_days),
        tuple(row.glossary), row.settings,
    )  # fmt: skip
