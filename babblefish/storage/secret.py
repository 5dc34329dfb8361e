"""The server's own secret: links and keys are derived from it, so that none of them is stored.

Whoever reads the database cannot enter a room; whoever reads this file can make any key.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from babblefish.errors import StorageError

_BYTES = 32


class ServerSecret:
    def __init__(self, key: bytes | None = None) -> None:
        """key: at least 32 random bytes; None: new ones, which end with the process."""
        self._key = key or secrets.token_bytes(_BYTES)

    @classmethod
    def load(cls, data_dir: Path) -> ServerSecret:
        """The secret of this data folder, made at the first start; only its owner may read it.

        Raises StorageError("secret") where it cannot be read or written.
        """
        path = data_dir / "secret.key"
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                cls._create(path)
            key = path.read_bytes()
        except OSError as error:
            raise StorageError(
                "secret", f"{path} cannot be used: {error.strerror}. Check the folder's rights."
            ) from error
        if len(key) < _BYTES:
            raise StorageError(
                "secret", f"{path} is damaged. Delete it: rooms and phones then need new links."
            )
        return cls(key)

    @staticmethod
    def _create(path: Path) -> None:
        """Whole or not at all, whoever else does the same at this moment."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def sign(self, purpose: str, value: str) -> str:
        """32 characters for ``value``, safe in an address; of another purpose, other ones."""
        told = hmac.digest(self._key, f"{purpose}\0{value}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(told[:24]).decode()

    def verify(self, purpose: str, value: str, signature: str) -> bool:
        """Whether ``signature`` is that of ``value``; takes as long for any wrong one."""
        return secrets.compare_digest(self.sign(purpose, value).encode(), signature.encode())
