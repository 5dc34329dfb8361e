"""The laptop's program: the endpoint, the owner's page and the way to the room server, together.

Starts and stops them and tells the terminal how it goes; each knows nothing of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI

from babblefish.accelerator.certificate import OwnCertificate, own_certificate
from babblefish.accelerator.dial_out import DialOut, State
from babblefish.accelerator.door import Door
from babblefish.accelerator.joining import Wish, choose_server, join
from babblefish.accelerator.page_views import Connection
from babblefish.accelerator.pairing import Pairing, PairingFile
from babblefish.accelerator.reception import Reception
from babblefish.accelerator.service import create_service
from babblefish.accelerator.settings import LaptopSettings
from babblefish.accelerator.standing import connection_of, told_of
from babblefish.accelerator.synthesiser import Speaks
from babblefish.accelerator.terminal import Terminal
from babblefish.accelerator.trust import Trust, check
from babblefish.accelerator_protocol import Introduction
from babblefish.errors import BabbleFishError, SettingsError
from babblefish.network import bind, local_addresses
from babblefish.settings import go_offline, keep_temporary_files_in

log = logging.getLogger(__name__)

_LOOK_S = 0.25
_CLOSE_S = 2.0
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = ("0.0.0.0", "::", "")
_MOST_URLS = 16


def run(settings: LaptopSettings, wish: Wish, terminal: Terminal | None = None) -> None:
    """Serve until interrupted. Raises BabbleFishError that names the fix when it cannot."""
    terminal = terminal or Terminal()
    go_offline()
    problem = None
    # While libraries are being loaded, Ctrl-C comes as an exception.
    with (
        contextlib.suppress(KeyboardInterrupt),
        _temporary_files(settings),
        contextlib.ExitStack() as stack,
    ):
        laptop = _prepared(settings, wish, terminal, stack)
        asyncio.run(laptop.run())
        problem = laptop.problem
    if problem is not None:
        raise problem
    terminal.say("\nStopped.")
    leave(0)


def leave(code: int) -> None:
    """End the process at once: a computation that cannot be interrupted does not keep the
    terminal. Whatever was to be closed is closed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _prepared(
    settings: LaptopSettings, wish: Wish, terminal: Terminal, stack: contextlib.ExitStack
) -> Laptop:
    """With all that takes long before the event loop runs; what goes wrong quickly comes first."""
    target = choose_server(PairingFile(settings.data_dir).load(), wish, terminal)
    certificate = own_certificate(settings.data_dir)
    listener = stack.enter_context(bind(settings.host, settings.port))
    here = None
    if settings.page:
        here = stack.enter_context(bind(_LOOPBACK, settings.page_port, "--page-port"))
    terminal.say("Starting…")
    synthesiser = create_synthesiser(settings)
    return Laptop(settings, target, wish.code, terminal, synthesiser, certificate, listener, here)


@contextlib.contextmanager
def _temporary_files(settings: LaptopSettings) -> Iterator[None]:
    """A folder for them that is empty before and gone afterwards."""
    folder = settings.data_dir / "temporary"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        keep_temporary_files_in(folder)
    except OSError as error:
        raise SettingsError(
            "data_dir",
            f"{settings.data_dir} cannot be written to ({error.strerror}). Choose another folder "
            "with BABBLEFISH_LAPTOP_DATA_DIR.",
        ) from error
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_synthesiser(settings: LaptopSettings) -> Speaks:
    """The real one. Raises BabbleFishError that names the fix."""
    from babblefish.accelerator.synthesis import Synthesiser, SynthesisSettings

    return Synthesiser(
        SynthesisSettings(
            settings.weights_dir, settings.name, settings.device,
            most_waiting=settings.most_requests,
        )
    )  # fmt: skip


@dataclass
class Laptop:
    """One run of the program. ``target``: a pairing, or the server to be paired with."""

    settings: LaptopSettings
    target: Pairing | Trust
    code: str
    terminal: Terminal
    synthesiser: Speaks
    certificate: OwnCertificate
    listener: socket.socket
    here: socket.socket | None
    """where the owner's page listens; None: there is no page"""
    problem: BabbleFishError | None = None
    """why it stopped by itself"""
    door: Door = field(default_factory=Door)
    dialling: DialOut | None = None
    link: str = ""
    """to the owner's page"""
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.reception = Reception(
            self.synthesiser, self.settings.name, self.settings.most_requests
        )
        endpoint = _server(
            create_service(self.reception, self.door),
            ssl_certfile=self.certificate.certificate_file,
            ssl_keyfile=self.certificate.key_file,
            limit_concurrency=100,
        )
        self._servers = [(endpoint, self.listener)]
        if self.here is not None:
            self._servers.append((self._page(self.here), self.here))

    async def run(self) -> None:
        """Until it is told to stop, or cannot go on: see ``problem``."""
        self._heed_signals()
        try:
            await self.synthesiser.start()
            await self._serve()
        finally:
            await self._end()

    async def _serve(self) -> None:
        serving = [asyncio.create_task(server.serve(sockets=[at])) for server, at in self._servers]
        helpers = [
            asyncio.create_task(self._be_joined(), name="join"),
            asyncio.create_task(self._load(), name="load"),
            asyncio.create_task(self._tell(), name="tell"),
            asyncio.create_task(self._forget_in_silence(), name="forget"),
        ]
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while not stopping.done():
                done, _ = await asyncio.wait(
                    [stopping, *helpers, *serving], return_when=asyncio.FIRST_COMPLETED
                )
                self._look_at(done - {stopping})
                helpers = [task for task in helpers if task not in done]
                if done & {*serving}:
                    break
        finally:
            for task in [stopping, *helpers]:
                task.cancel()
            await asyncio.gather(stopping, *helpers, return_exceptions=True)
            await self._forget()
            for server, _ in self._servers:
                server.should_exit = True
            await asyncio.gather(*serving, return_exceptions=True)

    def _look_at(self, done: set[asyncio.Task]) -> None:
        """What has ended by itself: in peace, or with the reason to stop."""
        for task in done:
            error = task.exception()
            if isinstance(error, BabbleFishError):
                self.problem = error
                self._stop.set()
            elif error is not None:
                raise error

    def _page(self, here: socket.socket) -> uvicorn.Server:
        from babblefish.accelerator import page  # gradio is slow to import
        from babblefish.accelerator.page_wall import PageWall

        key = secrets.token_urlsafe(16)
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
        page.mount(app, page.build(self.reception, self._connection))
        app.add_middleware(PageWall, key=key, evaluates=page.GRADIO_6)
        self.link = f"http://{_LOOPBACK}:{here.getsockname()[1]}/?key={key}"
        return _server(app)

    # --- what goes on meanwhile ---------------------------------------------------------------

    async def _load(self) -> None:
        self.terminal.say("Loading the weights…")
        await self.synthesiser.ready()
        connection = self._connection()
        if not connection.good:
            self.terminal.say(f"The weights are loaded. {connection.sentence}")

    async def _be_joined(self) -> None:
        """Pair if need be, then keep in touch with the server."""
        reachable = True
        if isinstance(self.target, Trust):
            introduction = Introduction(
                name=self.settings.name, urls=urls(self.settings.host, self.listener),
                certificate=self.certificate.pem, health=self.reception.health(),
            )  # fmt: skip
            self.door.expecting = True
            pairing, reachable = await join(self.target, self.code, introduction, self.terminal)
            PairingFile(self.settings.data_dir).save(pairing)
            self.target = pairing
            self.terminal.say(f"Paired with {pairing.server_name or pairing.server}.")
            if not reachable:
                self.terminal.say(
                    "The server cannot call this laptop, so this laptop keeps a connection to it."
                )
        else:
            await self._look_for(self.target.trust)
        self.door.open_to(self.target.secret)
        self.dialling = DialOut(
            self.target, self.reception, self.door, self.settings.silence_s, self._changed,
            at_once=not reachable,
        )  # fmt: skip
        await self.dialling.run()

    async def _look_for(self, trust: Trust) -> None:
        """Say at once what stands in the way; it may come right by itself."""
        try:
            await check(trust)
        except BabbleFishError as error:
            self.terminal.say(error.message)

    def _connection(self) -> Connection:
        return connection_of(self.target, self.dialling)

    def _changed(self, state: State) -> None:
        told = told_of(state, self.target)
        if told:
            self.terminal.say(told)
        if state == "refused":
            self._forgetting = asyncio.create_task(self._forget(), name="forget all voices")

    async def _tell(self) -> None:
        """Say once that all is well, and again after it was not."""
        if self.link:
            self.terminal.say(f"Page for you: {self.link}")
        was = None
        while True:
            connection, health = self._connection(), self.reception.health()
            now = connection.good and health.ready
            if now and not was:
                self.terminal.ready(health, connection.server, self.link)
            elif was and not now:
                self.terminal.say(connection.sentence if health.ready else health.message)
            was = now
            await asyncio.sleep(_LOOK_S)

    async def _forget_in_silence(self) -> None:
        """Nobody's voice stays here for long when the server is away."""
        while True:
            await asyncio.sleep(min(5.0, self.settings.voices_s / 4))
            if self.door.since_heard > self.settings.voices_s:
                await self._forget()

    async def _forget(self) -> None:
        with contextlib.suppress(BabbleFishError):
            await self.reception.forget_all()

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.synthesiser.close()
        except TimeoutError:
            log.info("The synthesiser is still at work")

    def _heed_signals(self) -> None:
        """Ctrl-C ends it in order, a second one at once."""
        loop = asyncio.get_running_loop()

        def told() -> None:
            if self._stop.is_set():
                os._exit(130)
            self._stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, told)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(told))


def _server(app: FastAPI, **options) -> uvicorn.Server:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws="none",
        timeout_keep_alive=20, timeout_graceful_shutdown=1, **options,
    )  # fmt: skip
    return _Server(config)


class _Server(uvicorn.Server):
    """One of several in a program that heeds signals itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def urls(host: str, listener: socket.socket) -> list[str]:
    """Where the server may try to call, best first."""
    port = listener.getsockname()[1]
    if host not in _EVERYWHERE:
        return [f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"]
    six = listener.family is socket.AF_INET6
    found = [f"https://{a}:{port}" for a in local_addresses() if a.version == 4]
    if six:
        found += [f"https://[{a}]:{port}" for a in local_addresses() if a.version == 6]
    return [*found[: _MOST_URLS - 1], f"https://{_LOOPBACK}:{port}"]
