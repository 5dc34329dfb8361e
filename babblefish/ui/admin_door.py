"""Who may run the meeting: the password, the one-time codes, the open sessions, the counted tries.

Decides; knows no requests and no pages. Codes, passwords and session ids are never logged or
stored: sessions are remembered as hashes, addresses as keys that say nothing without the server's
secret. Sessions and counted tries outlive the process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from babblefish.errors import SignInError
from babblefish.storage.records import Actor
from babblefish.storage.secret import ServerSecret
from babblefish.ui import password_rules
from babblefish.ui.admin_book import AdminBook
from babblefish.ui.password import AdminPassword, State
from babblefish.ui.side_thread import SideThread
from babblefish.ui.tries import Limit, Tries

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""No 0/O, 1/I/L: the code is read off a terminal and typed on a phone."""
CODE_LENGTH = 8
SESSION_SECONDS = 12 * 3600
CODE_COUNTS_SECONDS = 15 * 60
"""for so long after signing in by code, a new password needs no old one"""
_MINUTE, _HOUR = 60.0, 3600.0
PASSWORD_LIMITS = (
    (Limit(5, _MINUTE), Limit(20, _HOUR)),
    (Limit(60, _MINUTE), Limit(300, _HOUR)),
)
"""for each address, and for all together"""
CODE_LIMITS = ((Limit(5, _MINUTE),), (Limit(60, _MINUTE),))
"""A code cannot be guessed in years. Counted apart, it lets the host in while others try
passwords."""
_MAX_SESSIONS = 50
_DISK_JOBS, _DISK_SECONDS = 8, 3.0
_BLOCKED_NOTE_SECONDS = 60.0

Way = Literal["password", "code"]
Note = Callable[[Actor, str], None]
"""keeps an audit line: who, did what"""


@dataclass(slots=True)
class Session:
    until: float
    """Unix time"""
    by_code: float = 0.0
    """when its code was typed; 0: it began with the password"""


class AdminDoor:
    """``on_new_code`` gets each fresh code, grouped ("ABCD-EFGH"), for the terminal; the first one
    at once. ``note`` must not raise."""

    def __init__(
        self, on_new_code: Callable[[str], None], data_dir: Path, secret: ServerSecret,
        note: Note = lambda actor, act: None, clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._on_new_code, self._secret, self._clock = on_new_code, secret, clock
        self._note = note
        disk = SideThread("admin files", _DISK_JOBS, _DISK_SECONDS)
        self.password = AdminPassword(data_dir / "admin-password.json", disk)
        self._book = AdminBook(data_dir / "admin-state.json", disk)
        book = self._book.read()
        tries = book.get("tries")
        tries = tries if isinstance(tries, dict) else {}
        self._tries: dict[Way, Tries] = {
            "password": Tries(*PASSWORD_LIMITS, tries.get("password")),
            "code": Tries(*CODE_LIMITS, tries.get("code")),
        }
        self._sessions = _sessions(book.get("sessions"))
        """sha256 of the session id → session, oldest first"""
        self._passwords = 0
        """how often the password changed"""
        self._blocked_note = -_BLOCKED_NOTE_SECONDS
        self._renew_code()

    def _renew_code(self) -> None:
        self._code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        self._on_new_code(f"{self._code[:4]}-{self._code[4:]}")

    # --- tries --------------------------------------------------------------------------------

    async def wait(self, way: Way, address: str) -> int:
        """Count one try from ``address``, on the disk too; seconds to wait before the next, 0: go
        ahead."""
        now = self._clock()
        seconds = self._tries[way].wait(self._key(address), now)
        if not seconds:
            await self._remember()
        elif abs(now - self._blocked_note) >= _BLOCKED_NOTE_SECONDS:
            self._blocked_note = now
            self._note("server", "sign_in_blocked")
        return seconds

    def _key(self, address: str) -> str:
        return self._secret.sign("sign-in address", address)[:16]

    # --- sign-in ------------------------------------------------------------------------------

    async def enter_by_code(self, typed: str, address: str) -> str | None:
        """Use up the code: a new session id if ``typed`` is the code, else None."""
        cleaned = "".join(c for c in typed if not c.isspace() and c not in "-–—_.").upper()
        if not secrets.compare_digest(cleaned.encode(), self._code.encode()):
            return None
        self._renew_code()
        return await self._enter("code", address)

    async def enter_by_password(self, typed: str, address: str) -> str | None:
        """A new session id if ``typed`` is the password, else None.

        Raises SignInError("no_password" | "unreadable" | "busy" | "slow").
        """
        passwords = self._passwords
        if not await self.password.verify(typed) or passwords != self._passwords:
            return None
        return await self._enter("password", address)

    async def _enter(self, way: Way, address: str) -> str:
        """Who knows the secret starts counting tries afresh."""
        self._tries[way].forgive(self._key(address))
        self._note("admin", f"signed_in_by_{way}")
        session = self._open(self._clock() if way == "code" else 0.0)
        await self._remember()
        return session

    @staticmethod
    def vet(new: str, again: str) -> None:
        """Raises SignInError("differ" | "weak")."""
        if new != again:
            raise SignInError("differ", "The two new passwords differ. Type the same one twice.")
        password_rules.check(new)

    async def change_password(self, session: str | None, current: str, new: str) -> str:
        """Everybody is signed out; a new session id for who changed it. ``current`` matters
        where ``needs_current``.

        Raises SignInError("sign_in" | "wrong") and what ``AdminPassword`` raises.
        """
        before = await self.password.state()
        if self.needs_current(session, before) and not await self.password.verify(current):
            raise SignInError("wrong", "That is not the current password.")
        if not self.knows(session):
            raise SignInError("sign_in", "You were signed out meanwhile. Sign in again.")
        await self.password.set(new)
        self._passwords += 1
        self._sessions.clear()
        self._note("admin", "password_set" if before == "none" else "password_changed")
        fresh = self._open(by_code=0.0)
        await self._remember()
        return fresh

    def needs_current(self, session: str | None, state: State) -> bool:
        """Whether this session has to type the old password before it may set a new one."""
        found = self._sessions.get(_hash(session)) if session else None
        recent = found is not None and 0 <= self._clock() - found.by_code < CODE_COUNTS_SECONDS
        return state != "none" and not recent

    # --- sessions -----------------------------------------------------------------------------

    def knows(self, session: str | None) -> bool:
        if not session:
            return False
        found = self._sessions.get(_hash(session))
        if found is None:
            return False
        if 0 < found.until - self._clock() <= SESSION_SECONDS:
            return True
        del self._sessions[_hash(session)]  # over, or from a clock that was far ahead
        return False

    async def leave(self, session: str | None) -> None:
        if session and self._sessions.pop(_hash(session), None) is not None:
            self._note("admin", "signed_out")
            await self._remember()

    def _open(self, by_code: float) -> str:
        session = secrets.token_urlsafe(32)
        while len(self._sessions) >= _MAX_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        self._sessions[_hash(session)] = Session(self._clock() + SESSION_SECONDS, by_code)
        return session

    async def _remember(self) -> None:
        await self._book.write(
            {
                "sessions": {key: asdict(session) for key, session in self._sessions.items()},
                "tries": {way: tries.remember() for way, tries in self._tries.items()},
            }
        )


def _hash(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()


def _sessions(remembered: Any) -> dict[str, Session]:
    """Anything that is no session is ignored."""
    found: dict[str, Session] = {}
    for key, entry in remembered.items() if isinstance(remembered, dict) else ():
        match entry:
            case {"until": int() | float() as until, "by_code": int() | float() as by_code}:
                found[key] = Session(float(until), float(by_code))
    return dict(list(found.items())[-_MAX_SESSIONS:])
