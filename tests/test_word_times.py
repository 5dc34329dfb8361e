"""When words are said, by the real Whisper: against speech of which it is known."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from babblefish.engine import interruption, words
from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import SPEECH_RATE
from babblefish.errors import WorkerError
from tests import timed_speech

SAID = (
    ("en", ("Good morning everybody,", "the meeting starts at nine,", "and nobody knows why.")),
    ("es", ("Buenos días,", "la reunión empieza mañana", "en la sala grande.")),
)


class AtOnce:
    """A pool whose stage is here."""

    def __init__(self, stage: Any) -> None:
        self._stage = stage
        self.calls = 0

    async def call(self, method: str, *args: Any, priority: Priority) -> Any:
        self.calls += 1
        return getattr(self._stage, method)(*args)


@pytest.fixture(scope="module")
def said(weights_dir):
    return [timed_speech.by_kokoro(weights_dir, stretches, lang, 0.6) for lang, stretches in SAID]


def test_words_are_found_where_they_are_said(whisper, said):
    spoken = [
        *said,
        timed_speech.by_espeak("La réunion commence demain matin dans la grande salle.", "fr"),
        timed_speech.by_espeak("Wir treffen uns am Montag im großen Saal.", "de"),
    ]
    late, late_ends = [], []
    for clip in spoken:
        found = whisper.align(clip.samples, clip.text, clip.language, True)
        assert found.used == len(clip.text)
        assert [w.text for w in found.words] == clip.text.split()
        late += [w.start - s for w, s in zip(found.words, clip.starts, strict=True)]
        late_ends += [
            w.end - e for w, e in zip(found.words, clip.ends, strict=True) if e is not None
        ]
    assert abs(np.median(late)) < 0.08 and abs(np.median(late_ends)) < 0.15
    assert np.percentile(np.abs(late), 80) < 0.2 and np.abs(late).max() < 0.7


def test_nothing_is_said_in_a_pause(whisper, said):
    (clip, _) = said
    found = whisper.align(clip.samples, clip.text, clip.language, True).words
    first = [0, 3, 8]
    """the words that begin after a pause"""
    for i in first:
        assert found[i].start == pytest.approx(clip.starts[i], abs=0.15)
        assert found[i - 1].end < clip.starts[i] - 0.2 or i == 0


def test_how_much_of_a_text_is_said_is_found_out(whisper, said):
    (clip, _) = said
    cut = clip.samples[: int((clip.ends[7] + 0.3) * SPEECH_RATE)]
    found = whisper.align(cut, clip.text, clip.language, False)
    assert [w.text for w in found.words] == clip.text.split()[:8]
    assert clip.text[found.used :] == "and nobody knows why."


def test_a_long_recording_is_done_in_pieces(whisper, said, monkeypatch):
    (clip, _) = said
    monkeypatch.setattr(words, "_PIECE", 5.0)
    pool = AtOnce(whisper)
    found = asyncio.run(words.words(pool, clip.samples, clip.text, clip.language, Priority.BATCH))
    assert pool.calls > 1
    assert [w.text for w in found] == clip.text.split()
    late = [w.start - s for w, s in zip(found, clip.starts, strict=True)]
    assert np.percentile(np.abs(late), 80) < 0.25 and np.abs(late).max() < 0.7


def test_where_nobody_speaks_no_word_is_said(whisper):
    noise = np.random.default_rng(4).normal(0, 0.001, 3 * SPEECH_RATE).astype(np.float32)
    assert whisper.align(noise, "Good morning.", "en", True).words == ()


def test_it_can_be_given_up(whisper, said, monkeypatch):
    monkeypatch.setattr(interruption, "_asked", True)
    with pytest.raises(WorkerError) as error:
        whisper.align(said[0].samples, said[0].text, "en", True)
    assert error.value.code == "superseded"
