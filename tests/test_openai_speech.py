"""Text read aloud for programs: ``/v1/audio/speech`` with OpenAI's own client, and ``/speak``."""

from __future__ import annotations

import asyncio
import io

import av
import httpx
import numpy as np
import openai
import pytest
import pytest_asyncio

from babblefish.engine.engine import Engine
from babblefish.settings import Settings
from babblefish.ui.programs.openai_errors import OpenAIErrors
from babblefish.ui.programs.openai_routes import create_openai_router
from babblefish.ui.programs.sound_formats import MEDIA_TYPES, REMARK
from babblefish.ui.server import create_app
from tests.fakes_rooms import FakeHub
from tests.phones import fake_profile
from tests.scripted_gate import ScriptedGate
from tests.served import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Well, this is a sentence to be read aloud. And this is a second one, a little longer."


class Server:
    def __init__(self, base: str, gate: ScriptedGate, engine: Engine) -> None:
        self.base, self.gate, self.engine = base, gate, engine
        self.http = httpx.AsyncClient(
            base_url=base, headers={"Authorization": "Bearer good"}, timeout=60
        )

    def client(self, key: str = "good") -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key=key, base_url=f"{self.base}/v1", max_retries=0)

    async def until(self, condition) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    engine, gate = Engine(fake_profile(plain_voice=True)), ScriptedGate()
    app = create_app(Settings(http=True), FakeHub(), engine)
    app.include_router(create_openai_router(engine, gate))
    app.add_middleware(OpenAIErrors)
    async with running(app) as base:
        await app.state.ready.wait()
        server = Server(base, gate, engine)
        async with server.http:
            yield server


def heard(file: bytes) -> tuple[float, float, str]:
    """Seconds, loudest frequency and remark of a sound file."""
    with av.open(io.BytesIO(file)) as container:
        stream = container.streams.audio[0]
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        remark = {**container.metadata, **stream.metadata}.get("comment", "")
        rate = stream.rate
    sound = np.concatenate([frame[0] for frame in frames]).astype(np.float64)
    hertz = np.argmax(np.abs(np.fft.rfft(sound))) * rate / len(sound)
    return len(sound) / rate, float(hertz), remark


def pcm(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2") / 32768


# --- OpenAI's client ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MEDIA_TYPES)
async def test_every_format_is_speech_of_the_right_length_and_says_that_it_is_synthetic(
    server, name
):
    answer = await server.client().audio.speech.create(
        model="tts-1",
        voice="alloy",
        input=TEXT,
        response_format=name,
        extra_body={"language": "en"},
    )
    assert answer.response.headers["content-type"] == MEDIA_TYPES[name]
    assert answer.response.headers["babblefish-synthetic-speech"] == "yes"
    if name == "pcm":
        seconds = len(pcm(answer.content)) / 24_000
    else:
        seconds, hertz, remark = heard(answer.content)
        assert hertz == pytest.approx(1000, abs=500) and remark == REMARK
    said = 0.05 * len(TEXT.replace(" ", ""))
    assert said < seconds < said + 4
