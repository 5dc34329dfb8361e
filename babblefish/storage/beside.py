"""One transaction on a data folder from the command line, whether or not a server runs with it.

Beside a server, which holds the folder's lock, it touches nothing but rows; without one it opens
the database as a server would. Knows no queries.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from babblefish.errors import StorageError
from babblefish.storage.database import Database, make_engine
from babblefish.storage.tables import REVISION
from babblefish.storage.trouble import code_of, trouble

T = TypeVar("T")
_BUSY_SECONDS = 10.0
"""for which a server's own transactions are waited for"""


def transaction(folder: Path, work: Callable[[Connection], T]) -> T:
    """What ``work`` returns. Raises StorageError: what ``work`` raises, a code of
    ``trouble.LASTING``, "not_owner" or "other_version"."""
    _make_sure_of_owner(folder)
    try:
        database = Database(folder, _BUSY_SECONDS)
        try:
            database.open(time.time())
        except StorageError as error:
            if error.code != "in_use":
                raise
            return _beside(database.path, work)
        try:
            with database.begin() as connection:
                return work(connection)
        finally:
            database.release()
    except Exception as error:
        if not isinstance(error, StorageError) and (code := code_of(error)):
            raise trouble(code, folder, error) from error
        raise


def _beside(path: Path, work: Callable[[Connection], T]) -> T:
    engine = make_engine(path, _BUSY_SECONDS)
    try:
        with engine.connect() as connection:
            connection = connection.execution_options(immediate=True)
            with connection.begin():
                found = connection.exec_driver_sql("SELECT version_num FROM alembic_version")
                if found.scalar() != REVISION:
                    raise StorageError(
                        "other_version", "The server that runs is of another version than this "
                        "command. Restart it, then try again.",
                    )  # fmt: skip
                return work(connection)
    finally:
        engine.dispose()


def _make_sure_of_owner(folder: Path) -> None:
    """What another user creates in the folder, its server cannot use."""
    if folder.exists() and (owner := folder.stat().st_uid) != os.geteuid():
        raise StorageError(
            "not_owner", f"{folder} belongs to user {_name(owner)}. Run this command as that "
            f"user, with: sudo -u {_name(owner)} …",
        )  # fmt: skip


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"
