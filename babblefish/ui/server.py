"""Assembles the web application and runs it: routes, pages, certificate, start and stop.

``create_app`` wires rooms and engine to HTTP and WebRTC; ``serve`` runs it and tells the person
at the terminal where it is. Knows nothing of sound, speech or what happens in a room.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import segno
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.telemetry import TelemetryConfig
from starlette.staticfiles import StaticFiles

from babblefish import garbage
from babblefish.errors import SettingsError
from babblefish.network import Address, bind, local_addresses, local_names
from babblefish.settings import Settings
from babblefish.ui.accelerators_api import create_accelerators_router
from babblefish.ui.access import Access, Guard, SecurityHeaders
from babblefish.ui.access_log import AccessLog
from babblefish.ui.api import create_router, install_errors
from babblefish.ui.metrics import Metrics, create_metrics_router
from babblefish.ui.pairing import create_pairing
from babblefish.ui.programs.cors import Cors
from babblefish.ui.programs.openai_errors import OpenAIErrors
from babblefish.ui.programs.surface import add_programs
from babblefish.ui.reading import Sources
from babblefish.ui.tls import Certificates
from babblefish.ui.transcripts import create_transcript_router
from babblefish.ui.udp_ports import PortRangeLoop
from babblefish.ui.voices_api import create_voices_router
from babblefish.ui.watch import Watch

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from rooms.hub import Hub

log = logging.getLogger(__name__)

WEB = Path(__file__).parent / "web"
DEFAULT_ROOM = "Meeting"
_RENEW_SECONDS = 30.0
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}
"""FastAPI would otherwise send reports where environment variables tell it to"""

MountAdmin = Callable[[FastAPI, Settings, "Hub", "Engine", Callable[[str], None]], None]
"""``babblefish.ui.admin.mount_admin``, or something like it"""


def create_app(
    settings: Settings,
    hub: Hub,
    engine: Engine,
    admin: Callable[[FastAPI], None] | None = None,
    certificates: Certificates | None = None,
) -> FastAPI:
    """The whole application. Its lifespan starts and closes ``hub`` and ``engine``.

    admin: adds the host's pages. certificates: what /trust hands out; None: no such page.
    ``app.state.ready`` is set when models are loaded; ``app.state.failure`` holds the error
    when they could not be.
    """
    access = Access(settings)
    app = FastAPI(
        title="BabbleFish",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
        lifespan=lambda app: _lifespan(app, settings, hub, engine),
    )
    app.state.ready = asyncio.Event()
    app.state.failure = None
    app.state.hub = hub
    state = app.state
    state.watch = Watch(Sources(hub, engine, lambda: state.offers.calls, state.ready.is_set))
    state.metrics = Metrics(state.watch)
    install_errors(app)
    app.include_router(create_router(hub, engine, access))
    app.include_router(create_transcript_router(hub, access))
    app.include_router(create_voices_router(hub, engine, access))
    app.state.pairing = create_pairing(settings, hub, certificates)
    app.include_router(create_accelerators_router(hub, app.state.pairing, access))
    add_programs(app, settings, hub, engine, access)
    state.metrics.gauge(
        "program_connections", "Connections and long jobs of programs.", lambda: state.gate.open
    )
    app.include_router(create_metrics_router(state.metrics, state.gate))
    _add_pages(app, certificates)
    if admin is not None:
        admin(app)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Guard, access=access)
    app.add_middleware(OpenAIErrors)
    app.add_middleware(Cors, origins=settings.allowed_origins)
    app.add_middleware(AccessLog)
    return app


@contextlib.asynccontextmanager
async def _lifespan(
    app: FastAPI, settings: Settings, hub: Hub, engine: Engine
) -> AsyncIterator[None]:
    from babblefish.ui.rtc import Offers

    app.state.offers = Offers(settings)
    await hub.start()
    await app.state.keys.start()
    app.state.uploads.sweep()

    async def load() -> None:
        try:
            await engine.start()
            await hub.refresh_people()
        except Exception as error:
            log.error("The engine did not start: %s", type(error).__name__)
            app.state.failure = error
        app.state.ready.set()

    loading = asyncio.create_task(load(), name="load models")
    watching = asyncio.create_task(app.state.watch.run(), name="watch")
    try:
        yield
    finally:
        loading.cancel()
        watching.cancel()
        await asyncio.gather(loading, watching, return_exceptions=True)
        await app.state.pairing.close()
        app.state.uploads.close()
        await app.state.keys.close()
        # Rooms first: their farewell still has to reach the phones.
        await hub.close()
        await app.state.offers.close()
        await engine.close()


def _add_pages(app: FastAPI, certificates: Certificates | None) -> None:
    mimetypes.add_type("text/javascript", ".js")
    mimetypes.add_type("application/manifest+json", ".webmanifest")

    def page(name: str) -> Response:
        return FileResponse(WEB / name, media_type="text/html; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def landing() -> Response:
        return page("index.html")

    @app.get("/r/{code}", include_in_schema=False)
    async def room(code: str) -> Response:
        return page("room.html")

    if certificates is not None:

        @app.get("/trust", include_in_schema=False)
        async def trust() -> Response:
            return page("trust.html")

        @app.get("/trust/ca.crt", include_in_schema=False)
        async def authority() -> Response:
            return Response(
                certificates.authority_der(),
                media_type="application/x-x509-ca-cert",
                headers={"Content-Disposition": 'attachment; filename="babblefish-ca.crt"'},
            )

        @app.get("/trust/ca.pem", include_in_schema=False)
        async def authority_for_programs() -> Response:
            return Response(
                certificates.authority_pem(),
                media_type="application/x-pem-file",
                headers={"Content-Disposition": 'attachment; filename="babblefish-ca.pem"'},
            )

    app.mount("/web", StaticFiles(directory=WEB), name="web")


# --- running it ---


def run(settings: Settings) -> None:
    """Serve until interrupted, with the engine of ``settings.profile`` and the host's pages.

    Raises BabbleFishError when the server cannot start.
    """
    from babblefish.engine.engine import Engine
    from babblefish.engine.profiles import installed_profile
    from babblefish.storage.storage import Storage
    from babblefish.ui.admin import mount_admin
    from rooms.hub import Hub

    engine = Engine(installed_profile(settings))
    hub = Hub(settings, engine, Storage(settings.data_dir))
    serve(settings, hub, engine, mount_admin)


def serve(
    settings: Settings, hub: Hub, engine: Engine, mount_admin: MountAdmin | None = None
) -> None:
    """Serve until interrupted. Raises BabbleFishError when the server cannot start."""
    listener = bind(settings.host, settings.port)
    certificates = None
    if not settings.http:
        certificates = Certificates(settings.data_dir / "tls")
        certificates.refresh(local_names(), local_addresses())
    codes = AdminCodes()

    def admin(app: FastAPI) -> None:
        if mount_admin is not None:
            mount_admin(app, settings, hub, engine, codes.take)

    app = create_app(settings, hub, engine, admin, certificates)
    config = _config(app, settings, certificates)
    service = Service(app, uvicorn.Server(config), settings, certificates, codes)
    ports = settings.udp_ports
    with (
        contextlib.suppress(KeyboardInterrupt),
        asyncio.Runner(loop_factory=partial(PortRangeLoop, ports) if ports else None) as runner,
    ):
        runner.run(service.run(listener))
    if app.state.failure is not None:
        raise app.state.failure
    print("\nStopped.")


def _config(app: FastAPI, settings: Settings, certificates: Certificates | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=settings.http,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=2,
        ws_ping_interval=10,
        ws_ping_timeout=10,
        ws_per_message_deflate=False,  # sound does not shrink, and the event loop would pay
        ssl_certfile=certificates and certificates.certificate_file,
        ssl_keyfile=certificates and certificates.key_file,
    )


class AdminCodes:
    """Shows the host's one-time codes in the terminal: the first one below the addresses,
    later ones as they come."""

    def __init__(self) -> None:
        self._code: str | None = None
        self._announced = False

    def take(self, code: str) -> None:
        self._code = code
        if self._announced:
            print(f"Next admin code: {code}", flush=True)

    def announce(self, page: str) -> None:
        self._announced = True
        if self._code is not None:
            print(f"Host page: {page}   admin code: {self._code}")


@dataclass(frozen=True)
class Service:
    """A server at work, with what it tells the terminal and how it keeps its certificate."""

    app: FastAPI
    server: uvicorn.Server
    settings: Settings
    certificates: Certificates | None
    codes: AdminCodes

    async def run(self, listener: socket.socket) -> None:
        """Serve on ``listener`` until interrupted or until loading has failed."""
        helpers = [
            asyncio.create_task(self._announce(), name="announce"),
            asyncio.create_task(garbage.give_back(), name="give memory back"),
        ]
        if self.certificates is not None:
            renewing = self._renew(self.certificates)
            helpers.append(asyncio.create_task(renewing, name="renew certificate"))
        try:
            await self.server.serve(sockets=[listener])
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _announce(self) -> None:
        """Tell the person at the terminal what goes on and where to go."""
        start = time.monotonic()
        print("Loading models…", flush=True)
        await self.app.state.ready.wait()
        if self.app.state.failure is not None:
            self.server.should_exit = True
            return
        garbage.settle()
        hub = self.app.state.hub
        room = next(iter(hub.rooms.values()), None) or hub.create(DEFAULT_ROOM)
        path = f"/r/{room.code}#t={room.token}"
        bases = base_urls(self.settings, self.certificates)
        print(f"Ready in {time.monotonic() - start:.0f} s.\n\nRoom “{room.name}”:")
        for base in bases:
            print(f"  {base}{path}")
        with contextlib.suppress(UnicodeEncodeError):
            segno.make(bases[0] + path, error="l", micro=False).terminal(compact=True, border=2)
        if len(hub.rooms) > 1:
            print(f"{len(hub.rooms)} rooms are open: the host page shows them all.")
        if self.certificates is not None:
            print(f"Phones that warn about the connection: {bases[0]}/trust explains why.")
        elif not self.settings.public_url:
            print("Without https, browsers give the microphone on this machine only.")
        self.codes.announce(f"{bases[-1]}/admin")
        print("Stop with Ctrl-C.", flush=True)

    async def _renew(self, certificates: Certificates) -> None:
        """Follow the machine's addresses: new connections get a certificate that fits."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                changed = certificates.refresh(local_names(), local_addresses())
            except SettingsError as error:
                log.warning("%s", error.message)
                continue
            if changed and self.server.config.ssl is not None:
                self.server.config.ssl.load_cert_chain(
                    certificates.certificate_file, certificates.key_file
                )


def base_urls(settings: Settings, certificates: Certificates | None = None) -> list[str]:
    """Where people find the server: the public address, those on the network, localhost."""
    scheme, port = ("http" if settings.http else "https"), settings.port
    bases = [settings.public_url.rstrip("/")] if settings.public_url else []
    for address in _reachable(settings.host, certificates):
        name = f"[{address}]" if address.version == 6 else str(address)
        bases.append(f"{scheme}://{name}:{port}")
    return [*bases, f"{scheme}://localhost:{port}"]


def _reachable(host: str, certificates: Certificates | None) -> list[Address]:
    """Addresses to show for the listening address ``host``; IPv6 only where there is no IPv4."""
    addresses = local_addresses()
    if host not in ("0.0.0.0", "::", ""):
        addresses = [address for address in addresses if str(address) == host]
    if certificates is not None:
        addresses = [address for address in addresses if certificates.covered(address)]
    return [a for a in addresses if a.version == 4] or addresses
