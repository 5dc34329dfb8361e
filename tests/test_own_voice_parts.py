"""The small parts of speaking in people's own voices: trust, tempo, clauses made ready."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.audio import rms
from babblefish.engine.clone_stream import ready
from babblefish.engine.identification import Enrolled, Identifier, Sample
from babblefish.engine.stages import PLAYOUT_RATE, SpeakerEncoderCapabilities
from babblefish.engine.tempo import faster
from babblefish.engine.voice_trust import VoiceTrust


def hum(seconds: float, hertz: float = 150.0, level: float = 0.3) -> np.ndarray:
    """Like a voice: a tone with overtones that swells four times a second."""
    t = np.arange(int(seconds * PLAYOUT_RATE)) / PLAYOUT_RATE
    tones = sum(np.sin(2 * np.pi * hertz * n * t) / n for n in range(1, 6))
    return (level * tones * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))).astype(np.float32)


# --- tempo -----------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [1.12, 1.25])
def test_faster_speech_has_the_same_pitch_and_loudness(speed):
    sound = hum(2.0)
    short = faster(sound, speed)
    assert len(short) / len(sound) == pytest.approx(1 / speed, abs=0.03)
    assert rms(short) == pytest.approx(rms(sound), rel=0.1)
    spectrum = np.abs(np.fft.rfft(short * np.hanning(len(short))))
    assert np.argmax(spectrum) * PLAYOUT_RATE / len(short) == pytest.approx(150, abs=3)
    jumps = np.abs(np.diff(short)).max()
    assert jumps < 1.5 * np.abs(np.diff(sound)).max(), "no clicks"


def test_at_usual_speed_nothing_is_changed():
    sound = hum(0.5)
    assert faster(sound, 1.0) is sound and faster(sound[:100], 1.25).shape == (100,)


# --- a clause --------------------------------------------------------------------------------


def test_a_clause_is_made_as_loud_as_the_neutral_voice_and_begins_and_ends_with_speech():
    silence = np.zeros(PLAYOUT_RATE // 2, np.float32)
    soft = ready(np.concatenate([silence, hum(1.0, level=0.01), silence]))
    loud = ready(hum(1.0, level=0.5))
    assert 1.0 <= len(soft) / PLAYOUT_RATE <= 1.1
    assert rms(soft) == pytest.approx(rms(loud), rel=0.1)
    assert len(ready(np.zeros(100, np.float32))) == 100, "nothing to be made of it"


# --- trust -----------------------------------------------------------------------------------


class Stream:
    def __init__(self, complete: bool = True, kept_up: bool = True) -> None:
        self.complete, self.kept_up, self.closed = complete, kept_up, False
        self.answer = asyncio.Event()

    async def finished(self) -> bool:
        await self.answer.wait()
        return self.complete

    def close(self) -> None:
        self.closed = True


async def tried(trust: VoiceTrust, stream: Stream, speaker: str = "p") -> bool:
    """Whether it was, and whether the speaker can be waited for then."""
    begun: list[float] = []

    def begin(wait: float):
        begun.append(wait)
        return stream

    trust.try_out(speaker, begin)
    stream.answer.set()
    for _ in range(5):
        await asyncio.sleep(0)
    return bool(begun)


async def test_only_who_has_come_through_in_time_is_waited_for():
    now = [0.0]
    trust = VoiceTrust(lambda: now[0])
    assert not trust.proven("p")
    assert await tried(trust, Stream(complete=False)) and not trust.proven("p")
    assert await tried(trust, Stream(kept_up=False)) and not trust.proven("p")
    assert not await tried(trust, Stream()), "too slow just now: not at once again"
    now[0] += 30
    good = Stream()
    assert await tried(trust, good) and trust.proven("p") and not trust.proven("q")
    assert good.closed
    trust.learn("p", good=False)
    assert not trust.proven("p"), "waited for in vain"
    assert await tried(trust, Stream()) and trust.proven("p"), "and back as soon as it works"
    trust.forget("p")
    assert not trust.anybody
    waiting = Stream()
    trust.try_out("p", lambda wait: waiting)
    trust.try_out("p", lambda wait: pytest.fail("it is being tried already"))
    await trust.close()
    assert waiting.closed or not trust.proven("p")


# --- who it is, before it is settled ---------------------------------------------------------


def test_who_speaks_can_be_asked_ahead_without_changing_the_answer():
    able = SpeakerEncoderCapabilities("fake", 8, 0.3, {1.0: 0.3, 3.0: 0.4})
    one, two, stranger = np.eye(8, dtype=np.float32)[:3]
    people = [Enrolled("one", (Sample(one, 10.0),)), Enrolled("two", (Sample(two, 10.0),))]
    asked, quiet = Identifier(able, "one", people), Identifier(able, "one", people)
    for print_, seconds in ((one, 3.0), (stranger, 3.0), (two, 3.0), (None, 0.4), (one, 1.0)):
        ahead = asked.named(print_, seconds)
        assert asked.named(print_, seconds) == ahead
        settled = asked.identify(print_, seconds)
        assert settled == quiet.identify(print_, seconds)
        assert (ahead.person if ahead else None) == settled.person
