"""The real application with quiet rooms, on a port of 127.0.0.1, beside a synchronous test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from babblefish.settings import Settings
from babblefish.storage.storage import Storage
from babblefish.ui.admin import mount_admin
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.fakes_hub import QuietEngine
from tests.patience import PATIENCE
from tests.stored import QUICK


class HostServer:
    """``codes``: every admin code that the terminal would have shown."""

    def __init__(
        self, engine: Callable[[], Any] = QuietEngine, *, keeps: bool = False, **settings: Any
    ) -> None:
        """engine: made on the server's event loop. keeps: whether anything is stored, as it is
        where a ``data_dir`` is given."""
        self._make_engine = engine
        self._keeps = keeps or "data_dir" in settings
        self.codes: list[str] = []
        self._folder = tempfile.TemporaryDirectory()
        settings.setdefault("data_dir", Path(self._folder.name))
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.settings = Settings(http=True, host="127.0.0.1", port=port, **settings)
        self._listener = listener
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(PATIENCE), "the server did not start"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._folder.cleanup()

    async def _serve(self) -> None:
        engine = self._make_engine()
        storage = Storage(self.settings.data_dir, **QUICK) if self._keeps else None
        self.hub = Hub(self.settings, engine, storage)
        self.app = create_app(
            self.settings, self.hub, engine,
            lambda app: mount_admin(app, self.settings, self.hub, engine, self.codes.append),
        )  # fmt: skip
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext
        self._loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        while not self._server.started:
            assert not task.done(), "the server did not start"
            await asyncio.sleep(0.02)
        self._started.set()
        await task

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run ``function`` where rooms live: on the server's event loop."""

        async def run() -> Any:
            result = function(*args, **kwargs)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE)


@contextmanager
def host_server(**settings: Any) -> Iterator[HostServer]:
    server = HostServer(**settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
