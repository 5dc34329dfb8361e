"""The parts of reading aloud for programs: answers that are made while they are sent, names of
voices, texts made readable, and a tempo that a voice does not have."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.audio import rms
from babblefish.engine.claims import KOKORO
from babblefish.engine.stages import PLAYOUT_RATE, SynthesiserCapabilities
from babblefish.engine.tempo import stretched
from babblefish.engine.text_language import TextLanguage
from babblefish.errors import SynthesisError, WorkerError
from babblefish.ui.programs import live_answer, sound_formats
from babblefish.ui.programs.live_answer import LiveAnswer
from babblefish.ui.programs.reading import spoken_language
from babblefish.ui.programs.speech import readable
from babblefish.ui.programs.voice_names import OPENAI_VOICES, choose, language_of

# --- answers that are made while they are sent ------------------------------------------------


class Connection:
    """An ASGI server's side of one request."""

    def __init__(self, stuck: bool = False) -> None:
        self.sent: list[dict] = []
        self.left = asyncio.Event()
        self._stuck = stuck

    async def receive(self) -> dict:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        self.sent.append(message)
        if self._stuck and message["type"] == "http.response.body":
            await asyncio.Event().wait()

    @property
    def complete(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False

    async def answer(self, answer: LiveAnswer) -> None:
        async with asyncio.timeout(60):
            await answer({"type": "http"}, self.receive, self.send)


class Pieces:
    """A generator that can be watched."""

    def __init__(self, *pieces: bytes | Exception, then_wait: bool = False) -> None:
        self.closed, self.waiting = False, asyncio.Event()
        self._pieces, self._then_wait = pieces, then_wait

    async def __call__(self):
        try:
            for piece in self._pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
            if self._then_wait:
                self.waiting.set()
                await asyncio.Event().wait()
        finally:
            self.closed = True


FAILURE = WorkerError("worker_died", "It died.")


async def test_an_answer_is_sent_in_pieces_without_a_length():
    connection, pieces = Connection(), Pieces(b"one", b"", b"two")
    await connection.answer(LiveAnswer(pieces(), "audio/wav", {"X-Y": "z"}))
    start, *bodies = connection.sent
    headers = dict(start["headers"])
    assert start["status"] == 200 and b"content-length" not in headers
    assert headers[b"content-type"] == b"audio/wav" and headers[b"x-y"] == b"z"
    assert [body["body"] for body in bodies] == [b"one", b"two", b""]
    assert connection.complete and pieces.closed


async def test_an_error_before_the_first_piece_is_answered_like_any_other():
    connection, pieces = Connection(), Pieces(FAILURE)
    with pytest.raises(WorkerError):
        await connection.answer(LiveAnswer(pieces(), "audio/wav"))
    assert connection.sent == [] and pieces.closed


async def test_an_error_on_the_way_leaves_no_answer_that_looks_whole():
    connection, pieces = Connection(), Pieces(b"one", FAILURE)
    await connection.answer(LiveAnswer(pieces(), "audio/wav"))
    assert connection.sent[-1]["body"] == b"one" and not connection.complete
    connection = Connection()
    words = lambda error: error.code.encode()  # noqa: E731
    await connection.answer(LiveAnswer(Pieces(b"one", FAILURE)(), "text/event-stream", None, words))
    assert connection.sent[-1]["body"] == b"worker_died" and connection.complete


async def test_the_work_stops_when_the_caller_leaves_even_before_the_first_piece():
    for already in ((), (b"one",)):
        connection, pieces = Connection(), Pieces(*already, then_wait=True)
        answering = asyncio.create_task(connection.answer(LiveAnswer(pieces(), "audio/wav")))
        async with asyncio.timeout(60):
            await pieces.waiting.wait()
            connection.left.set()
            await answering
        assert pieces.closed and not connection.complete


async def test_a_caller_who_takes_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(live_answer, "STALLED_SECONDS", 0.05)
    connection, pieces = Connection(stuck=True), Pieces(b"one", b"two")
    await connection.answer(LiveAnswer(pieces(), "audio/wav"))
    assert len(connection.sent) == 2 and pieces.closed


# --- texts ------------------------------------------------------------------------------------


def test_texts_are_read_without_what_nobody_can_say():
    assert readable("Well,\n\tgood\x00 day\x1b.\ue000") == "Well,\n\tgood day."
    assert max(map(len, readable("x" * 1000).split())) == 120
    assert readable("x" * 1000).replace(" ", "") == "x" * 1000
    for nothing in ("…", "\x00\x07", "—!?", "   "):
        with pytest.raises(SynthesisError) as caught:
            readable(nothing)
        assert caught.value.code == "nothing_to_say"


# --- voices -----------------------------------------------------------------------------------


class Pool:
    def __init__(self, capabilities: SynthesiserCapabilities) -> None:
        self.capabilities = capabilities


class Voices:
    """What an engine knows of voices."""

    def __init__(self) -> None:
        plain = {
            code: tuple(f"{code}+{v}" for v in ("f2", "m3", "f4", "m7")) for code in ("fr", "pl")
        }
        self.synthesisers = [Pool(KOKORO), Pool(SynthesiserCapabilities(plain, "basic"))]

    def synthesiser(self, language: str):
        return next((p for p in self.synthesisers if language in p.capabilities.voices), None)


def test_openais_names_are_voices_of_the_right_sex_in_every_language():
    engine = Voices()
    english = {name: choose(engine, name, "en").voice for name in OPENAI_VOICES}
    assert len(set(english.values())) == len(OPENAI_VOICES), "each is a voice of its own"
    assert english["onyx"] == "am_onyx" and english["nova"] == "af_nova"
    assert all(
        voice[1] == "m" for name, voice in english.items() if name in ("ash", "verse", "echo")
    )
    assert all(voice[1] == "f" for name, voice in english.items() if name in ("coral", "sage"))
    polish = {name: choose(engine, name, "pl").voice for name in OPENAI_VOICES}
    assert polish["coral"] == "pl+f2" and polish["ash"] == "pl+m3" and polish["alloy"] == "pl+f4"
    for language in KOKORO.voices:
        low, high = (choose(engine, name, language).voice for name in ("onyx", "nova"))
        assert low != high and low == choose(engine, "onyx", language).voice


def test_a_voice_of_ours_tells_its_language_and_blends_are_taken():
    engine = Voices()
    assert language_of(engine, "ff_siwis") == "fr" and language_of(engine, "fr+m3") == "fr"
    assert language_of(engine, "alloy") is None and language_of(engine, "nobody") is None
    assert choose(engine, "fr+m3", "fr").pool is engine.synthesisers[1]
    assert choose(engine, "any", "fr").voice == "ff_siwis"
    blend = "ff_siwis*0.7+am_onyx*0.3"
    assert choose(engine, blend, "fr").voice == blend


@pytest.mark.parametrize(
    "voice",
    ["nobody", "xx_nobody*0.5+ff_siwis*0.5", "ff_siwis*0", "../x", "ff_siwis\n", "ff_siwis*٣"],
)
def test_other_names_are_refused_with_what_there_is(voice):
    with pytest.raises(SynthesisError) as caught:
        choose(Voices(), voice, "fr")
    assert caught.value.code == "voice" and "ff_siwis" in caught.value.message
    with pytest.raises(SynthesisError) as caught:
        choose(Voices(), voice, "haw")
    assert caught.value.code == "language" and "pl" in caught.value.message


@pytest.mark.parametrize(
    ("certainty", "candidates", "language"),
    [
        (0.9, ("pl", "fr"), "pl"),
        (0.9, ("ka",), "ka"),
        (0.4, ("sa", "fr", "pl"), "fr"),
        (0.4, ("sa",), "en"),
        (0.1, ("fr", "pl"), "en"),
        (0.0, (), "en"),
    ],
)
def test_a_text_is_read_in_what_it_is_likely_written_in_else_in_english(
    certainty, candidates, language
):
    found = TextLanguage(candidates[0] if candidates else "und", certainty, candidates)
    assert spoken_language(found, {"en", "fr", "pl"}) == language


# --- tempo and formats ------------------------------------------------------------------------


def hum(seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * PLAYOUT_RATE)) / PLAYOUT_RATE
    tones = sum(np.sin(2 * np.pi * 150 * n * t) / n for n in range(1, 6))
    return (0.3 * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))).astype(np.float32)


@pytest.mark.parametrize("speed", [0.5, 0.8, 2.0])
def test_speech_is_slower_or_faster_at_the_same_pitch_and_without_clicks(speed):
    sound = hum(2.0)
    other = stretched(sound, speed)
    assert len(other) / len(sound) == pytest.approx(1 / speed, abs=0.05)
    assert rms(other) == pytest.approx(rms(sound), rel=0.1)
    spectrum = np.abs(np.fft.rfft(other * np.hanning(len(other))))
    assert np.argmax(spectrum) * PLAYOUT_RATE / len(other) == pytest.approx(150, abs=3)
    assert np.abs(np.diff(other)).max() < 1.5 * np.abs(np.diff(sound)).max()


@pytest.mark.parametrize("name", sound_formats.MEDIA_TYPES)
def test_every_format_gives_bytes_away_with_each_clause(name):
    encoder, clause = sound_formats.encoder(name), hum(0.8)
    sizes = [len(encoder.push(clause)) for _ in range(4)]
    assert all(size > 1000 for size in sizes)
    encoder.end()
