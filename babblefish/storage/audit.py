"""The audit: that something was done with personal data, by which part, to which id.

Never what was in it: a line may stay when everything else about a person is deleted.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection, insert, select

from babblefish.errors import StorageError
from babblefish.storage.records import Actor, AuditEntry
from babblefish.storage.tables import audit

_ACT = re.compile(r"[a-z_]{1,40}")
_SUBJECT = re.compile(r"[A-Za-z0-9_-]{0,64}")
_ACTORS = {"admin", "self", "server"}


def note(connection: Connection, now: float, actor: Actor, act: str, subject: str) -> None:
    """Raises StorageError("bad_value") for anything that could be content."""
    if actor not in _ACTORS or not _ACT.fullmatch(act) or not _SUBJECT.fullmatch(subject):
        raise StorageError("bad_value", "An audit line has an actor, an act and an id, no words.")
    connection.execute(insert(audit).values(at=now, actor=actor, act=act, subject=subject))


def entries(connection: Connection, limit: int, skip: int = 0) -> list[AuditEntry]:
    """The newest first, without the ``skip`` newest."""
    found = connection.execute(select(audit).order_by(audit.c.id.desc()).limit(limit).offset(skip))
    return [AuditEntry(row.at, row.actor, row.act, row.subject) for row in found]
