"""Files of the data folder: readable by their owner only, whole or not there, sweepable.

Knows names and bytes; what a clip means is the database's business.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

_PART = ".part-"


def make_private(folder: Path) -> None:
    """Create ``folder``; its owner alone may look into it. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_mode & 0o077:
        with contextlib.suppress(PermissionError):  # somebody else's folder: theirs to decide
            folder.chmod(0o700)


def write_new(folder: Path, data: bytes, suffix: str) -> str:
    """A new file with all of ``data`` on disk, or none. Returns the name, which is random."""
    make_private(folder)
    name = secrets.token_hex(16) + suffix
    part = folder / (_PART + name)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(folder / name)
        sync(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return name


def replace(path: Path, data: bytes) -> None:
    """``path`` holds all of ``data`` from here on, or what it held before. Raises OSError."""
    make_private(path.parent)
    part = path.with_name(f"{_PART}{path.name}")
    try:
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def sync(folder: Path) -> None:
    """Names in ``folder`` survive a power cut from here on."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def names_in(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.exists() else set()


def remove_others(folder: Path, keep: Collection[str]) -> int:
    """Remove every file in ``folder`` that is not in ``keep``; says how many."""
    others = names_in(folder) - set(keep)
    for name in others:
        (folder / name).unlink()
    if others:
        sync(folder)
    return len(others)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class FolderLock:
    """Held by one process at a time; the system lets go of it when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """False when another process holds it. Raises OSError."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
