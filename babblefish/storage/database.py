"""The SQLite file: opened, checked, migrated, set aside when damaged, and rid of deleted traces.

Used by one thread. Knows no queries but those about the file itself, and decides nothing about
retries; raises what SQLAlchemy, sqlite3 and the file system raise (``trouble.py`` reads that).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, select

from babblefish.storage import audit, erasure, files
from babblefish.storage.tables import REVISION, clips
from babblefish.storage.trouble import code_of, trouble

_MIGRATIONS = Path(__file__).parent / "migrations"
_ASIDE = ".corrupt-"
_ROOM_TO_WRITE = 256 * 1024
"""bytes that must fit on the disk before it counts as having space again"""

_QUICKLY_CHECKED = 32 * 1024 * 1024
"""bytes of a database that is read as a whole in a fraction of a second"""


class Database:
    """``open`` before anything else; ``close`` and ``open`` as often as you like."""

    def __init__(self, folder: Path, busy_seconds: float = 2.0) -> None:
        self.folder = folder
        self.path = folder / "babblefish.db"
        self.clips = folder / "clips"
        self._busy_seconds = busy_seconds
        self._lock = files.FolderLock(folder / "storage.lock")
        self._engine: Engine | None = None
        self._inode = 0

    @property
    def is_open(self) -> bool:
        return self._engine is not None

    def open(self, now: float, thorough: bool = False) -> None:
        """Make the file usable, whatever state it is in. ``now`` names what is set aside;
        ``thorough`` reads indices too. Raises StorageError("in_use" | "newer")."""
        files.make_private(self.folder)
        if not self._lock.acquire():
            raise trouble("in_use", self.folder)
        damaged = self.path.exists() and self._is_damaged(thorough)
        if damaged:
            self._set_aside(now)
        if not self.path.exists():
            if files.names_in(self.clips):  # recordings of a database that is gone
                self.clips.rename(self._free_name("clips", now))
            self._create()
        self._engine = make_engine(self.path, self._busy_seconds)
        self._inode = self.path.stat().st_ino
        try:
            self._migrate()
            if damaged:
                with self.begin() as connection:
                    audit.note(connection, now, "server", "database_set_aside", "")
            self._sweep()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def release(self) -> None:
        """Let another process have the folder."""
        self.close()
        self._lock.release()

    @contextlib.contextmanager
    def begin(self, write: bool = True) -> Iterator[Connection]:
        """One transaction, kept when the block ends without an exception."""
        assert self._engine is not None
        with self._engine.connect() as connection:
            connection = connection.execution_options(immediate=write)
            with connection.begin():
                yield connection

    def in_place(self) -> bool:
        """False when the file was moved or deleted under our hands; SQLite itself would go on
        writing to nowhere."""
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def probe(self) -> None:
        """Raises what keeps this database from being written to."""
        test = self.clips / files.write_new(self.clips, bytes(_ROOM_TO_WRITE), ".probe")
        test.unlink()
        with self.begin() as connection:
            mark = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            connection.exec_driver_sql(f"PRAGMA user_version = {int(mark)}")

    def check(self) -> None:
        """Raises what keeps this database from being used, as far as that shows in a moment."""
        with self.begin() as connection:  # nobody else holds it
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        if self.path.stat().st_size <= _QUICKLY_CHECKED and self._is_damaged(thorough=False):
            raise trouble("corrupt", self.folder)
        if shutil.disk_usage(self.folder).free < _ROOM_TO_WRITE:
            self.probe()

    # --- deletion that leaves no traces -------------------------------------------------------

    def erasure_due(self) -> int:
        """Not 0: something was deleted whose bytes may still lie in a file. Higher after each
        deletion."""
        return self._raw("PRAGMA user_version")[0]

    def erase_traces(self) -> None:
        """Leave no byte of what was deleted: in free space, in the log, in clips.

        Copies of rows that moved between pages lie outside what ``secure_delete`` overwrites,
        so the file is written anew.
        """
        if self.erasure_due() & erasure.EVERYWHERE:
            self.discard_set_aside()
        self._sweep()
        self._raw("VACUUM")
        if self._raw("PRAGMA wal_checkpoint(TRUNCATE)")[0]:
            raise trouble("locked", self.folder)
        self._raw("PRAGMA user_version = 0")

    def _sweep(self) -> None:
        """Rows without files and files without rows: half-done work of a process that ended."""
        with self.begin() as connection:
            known = set(connection.scalars(select(clips.c.file)))
            for name in known - files.names_in(self.clips):
                connection.execute(clips.delete().where(clips.c.file == name))
        files.remove_others(self.clips, known)

    def _raw(self, statement: str) -> Any:
        """One statement outside of any transaction; its first row."""
        assert self._engine is not None
        borrowed = self._engine.raw_connection()
        try:
            cursor = borrowed.cursor()
            cursor.execute(statement)
            row = cursor.fetchone()
            cursor.close()
            return row
        finally:
            borrowed.close()

    # --- the file -----------------------------------------------------------------------------

    def set_aside(self) -> list[Path]:
        """Damaged files and what belonged to them, oldest first."""
        return sorted(self.folder.glob(f"*{_ASIDE}*"))

    def discard_set_aside(self, before: float | None = None) -> None:
        """Delete them all, or those that were set aside before this Unix time."""
        for path in self.set_aside():
            if before is None or path.name.rpartition(_ASIDE)[2] < _stamp(before):
                files.remove(path)

    def _is_damaged(self, thorough: bool) -> bool:
        if self.path.stat().st_size == 0:
            return True  # ``_create`` leaves no empty file
        engine = make_engine(self.path, self._busy_seconds)
        check = "integrity_check" if thorough else "quick_check"
        try:
            with engine.connect() as connection:
                return connection.exec_driver_sql(f"PRAGMA {check}(1)").scalar_one() != "ok"
        except Exception as error:
            if code_of(error) == "corrupt":
                return True
            raise
        finally:
            engine.dispose()

    def _set_aside(self, now: float) -> None:
        """The clips go along: whose they are, only the damaged database knows."""
        for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm", "clips"):
            if (self.folder / name).exists():
                (self.folder / name).rename(self._free_name(name, now))
        files.sync(self.folder)

    def _free_name(self, name: str, now: float) -> Path:
        path, count = self.folder / f"{name}{_ASIDE}{_stamp(now)}", 1
        while path.exists():
            count += 1
            path = self.folder / f"{name}{_ASIDE}{_stamp(now)}-{count}"
        return path

    def _create(self) -> None:
        """An empty database, for its owner only. Its log inherits the permissions."""
        part = self.path.with_name(self.path.name + ".part")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with contextlib.closing(sqlite3.connect(part)) as connection:
            connection.execute("VACUUM")  # writes the header
        part.rename(self.path)
        files.sync(self.folder)

    def _migrate(self) -> None:
        found = self._raw("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'")[0]
        if found and (self._raw("SELECT version_num FROM alembic_version") or [""])[0] == REVISION:
            return
        from alembic import command, util  # slow to import, rarely needed

        # in batches, Alembic drops tables and makes them anew: no rows may go with them
        self._raw("PRAGMA foreign_keys = OFF")
        try:
            with self.begin() as connection:
                command.upgrade(alembic_config(connection), "head")
                if connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise trouble("failed", self.folder)
        except util.CommandError as error:
            raise trouble("newer", self.folder) from error
        self._raw("PRAGMA foreign_keys = ON")


def _stamp(at: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))


def alembic_config(connection: Connection) -> Any:
    """Alembic's settings for migrations on ``connection``, in its transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def make_engine(path: Path, busy_seconds: float) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)), pool_size=1, max_overflow=0,
        connect_args={"timeout": busy_seconds, "isolation_level": None},
        json_serializer=lambda value: json.dumps(value, ensure_ascii=False),
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.create_function("folded", 1, str.casefold, deterministic=True)
        for pragma in (
            "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
            "secure_delete = ON", "temp_store = MEMORY", "trusted_schema = OFF",
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
