"""What an error of the database or the file system means, in a sentence that names the fix."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from babblefish.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_SQLITE = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "read_only",
    sqlite3.SQLITE_CANTOPEN: "read_only",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_IOERR: "io",
}
_MESSAGES = {
    "locked": "Another program holds the database in {folder}. Close it; BabbleFish goes on by "
    "itself as soon as the database is free.",
    "full": "There is no space left for {folder}. Free some on that disk; BabbleFish goes on by "
    "itself.",
    "read_only": "BabbleFish cannot write to {folder}. Give its user the right to, or set "
    "BABBLEFISH_DATA_DIR to another folder.",
    "corrupt": "The database in {folder} is damaged. BabbleFish sets it aside and begins a new "
    "one; restore a backup if there is one.",
    "io": "The disk under {folder} fails to read or write. Check its free space, its cable and "
    "its health.",
    "newer": "The database in {folder} was made by a newer BabbleFish. Update this one, or set "
    "BABBLEFISH_DATA_DIR to another folder.",
    "in_use": "Another BabbleFish runs with {folder}. Stop it, or set BABBLEFISH_DATA_DIR to "
    "another folder.",
    "failed": "The database in {folder} does not work ({error}). See the log of the server.",
}
LASTING = frozenset(_MESSAGES)
"""codes that concern the storage as a whole, not one request"""


def trouble(code: str, folder: Path, error: BaseException | None = None) -> StorageError:
    name = type(error).__name__ if error else "unknown"
    return StorageError(code, _MESSAGES[code].format(folder=folder, error=name))


def code_of(error: BaseException) -> str | None:
    """A code of ``LASTING``; None when not the storage but the request was at fault."""
    if isinstance(error, StorageError):
        return error.code if error.code in LASTING else None
    if isinstance(error, DBAPIError):
        error = error.orig or error
    if isinstance(error, sqlite3.Error):
        number = getattr(error, "sqlite_errorcode", 0) or 0
        return _SQLITE.get(number & 0xFF)
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return "full"
        return "read_only" if error.errno in _READ_ONLY else "io"
    return None
