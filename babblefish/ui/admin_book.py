"""What the admin's door remembers when the server starts again: sessions, and who tried how often.

One small JSON file in the data folder, replaced as a whole. It holds no session id, no code, no
password and no address, only hashes. A folder in trouble costs the memory, not the door.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from babblefish.errors import SignInError
from babblefish.storage import files
from babblefish.ui.side_thread import SideThread

log = logging.getLogger(__name__)
_MOST_BYTES = 200_000


class AdminBook:
    def __init__(self, path: Path, disk: SideThread) -> None:
        self._path, self._disk = path, disk
        self._newest = b""
        self.problem = ""
        """why nothing is remembered, in words; empty: all is well"""

    def read(self) -> dict[str, Any]:
        """What was written last; empty when there is nothing or it is damaged."""
        try:
            with self._path.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
            content = json.loads(data) if len(data) <= _MOST_BYTES else None
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            return content
        log.warning(
            "%s cannot be read: the host signs in again, and earlier tries are forgotten.",
            self._path,
        )
        return {}

    async def write(self, content: dict[str, Any]) -> None:
        """Returns when ``content`` or something newer is on the disk, or when that fails, which
        is told in the log; never raises."""
        self._newest = json.dumps(content).encode()
        try:
            await self._disk.run(self._replace)
        except SignInError as error:
            if error.code == "slow":
                self._fail("The disk does not answer")
            # "busy": one of those that wait writes this, too
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
        else:
            if self.problem:
                log.warning("Sign-ins are written to %s again.", self._path)
            self.problem = ""

    def _replace(self) -> None:
        files.replace(self._path, self._newest)

    def _fail(self, why: str) -> None:
        problem = (
            f"{self._path} cannot be written: {why}. Sessions and counted tries are lost when "
            "the server stops. Check the folder's space and rights."
        )
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem
