"""What every test may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from babblefish.engine import models
from babblefish.settings import go_offline, load_settings
from tests import speech as recordings

if TYPE_CHECKING:
    from babblefish.engine.whisper import WhisperRecogniser

go_offline()


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs weights or browsers, so that `make check` can leave it out."""
    for item in items:
        if {"weights_dir", "big_weights_dir"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.models)
        if "e2e" in item.path.parts:
            item.add_marker(pytest.mark.e2e)
