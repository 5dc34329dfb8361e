"""A ``Synthesiser`` on tiny real checkpoints; fixtures: ``one_thread``, ``weights``."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch

from babblefish.accelerator.f5 import F5Network
from babblefish.accelerator.synthesis import Synthesiser, SynthesisSettings
from babblefish.accelerator_protocol import (
    ClauseSpoken,
    PutVoice,
    Synthesize,
)
from babblefish.errors import SynthesisError
from tests import tiny_f5
from tests.patience import PATIENCE
from tests.test_reference_voices import speech, voice

_names = (f"r{number}" for number in itertools.count())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_f5.install(folder, "base", "fr")
    return folder


@asynccontextmanager
async def running(weights: Path, **settings) -> AsyncIterator[Synthesiser]:
    chosen = {"device": "cpu", "precision": "fp32", "steps": 7, "listen": False} | settings
    synthesiser = Synthesiser(SynthesisSettings(weights, **chosen))
    await synthesiser.start()
    try:
        await synthesiser.ready()
        yield synthesiser
    finally:
        await synthesiser.close()


VOICE = voice(speech(3, seed=1), text="Today only platforms one and three are used.")


def other_voice(number: int) -> PutVoice:
    return voice(speech(2.5 + number / 4, seed=number), f"p{number}",
                 text="These are other words, said by another one.")  # fmt: skip


def asking(*clauses: str, of: PutVoice = VOICE, **changes) -> Synthesize:
    values = {"request_id": next(_names), "text": " ".join(clauses), "clauses": list(clauses),
              "language": "en", "speaker_id": of.speaker_id, "speaker_name": "Dan",
              "reference": of.digest}  # fmt: skip
    return Synthesize(**(values | changes))


async def heard(synthesiser: Synthesiser, request: Synthesize) -> list[ClauseSpoken]:
    return [clause async for clause in synthesiser.speak(request)]


async def refused(synthesiser: Synthesiser, request: Synthesize) -> str:
    with pytest.raises(SynthesisError) as caught:
        await heard(synthesiser, request)
    return caught.value.code


def batches(monkeypatch: pytest.MonkeyPatch, hold: threading.Event | None = None) -> list[int]:
    """Rows of each batch that is sampled; ``hold`` stops before each."""
    sizes: list[int] = []
    whole = F5Network.sample

    def sample(self, rows, *more):
        sizes.append(len(rows))
        if hold is not None:
            hold.wait(PATIENCE)
        return whole(self, rows, *more)

    monkeypatch.setattr(F5Network, "sample", sample)
    return sizes
