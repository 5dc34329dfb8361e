"""The admin's password: an argon2 hash in a file of the data folder, checked on its own thread.

The file is whole or not there, readable by its owner only, and read anew each time: without it
there is no password. Knows no sessions and does not count tries.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from functools import partial
from pathlib import Path
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

from babblefish.errors import SignInError
from babblefish.storage import files
from babblefish.ui import password_rules
from babblefish.ui.side_thread import SideThread

log = logging.getLogger(__name__)

State = Literal["none", "set", "unreadable"]
_MOST_BYTES = 2000
_WAITING = 4
"""passwords to be checked; each takes a core for a moment, and 64 MiB, one after the other"""
_SECONDS = 10.0


class AdminPassword:
    def __init__(self, path: Path, disk: SideThread) -> None:
        """path: the file; disk: reads and writes it."""
        self._path, self._disk = path, disk
        self._looking: asyncio.Task[State] | None = None
        self._told = False
        """of what is unreadable"""
        self._hashing = SideThread("admin password", _WAITING, _SECONDS)
        self._hasher = PasswordHasher(time_cost=2, memory_cost=64 * 1024, parallelism=1)

    async def state(self) -> State:
        """Never raises: what cannot be read within seconds is "unreadable". However many ask at
        once, the file is read once."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="admin password")
        return await asyncio.shield(self._looking)

    async def _look(self) -> State:
        try:
            return "set" if await self._read() is not None else "none"
        except SignInError:
            return "unreadable"

    async def verify(self, typed: str) -> bool:
        """Raises SignInError("no_password" | "unreadable" | "busy" | "slow")."""
        kept = await self._read()
        if kept is None:
            raise SignInError(
                "no_password", "No password is set. Sign in with the code that the terminal shows."
            )
        if len(typed) > password_rules.LONGEST:  # none such was ever set
            return False
        return await self._hashing.run(partial(self._matches, kept, typed))

    async def set(self, new: str) -> None:
        """Raises SignInError("weak" | "not_kept" | "busy" | "slow")."""
        password_rules.check(new)
        words = password_rules.normalised(new)
        kept = await self._hashing.run(partial(self._hasher.hash, words))
        body = {"argon2": kept, "sha256": hashlib.sha256(kept.encode()).hexdigest()}
        data = json.dumps(body).encode() + b"\n"
        try:
            await self._disk.run(partial(files.replace, self._path, data))
        except OSError as error:
            raise SignInError(
                "not_kept",
                f"The password could not be written to {self._path.parent}: {error.strerror}. "
                "Check its space and rights on the server, then try again.",
            ) from error

    async def _read(self) -> str | None:
        """The hash, None when there is none. Raises SignInError("unreadable" | "busy" | "slow")."""
        try:
            data = await self._disk.run(partial(_contents, self._path))
            if data is None:
                self._told = False
                return None
            body = json.loads(data)
            kept, digest = body["argon2"], body["sha256"]
            if hashlib.sha256(kept.encode()).hexdigest() == digest:
                self._told = False
                return kept
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._unreadable() from error
        raise self._unreadable()

    def _matches(self, kept: str, typed: str) -> bool:
        try:
            return self._hasher.verify(kept, password_rules.normalised(typed))
        except VerifyMismatchError:
            return False
        except (Argon2Error, InvalidHashError) as error:
            raise self._unreadable() from error

    def _unreadable(self) -> SignInError:
        if not self._told:
            self._told = True
            log.warning(
                "The admin's password in %s cannot be read. Sign in with the code that the "
                "terminal shows, and choose a new one.", self._path,
            )  # fmt: skip
        return SignInError(
            "unreadable",
            "The stored password cannot be read. Sign in with the code that the terminal shows, "
            "then choose a new one.",
        )


def _contents(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(data) > _MOST_BYTES:
        raise ValueError("too long")
    if path.stat().st_mode & 0o077:  # copied by hand
        with contextlib.suppress(OSError):
            path.chmod(0o600)
    return data
