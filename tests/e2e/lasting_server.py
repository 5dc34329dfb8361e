"""The whole server as a process of its own, on real storage, with scripted stages: starts quickly,
and can be killed and started again on the same port and data folder.

``python -m tests.e2e.lasting_server PORT DATA_DIR`` is that process.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.e2e.real_server import RealServer


class LastingServer(RealServer):
    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        super().__init__(data_dir, "--http")
        self.port = port or self.port
        self.base = f"http://localhost:{self.port}"
        self._command = [
            sys.executable, "-m", "tests.e2e.lasting_server", str(self.port), str(data_dir),
        ]  # fmt: skip


def main(port: int, data_dir: Path) -> None:
    from babblefish.engine.engine import Engine
    from babblefish.settings import Settings
    from babblefish.storage.storage import Storage
    from babblefish.ui.admin import mount_admin
    from babblefish.ui.server import serve
    from rooms.hub import Hub
    from tests.phones import fake_profile

    settings = Settings(data_dir=data_dir, http=True, host="127.0.0.1", port=port)
    engine = Engine(fake_profile())
    serve(settings, Hub(settings, engine, Storage(data_dir)), engine, mount_admin)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
