"""Whisper with its real weights on real speech, and on sounds in which nobody speaks."""

from __future__ import annotations

import re

import jiwer
import numpy as np
import pytest

from babblefish.engine import doubts, interruption
from babblefish.engine import whisper as module
from babblefish.engine.spoken_language import weigh_languages
from babblefish.engine.stages import RecognitionRequest
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.errors import RecognitionError, WeightsError, WorkerError
from tests import read_aloud, sounds


@pytest.fixture(scope="module")
def speech(weights_dir):
    return read_aloud.speech(weights_dir)


@pytest.fixture(scope="module")
def clips(speech):
    """One short clip of each language with a known transcript."""
    first = {}
    for clip in speech:
        if clip.transcript and clip.seconds < 8:
            first.setdefault(clip.language, clip)
    return list(first.values())


def words(text: str) -> str:
    return " ".join(re.sub(r"[^\w ]", " ", text.lower().replace(",", "")).split())


def test_transcribes_each_language_and_finds_it(whisper, clips):
    heard = [whisper.transcribe(c.samples, RecognitionRequest(c.language)) for c in clips]
    assert [r.language for r in heard] == [c.language for c in clips]
    error = jiwer.wer([words(c.transcript) for c in clips], [words(r.text) for r in heard])
    assert error < 0.25
    for result in heard:
        assert result.text == result.text.strip()
        assert 0.3 < result.confidence <= 1.0
        assert result.language_probability > 0.5


@pytest.mark.parametrize("draft", [True, False])
def test_a_transcription_can_be_given_up(whisper, clips, monkeypatch, draft):
    request = RecognitionRequest(clips[0].language, draft=draft)
    monkeypatch.setattr(interruption, "_asked", True)
    with pytest.raises(WorkerError) as error:
        whisper.transcribe(clips[0].samples, request)
    assert error.value.code == "superseded"
    interruption.reset()
    assert whisper.transcribe(clips[0].samples, request).text


def test_identifies_an_undeclared_language(whisper, clips):
    for clip in clips:
        result = whisper.transcribe(clip.samples, RecognitionRequest())
        assert result.language == clip.language


def test_overrules_a_wrong_declaration_but_obeys_a_fixed_language(whisper, clips):
    clip = next(c for c in clips if c.language == "pt")
    assert whisper.transcribe(clip.samples, RecognitionRequest("en")).language == "pt"
    fixed = whisper.transcribe(clip.samples, RecognitionRequest("en", language_fixed=True))
    assert (fixed.language, fixed.language_probability) == ("en", 1.0)


def test_translates_speech_only_when_asked_to(whisper, clips):
    clip = next(c for c in clips if c.language == "pt")
    wanted = RecognitionRequest("pt", translate_into=("en",))
    assert "children" in whisper.transcribe(clip.samples, wanted).translations["en"].lower()
    unwanted = RecognitionRequest("pt", translate_into=("en",), translate_when=frozenset({"de"}))
    assert not whisper.transcribe(clip.samples, unwanted).translations
    english = next(c for c in clips if c.language == "en")
    assert not whisper.transcribe(
        english.samples, RecognitionRequest("en", translate_into=("en",))
    ).translations


@pytest.mark.parametrize(("name", "sound"), sounds.non_speech().items())
def test_promise_23_no_words_are_invented_where_nobody_speaks(whisper, name, sound):
    request = RecognitionRequest("fr" if len(name) % 2 else None, translate_into=("en",))
    result = whisper.transcribe(sound, request)
    assert result.text == ""
    assert not result.translations


@pytest.mark.parametrize("damage", [sounds.clipped, sounds.faint, sounds.whispered])
def test_promise_24_damaged_speech_is_still_understood(whisper, clips, damage):
    clip = next(c for c in clips if c.language == "pt")
    result = whisper.transcribe(damage(clip.samples), RecognitionRequest("pt"))
    assert jiwer.wer(words(clip.transcript), words(result.text) or "-") <= 0.3


def test_promise_24_a_single_word_keeps_the_declared_language(whisper, clips):
    clip = next(c for c in clips if c.language == "es" or c.language == "fr")
    start = int(np.argmax(np.abs(clip.samples) > 0.05 * np.abs(clip.samples).max()))
    one_word = clip.samples[max(0, start - 800) : start + 8000]
    result = whisper.transcribe(one_word, RecognitionRequest(clip.language))
    assert result.language == clip.language
    assert len(result.text.split()) <= 4


def test_a_broken_first_look_is_repeated_through_the_full_window(whisper, clips, monkeypatch):
    windows = []
    encode = module._Listening._encode
    monkeypatch.setattr(
        module._Listening, "_encode", lambda self, w: windows.append(w) or encode(self, w)
    )
    monkeypatch.setattr(module, "WINDOWS", (1200, 3000))
    monkeypatch.setattr(module, "is_broken", lambda evidence, limit: True)
    clip = next(c for c in clips if c.language == "es")
    whisper.transcribe(clip.samples, RecognitionRequest("es"))
    assert windows == [1200, 3000]


def test_context_helps_with_names(whisper, clips):
    clip = next(c for c in clips if c.language == "en")
    result = whisper.transcribe(clip.samples, RecognitionRequest("en", context="Platform one."))
    assert "platform" in result.text.lower()


def test_drafts_look_through_the_smallest_window_and_are_usable(whisper, clips, monkeypatch):
    windows, beams = [], []
    encode = module._Listening._encode

    def watched(listening, window):
        windows.append(window)
        beams.append(listening._beam)
        return encode(listening, window)

    monkeypatch.setattr(module._Listening, "_encode", watched)
    clip = next(c for c in clips if c.language == "pt")
    text = whisper.transcribe(clip.samples, RecognitionRequest("pt", draft=True)).text
    whisper.transcribe(clip.samples, RecognitionRequest("pt"))
    assert beams[0] == 1 < beams[1]
    assert windows[0] <= windows[1]
    assert jiwer.wer(words(clip.transcript), words(text)) < 0.4


@pytest.mark.parametrize(
    ("audio", "request_", "code"),
    [
        (np.zeros(0, np.float32), RecognitionRequest(), "bad_audio"),
        (np.full(16000, np.nan, np.float32), RecognitionRequest(), "bad_audio"),
        (np.zeros(16000, np.int16), RecognitionRequest(), "bad_audio"),
        (np.zeros((2, 16000), np.float32), RecognitionRequest(), "bad_audio"),
        (np.zeros(60 * 16000, np.float32), RecognitionRequest(), "bad_audio"),
        (np.zeros(16000, np.float32), RecognitionRequest("xx"), "language"),
        (np.zeros(16000, np.float32), RecognitionRequest(language_fixed=True), "language"),
    ],
)
def test_bad_input_is_named(whisper, audio, request_, code):
    with pytest.raises(RecognitionError) as caught:
        whisper.transcribe(audio, request_)
    assert caught.value.code == code


def test_missing_and_broken_weights_say_what_to_do(tmp_path):
    with pytest.raises(WeightsError) as caught:
        WhisperRecogniser(tmp_path)
    assert "make run" in caught.value.message
    (tmp_path / "whisper-base").mkdir()
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / "whisper-base" / name).write_bytes(b"{}")
    with pytest.raises(WeightsError) as caught:
        WhisperRecogniser(tmp_path)
    assert caught.value.code == "broken"


def test_weak_evidence_never_overrules_a_declaration():
    heard = {"fr": 0.02, "en": 0.9, "de": 0.09}
    assert weigh_languages(heard, "fr", 5.0)[0] == "fr"
    assert weigh_languages(heard, "fr", 5.0)[0] == "fr"
    heard["fr"] = 1e-4
    assert weigh_languages(heard, "fr", 5.0)[0] == "en"
    assert weigh_languages(heard, "fr", 0.6)[0] == "fr"
    assert weigh_languages(heard, None, 0.6)[0] == "en"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("la la la la la la", "la"),
        ("Then we go and we go and we go and we go", "Then we go and"),
        ("No, no, no.", "No, no, no."),
        ("Hold on, hold fast, hold out.", "Hold on, hold fast, hold out."),
    ],
)
def test_loops_are_said_once(text, said):
    assert doubts.unloop(text) == said


def test_annotations_and_spaces_are_tidied_away():
    assert doubts.tidy("  [Music]  Good  morning , all . ♪") == "Good morning, all."
    assert doubts.tidy("... !") == ""


def test_phrases_often_invented():
    for text in (
        "Thank you for watching!",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Untertitel der Amara.org-Community",
        "¡Gracias por ver el video!",
        "you",
    ):
        assert doubts.is_often_invented(text)
    for text in ("Thank you for your question.", "You are right.", "So what do we do?", "Oui."):
        assert not doubts.is_often_invented(text)
