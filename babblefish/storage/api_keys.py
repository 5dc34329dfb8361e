"""Keys of programs: their hashes, what they may do, when they were last used.

The keys themselves are kept nowhere. Runs inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from babblefish.errors import StorageError
from babblefish.storage import audit
from babblefish.storage.records import Actor, StoredKey
from babblefish.storage.tables import api_keys as table
from babblefish.storage.tables import audit as log

MOST = 200
"""keys of one server"""
_MOST_NAME = 80
_REVOKED = "key_revoked"
"""in the audit; the line goes with the key, in one transaction"""


def add(connection: Connection, now: float, key: StoredKey, actor: Actor) -> None:
    """Raises StorageError("bad_value" | "too_many_keys")."""
    if not 0 < len(key.name.strip()) <= _MOST_NAME or not key.scopes:
        raise StorageError(
            "bad_value", f"A key has a name of 1 to {_MOST_NAME} characters and may do something."
        )
    if connection.scalars(select(func.count()).select_from(table)).one() >= MOST:
        raise StorageError(
            "too_many_keys", f"There are {MOST} keys already. Revoke one that is not used any more."
        )
    _insert(connection, key)
    audit.note(connection, now, actor, "key_made", key.id)


def _insert(connection: Connection, key: StoredKey) -> None:
    connection.execute(
        insert(table).values(
            id=key.id, name=key.name, sha256=key.sha256, scopes=sorted(key.scopes),
            per_minute=key.per_minute, connections=key.connections, made=key.made, used=key.used,
        )
    )  # fmt: skip


def keep(connection: Connection, known: Iterable[StoredKey]) -> list[StoredKey]:
    """``everything``, after adding those that are gone without having been revoked: a damaged
    database was set aside, or the file deleted, while the server ran."""
    there = set(connection.scalars(select(table.c.id)))
    revoked = set(connection.scalars(select(log.c.subject).where(log.c.act == _REVOKED)))
    for key in known:
        if key.id not in there | revoked:
            _insert(connection, key)
    return everything(connection)


def everything(connection: Connection) -> list[StoredKey]:
    """The oldest first."""
    found = connection.execute(select(table).order_by(table.c.made, table.c.id))
    return [
        StoredKey(
            row.id, row.name, row.sha256, frozenset(row.scopes), row.per_minute, row.connections,
            row.made, row.used,
        )
        for row in found
    ]  # fmt: skip


def remove(connection: Connection, now: float, key: str, actor: Actor) -> None:
    """Raises StorageError("not_found")."""
    if not connection.execute(delete(table).where(table.c.id == key)).rowcount:
        raise StorageError("not_found", "There is no such key. It may be revoked already.")
    audit.note(connection, now, actor, _REVOKED, key)


def note_use(connection: Connection, used: Mapping[str, float]) -> None:
    """Key → Unix time of its last use; unknown keys are left out."""
    if used:
        change = update(table).where(table.c.id == bindparam("key")).values(used=bindparam("at"))
        connection.execute(change, [{"key": key, "at": at} for key, at in used.items()])
