"""What every test may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import pytest_asyncio
from playwright.sync_api import Browser, expect, sync_playwright

from babblefish.engine import models
from babblefish.engine.engine import Engine
from babblefish.settings import Settings, go_offline, load_settings
from babblefish.storage.storage import Storage
from rooms.hub import Hub
from rooms.room import Room
from tests import lanes
from tests import speech as recordings
from tests.patience import PATIENCE_MS
from tests.phones import fake_engine
from tests.standstill import Again
from tests.stored import QUICK

if TYPE_CHECKING:
    from babblefish.engine.whisper import WhisperRecogniser
    from tests.host_browser import Visitor
    from tests.host_server import HostServer

go_offline()
expect.set_options(timeout=PATIENCE_MS)
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """The compact profile's real weights, verified. Missing ones fail, they never skip."""
    folder = load_settings().weights_dir
    models.verify("compact", folder)
    return folder


@pytest.fixture(scope="session")
def whisper(weights_dir: Path) -> WhisperRecogniser:
    """Whisper base with its real weights, to be tested and to hear what was said."""
    from babblefish.engine.whisper import WhisperRecogniser

    return WhisperRecogniser(weights_dir, threads=2)


@pytest.fixture(scope="session")
def big_weights_dir(weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every profile's weights; toys where the real ones are only on the hub."""
    from tests import big_weights

    return big_weights.build(tmp_path_factory.mktemp("weights"), weights_dir)


@pytest.fixture(scope="session")
def speech() -> list[recordings.Clip]:
    """Human speech, or synthesised speech where no recordings are at hand."""
    return list(recordings.clips())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from tests.web_browser import launch  # and the pages' server with it

    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def host(browser: Browser, server: HostServer) -> Iterator[Visitor]:
    """Signed in on the module's ``server``."""
    from tests.host_browser import Visitor  # gradio is slow to import

    one = Visitor(browser, server)
    one.sign_in()
    yield one
    one.context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    """Scripted stages in real worker processes, for all tests of a module."""
    async with fake_engine() as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="module")
async def hub(engine: Engine) -> AsyncIterator[Hub]:
    """Without a storage; nothing of its rooms may be left running."""
    hub = Hub(Settings(), engine)
    await hub.start()
    yield hub
    await hub.close()
    assert not [t for t in asyncio.all_tasks() if t.get_name() in ("session", "attempt", "draft")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(engine: Engine) -> AsyncIterator[Any]:
    """A real one with scripted stages, where a module has none of its own."""
    from tests.programs import serving

    hub = Hub(Settings(), engine)
    await hub.start()
    async with serving(hub, engine) as served:
        yield served
    await hub.close()


@pytest_asyncio.fixture(loop_scope="module")
async def room(server: Any) -> AsyncIterator[Room]:
    room = server.hub.create("Standup")
    yield room
    if room.code in server.hub.rooms:
        await server.hub.close_room(room.code)


@pytest.fixture
def open_hub(engine: Engine, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Hub]]:
    """``open_hub(**settings)``: a hub on the test's data folder; leaving it is a normal stop."""

    @asynccontextmanager
    async def opened(wall: Callable[[], float] | None = None, **settings):
        storage = Storage(tmp_path, **QUICK)
        more = {} if wall is None else {"wall": wall}
        hub = Hub(Settings(data_dir=tmp_path, **settings), engine, storage, **more)
        await hub.start()
        try:
            yield hub
        finally:
            await hub.close()

    return opened


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Again())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs weights or browsers, so that `make check` can leave it out."""
    for item in items:
        if {"weights_dir", "big_weights_dir"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.models)
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
        if lanes.lane_of(item.path) != "computing":
            item.add_marker(pytest.mark.real_time)
