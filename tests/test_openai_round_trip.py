"""A program reads aloud, and hears what was read: real voices, a real recogniser, and OpenAI's
client as its documentation shows it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import jiwer
import openai
import pytest

from babblefish.engine.engine import Engine
from babblefish.engine.profiles import installed_profile
from babblefish.settings import Settings
from tests.openai_server import openai_server

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(600)]

ENGLISH = "Good morning, everybody. The meeting begins in the big room."
FRENCH = "Bonjour à tous. La réunion commence dans la grande salle."


async def test_what_was_read_aloud_is_heard_again(weights_dir, tmp_path):
    engine = Engine(installed_profile(Settings(profile="compact", weights_dir=weights_dir)))
    async with openai_server(tmp_path / "data", engine) as server:
        client = openai.OpenAI(api_key=server.keys["all"], base_url=f"{server.base}/v1")
        await asyncio.to_thread(_english, client, tmp_path)
        await asyncio.to_thread(_french, client, tmp_path)


def _english(client: openai.OpenAI, folder: Path) -> None:
    file = folder / "speech.mp3"
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="coral", input=ENGLISH
    ) as response:
        response.stream_to_file(file)
    heard = client.audio.transcriptions.create(
        model="whisper-1", file=file.open("rb"), response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )  # fmt: skip
    assert heard.language == "english" and _wrong(ENGLISH, heard.text) < 0.25
    words = heard.words or []
    assert [word.word for word in words] == heard.text.split()
    assert all(a.start <= a.end <= b.end for a, b in pairwise(words))
    assert 1.5 < words[-1].end <= heard.duration + 0.5 < 10.0


def _french(client: openai.OpenAI, folder: Path) -> None:
    file = folder / "speech.opus"
    speech = client.audio.speech.create(
        model="tts-1", voice="onyx", input=FRENCH, response_format="opus"
    )
    assert speech.response.headers["content-language"] == "fr", "told by the text"
    speech.write_to_file(file)
    stream = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=file.open("rb"), language="fr", stream=True
    )
    events = list(stream)
    assert _wrong(FRENCH, events[-1].text) < 0.3
    assert events[-1].text == "".join(e.delta for e in events if e.type.endswith("delta"))
    english = client.audio.translations.create(model="whisper-1", file=file.open("rb"))
    assert {"meeting", "room"} & set(english.text.lower().replace(",", " ").split())


def _wrong(said: str, heard: str) -> float:
    """Share of the words."""
    clean = jiwer.Compose([jiwer.ToLowerCase(), jiwer.RemovePunctuation()])
    return jiwer.wer(clean(said), clean(heard))
