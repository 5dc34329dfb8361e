"""Laptops that were paired, and the voices that each of them still has to forget.

No secret is stored: it follows from the id and the server's own secret. Runs inside the caller's
transaction; what deletes somebody's material owes the forgetting in the same one, so that no crash
comes between the two.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import sqlite

from babblefish.errors import StorageError
from babblefish.storage import audit, erasure
from babblefish.storage.records import Actor, LaptopDebt, StoredLaptop
from babblefish.storage.tables import laptop_debts as debts
from babblefish.storage.tables import laptops as table

_MOST_NAME, _MOST_URLS, _MOST_CERTIFICATE = 80, 16, 8000


def add(
    connection: Connection, now: float, laptop: StoredLaptop, replaces: Iterable[str], actor: Actor
) -> None:
    """``replaces``: earlier entries of the same laptop, whose debts become this one's. Raises
    StorageError("bad_value")."""
    if (
        not 0 < len(laptop.name.strip()) <= _MOST_NAME
        or len(laptop.urls) > _MOST_URLS
        or len(laptop.certificate) > _MOST_CERTIFICATE
    ):
        raise StorageError("bad_value", f"A laptop's name has 1 to {_MOST_NAME} characters.")
    connection.execute(
        insert(table).values(
            id=laptop.id, name=laptop.name, urls=list(laptop.urls),
            certificate=laptop.certificate, paired=laptop.paired,
        )
    )  # fmt: skip
    audit.note(connection, now, actor, "laptop_paired", laptop.id)
    for old in replaces:
        replace(connection, now, laptop.id, old, actor)


def replace(connection: Connection, now: float, laptop: str, old: str, actor: Actor) -> None:
    """``old`` was the same laptop: what it has to forget is ``laptop``'s business now."""
    owed = connection.scalars(select(debts.c.speaker).where(debts.c.laptop == old)).all()
    owe(connection, now, owed, (laptop,))
    if connection.execute(delete(table).where(table.c.id == old)).rowcount:
        audit.note(connection, now, actor, "laptop_replaced", old)


def everything(connection: Connection) -> list[StoredLaptop]:
    """The oldest first."""
    found = connection.execute(select(table).order_by(table.c.paired, table.c.id))
    return [
        StoredLaptop(row.id, row.name, tuple(row.urls), row.certificate, row.paired)
        for row in found
    ]


def rename(connection: Connection, now: float, laptop: str, name: str, actor: Actor) -> None:
    """Raises StorageError("not_found" | "bad_value")."""
    if not 0 < len(name.strip()) <= _MOST_NAME:
        raise StorageError("bad_value", f"A laptop's name has 1 to {_MOST_NAME} characters.")
    changed = connection.execute(update(table).where(table.c.id == laptop).values(name=name))
    if not changed.rowcount:
        raise StorageError("not_found", "This laptop was removed. Reload the list.")
    audit.note(connection, now, actor, "laptop_renamed", laptop)


def remove(connection: Connection, now: float, laptop: str, actor: Actor) -> None:
    """Raises StorageError("not_found")."""
    if not connection.execute(delete(table).where(table.c.id == laptop)).rowcount:
        raise StorageError("not_found", "This laptop was removed. Reload the list.")
    erasure.mark(connection)
    audit.note(connection, now, actor, "laptop_removed", laptop)


def owe(
    connection: Connection, now: float, speakers: Iterable[str],
    laptops: Iterable[str] | None = None,
) -> None:  # fmt: skip
    """These laptops (None: all of them) have to forget these people's voices."""
    if laptops is None:
        laptops = connection.scalars(select(table.c.id)).all()
    people = list(speakers)
    rows = [{"laptop": one, "speaker": who, "since": now} for one in laptops for who in people]
    if rows:
        connection.execute(sqlite.insert(debts).on_conflict_do_nothing(), rows)


def owed(connection: Connection) -> list[LaptopDebt]:
    """The oldest first."""
    found = connection.execute(select(debts).order_by(debts.c.since, debts.c.speaker))
    return [LaptopDebt(row.laptop, row.speaker) for row in found]


def settle(connection: Connection, paid: Iterable[LaptopDebt]) -> None:
    """These laptops have forgotten these people's voices."""
    for debt in paid:
        connection.execute(
            delete(debts).where(debts.c.laptop == debt.laptop, debts.c.speaker == debt.speaker)
        )
