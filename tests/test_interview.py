"""Two people, one phone and the compact profile: real speech in two languages, and the loudspeaker
beside the microphone."""

from __future__ import annotations

import asyncio
import difflib

import numpy as np
import pytest
import pytest_asyncio

from babblefish.audio import resample, rms, to_int16
from babblefish.engine.engine import Engine
from babblefish.engine.profiles import choose
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.protocol import Caption, Voicing
from babblefish.settings import Settings, load_settings
from rooms.conversation import Conversation
from rooms.hub import Hub
from rooms.playout import FRAME
from tests.phones import Phone, join

pytestmark = pytest.mark.asyncio(loop_scope="module")
_SPEECH_RMS = 0.1
LATER = 15
"""frames of 20 ms from the server to the loudspeaker, over the air and back"""


OVER = 25
"""frames of the loudspeaker after which somebody talks over it"""
_LOUD = 300


class TablePhone(Phone):
    """In real time, with its loudspeaker 12 dB fainter in its microphone than people, and no echo
    canceller."""

    _over: np.ndarray | None = None
    _loud = 0

    def say_over(self, sound: np.ndarray) -> None:
        """Once the loudspeaker has talked for ``OVER`` frames, however busy the machine is."""
        self._over = sound

    def _talk_over(self) -> None:
        self._loud += int(np.abs(self._heard[-1]).max() > _LOUD)
        if self._over is not None and self._loud >= OVER:
            self.say(self._over)
            self._over = None

    async def _run(self) -> None:
        silence = np.zeros(FRAME, np.int16)
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            echo = self._heard[-LATER] * 0.25 if len(self._heard) >= LATER else silence
            said = self._saying.pop(0) if self._saying else silence
            self.link.hear(np.clip(said + echo, -32768, 32767).astype(np.int16))
            self._heard.append(self.link.next_frame())
            self._talk_over()
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def compact(weights_dir):
    engine = Engine(choose(load_settings().model_copy(update={"profile": "compact"})))
    await engine.start()
    yield engine
    await engine.close()


def played(phone: Phone) -> list[str]:
    return [v.utterance for v in phone.of(Voicing) if v.state == "played"]


def alike(one: str, other: str) -> float:
    letters = ["".join(c for c in text.casefold() if c.isalnum()) for text in (one, other)]
    return difflib.SequenceMatcher(None, *letters, autojunk=False).ratio()


def clip(speech, name: str) -> tuple[np.ndarray, str]:
    found = next((c for c in speech if c.name == f"{name}_sentence"), None)
    found = found or next(c for c in speech if c.language == name and c.transcript)
    samples = found.samples * np.float32(_SPEECH_RMS / rms(found.samples))
    return to_int16(resample(samples, SPEECH_RATE, PLAYOUT_RATE)), found.transcript


async def test_a_conversation_across_the_table(compact, speech, whisper, monkeypatch):
    changed = []
    without_own_words = Conversation.without_own_words

    async def watched(self, utterance):
        cleaned = await without_own_words(self, utterance)
        changed.append(cleaned.utterance is not utterance)
        before, after = utterance.audio.samples, cleaned.utterance.audio.samples
        silenced = np.mean((after == 0) & (before != 0))
        print(f"{utterance.start:.2f} s: {utterance.audio.seconds:.2f} s, {silenced:.0%} silenced")
        return cleaned

    monkeypatch.setattr(Conversation, "without_own_words", watched)
    (spanish, said_es), (english, said_en) = clip(speech, "es"), clip(speech, "en")
    hub = Hub(Settings(), compact)
    await hub.start()
    room = hub.create("Interview", "interview")
    async with TablePhone(join(room, "Table", "es", speaks="auto", also="en")) as phone:
        phone.say(spanish)
        phone.say_over(english)
        await phone.until(lambda: len(played(phone)) == 2, 60)
        await asyncio.sleep(3.0)  # what it said itself would be heard by now
        by_text: dict[tuple[str, bool], Caption] = {
            (c.language, c.translated): c for c in phone.finals
        }
        assert len(phone.finals) == len(by_text) == 4, [c.text for c in phone.finals]
        assert alike(by_text["es", False].text, said_es) > 0.7
        assert alike(by_text["en", False].text, said_en) > 0.7
        assert by_text["es", False].name == "Table" and by_text["en", False].name == "Table · 2"
        heard = whisper_of(whisper, phone)
        assert alike(heard["en"], by_text["en", True].text) > 0.6, heard
        assert alike(heard["es"], by_text["es", True].text) > 0.6, heard
        assert any(changed), "the loudspeaker was heard, and known for what it was"
    await hub.close()


def whisper_of(whisper, phone: TablePhone) -> dict[str, str]:
    """What came out of the loudspeaker, by language: the two translations one after the other."""
    loud = np.array([np.abs(frame).max() > _LOUD for frame in phone._heard])
    on = np.flatnonzero(loud)
    pause = int(np.argmax(np.diff(on)))
    pieces = (on[0], on[pause] + 1), (on[pause + 1], on[-1] + 1)
    found = {}
    for language, (first, last) in zip(("en", "es"), pieces, strict=True):
        sound = np.concatenate(phone._heard[first:last]) / np.float32(32768)
        samples = resample(sound, PLAYOUT_RATE, SPEECH_RATE)
        request = RecognitionRequest(language=language, language_fixed=True)
        found[language] = whisper.transcribe(samples, request).text
    return found
