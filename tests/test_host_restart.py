"""A server of its own is killed and started again; what the host's terminal says on the way."""

from __future__ import annotations

import os
import re
import signal
import textwrap
from pathlib import Path

import httpx
import pytest

from babblefish.ui.admin import COOKIE
from tests.e2e.real_server import free_port
from tests.patience import wait_until
from tests.stored import python
from tests.test_storage_faults import LOCKER

SERVER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from babblefish.settings import Settings, go_offline
    from babblefish.storage.storage import Storage
    from babblefish.ui.admin import mount_admin
    from babblefish.ui.server import serve
    from rooms.hub import Hub
    from tests.fakes_hub import QuietEngine

    go_offline()
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    settings = Settings(data_dir=folder, port=port, http=True, host="127.0.0.1")
    engine = QuietEngine()
    hub = Hub(settings, engine, Storage(folder, busy_seconds=0.05, check_seconds=0.2))
    serve(settings, hub, engine, mount_admin)
""")
GOOD = "correct horse battery"


class Serving:
    """A running server and what it printed so far."""

    def __init__(self, folder: Path, port: int) -> None:
        self.output = (folder / "terminal.txt").open("w+")
        self.process = python(
            SERVER, folder, port, stderr=self.output, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        self.code = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"admin code: (\S+)", line):
                self.code = found[1]
            if "Stop with Ctrl-C" in line:
                return
        raise AssertionError("the server did not start")

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.output.close()


@pytest.fixture
def serve(tmp_path: Path):
    port = free_port()
    started: list[Serving] = []

    def start() -> tuple[Serving, httpx.Client]:
        started.append(Serving(tmp_path, port))
        base = f"http://127.0.0.1:{port}"
        return started[-1], httpx.Client(base_url=base, headers={"Origin": base}, timeout=30)

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.mark.e2e
def test_promise_19_a_killed_server_forgets_neither_password_nor_tries_nor_sessions(
    serve, tmp_path: Path
) -> None:
    server, client = serve()
    with client:
        assert client.post("/admin-login", data={"code": server.code}).status_code == 303
        saved = client.post("/admin-password", data={"new": GOOD, "again": GOOD})
        assert saved.status_code == 303
        session = client.cookies[COOKIE]
        guesses = [
            client.post("/admin-login", data={"password": "a guess or two"}).status_code
            for _ in range(6)
        ]
        assert guesses == [401] * 5 + [429]
    os.kill(server.process.pid, signal.SIGKILL)
    server.kill()

    server, client = serve()
    with client:
        assert client.post("/admin-login", data={"password": GOOD}).status_code == 429
        client.cookies.set(COOKIE, session)
        assert client.get("/admin/").status_code == 200
        with python(LOCKER, tmp_path / "babblefish.db") as locker:
            assert locker.stdout.readline() == "locked\n"
            wait_until(lambda: "Another program holds the database" in server.said())
            assert client.get("/health").json() == {"status": "ok"}
            locker.communicate("\n\n")
        wait_until(lambda: "storage works again" in server.said())
        assert server.said().count("Another program") == 1, "one line when it changes"
        assert session not in server.said() and GOOD not in server.said()
