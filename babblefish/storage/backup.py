"""A copy of everything that a server keeps, made while it runs, and put back.

One file: the database as it was at one moment, the recordings that belong to it, the server's
secret, its certificates and the admin's password. No weights. Knows no running storage.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from babblefish.errors import StorageError
from babblefish.storage import files
from babblefish.storage.trouble import code_of, trouble

DATABASE = "babblefish.db"
_KEPT = ("secret.key", "admin-password.json", "admin-state.json", "pairing-state.json")
_FOLDERS = ("tls",)
_TRIES = 5
"""snapshots until one is found all of whose recordings are still there"""


def backup(data_dir: Path, target: Path) -> int:
    """Write ``target``, a .tar.gz that only its owner may read; a server may be at work
    meanwhile. Returns its size in bytes.

    Raises StorageError("no_data" | "exists") or one of ``trouble.LASTING``.
    """
    if not (data_dir / DATABASE).is_file():
        raise StorageError(
            "no_data", f"There is no database in {data_dir}. Set BABBLEFISH_DATA_DIR as the "
            "server has it.",
        )  # fmt: skip
    if target.exists():
        raise StorageError("exists", f"{target} is there already. Choose another name.")
    with _troubles(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.parent) as folder:
            whole = Path(folder) / "whole"
            for _ in range(_TRIES):
                if _gather(data_dir, whole):
                    break
                shutil.rmtree(whole)
            else:
                raise trouble("locked", data_dir)
            packed = Path(folder) / "packed"
            with os.fdopen(os.open(packed, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
                    for path in sorted(whole.iterdir()):
                        archive.add(path, path.name)
                file.flush()
                os.fsync(file.fileno())
            packed.rename(target)
        files.sync(target.parent)
    return target.stat().st_size


def restore(source: Path, data_dir: Path) -> None:
    """Put a backup into ``data_dir``, where no server keeps anything yet.

    Raises StorageError("no_backup" | "in_use" | "exists") or one of ``trouble.LASTING``.
    """
    with _troubles(data_dir):
        files.make_private(data_dir)
        lock = files.FolderLock(data_dir / "storage.lock")
        if not lock.acquire():
            raise trouble("in_use", data_dir)
        try:
            if (data_dir / DATABASE).exists():
                raise StorageError(
                    "exists", f"{data_dir} holds a database already. Move {DATABASE}* and clips "
                    "away first, or set BABBLEFISH_DATA_DIR to another folder.",
                )  # fmt: skip
            with tempfile.TemporaryDirectory(prefix=".restore-", dir=data_dir) as folder:
                _unpack(source, Path(folder))
                for path in Path(folder).iterdir():
                    if path.name != DATABASE:
                        files.remove(data_dir / path.name)
                        path.rename(data_dir / path.name)
                # Last: with it, everything is there.
                (Path(folder) / DATABASE).rename(data_dir / DATABASE)
            files.sync(data_dir)
        finally:
            lock.release()


def _gather(data_dir: Path, whole: Path) -> bool:
    """Copy what belongs together; False when a recording was deleted meanwhile."""
    whole.mkdir(mode=0o700)
    _snapshot(data_dir / DATABASE, whole / DATABASE)
    clips = whole / "clips"
    clips.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(whole / DATABASE)) as database:
        names = [name for (name,) in database.execute("SELECT file FROM clips")]
    for name in names:
        try:
            shutil.copyfile(data_dir / "clips" / name, clips / name)
        except FileNotFoundError:
            return False
    for name in _KEPT:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(data_dir / name, whole / name)
    for name in _FOLDERS:
        if (data_dir / name).is_dir():
            shutil.copytree(data_dir / name, whole / name)
    return True


def _snapshot(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as here,
        contextlib.closing(sqlite3.connect(target)) as there,
    ):
        here.execute("PRAGMA busy_timeout = 10000")
        here.backup(there)
        there.execute("PRAGMA journal_mode = DELETE")  # one file, without -wal and -shm


def _unpack(source: Path, folder: Path) -> None:
    try:
        with tarfile.open(source, "r:gz") as archive:
            archive.extractall(folder, filter="data")
        with contextlib.closing(sqlite3.connect(folder / DATABASE)) as database:
            whole = database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except (tarfile.TarError, EOFError, FileNotFoundError, sqlite3.DatabaseError) as error:
        raise _no_backup(source) from error
    if not whole:
        raise _no_backup(source)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


def _no_backup(source: Path) -> StorageError:
    return StorageError(
        "no_backup", f"{source} is no whole backup of BabbleFish. Copy it once more, or take "
        "another one.",
    )  # fmt: skip


@contextlib.contextmanager
def _troubles(folder: Path) -> Iterator[None]:
    """Errors of the disk and of SQLite as StorageErrors."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise trouble(code_of(error) or "failed", folder, error) from error
