"""A profile of tiny files on a hub of the test's own, as ``app.py models fetch`` sees it.

Import the fixtures by name; ``as_the_fetch_command`` then works for every test of the module.
"""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from babblefish.engine import hub, models
from tests import hub_server
from tests.hub_server import FILES, HubServer

MODEL = FILES["org/listener"]["model.bin"]


@pytest.fixture(autouse=True)
def as_the_fetch_command(tmp_path, monkeypatch):
    """Online, without pauses, and with nobody's token but what a test sets."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def server():
    with HubServer() as running:
        yield running


@pytest.fixture
def small(server, monkeypatch):
    weights = hub_server.fill(server)
    monkeypatch.setitem(models.CATALOGUE, "small", weights)
    return weights


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "weights"


def fetch(server, folder, **more) -> tuple[str, ...]:
    return models.fetch("small", folder, endpoint=server.endpoint, **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "source.json"}
