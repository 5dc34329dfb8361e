"""Kokoro with its real weights: what it says can be understood again, and odd requests do no harm.

Without weights: trimming and names of blends. test_kept_graph.py: how the faster graph is kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import onnx
import pytest
from kokoro_onnx.config import MAX_PHONEME_LENGTH
from onnxruntime import OrtValue

from babblefish.audio import resample
from babblefish.engine import clauses, kokoro_graph
from babblefish.engine import kokoro as module
from babblefish.engine.kokoro import RATE, KokoroSynthesiser, blend_parts, trim
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.errors import SynthesisError, WeightsError
from bench.measures import word_errors
from tests.stored import ROOT

SENTENCES = {
    "en": "The new building opens its doors in the spring of next year.",
    "es": "El nuevo edificio abre sus puertas en la primavera del próximo año.",
    "fr": "Le nouveau musée ouvrira au printemps de l'année prochaine, près de la gare.",
    "it": "Il nuovo palazzo apre le sue porte nella primavera del prossimo anno.",
    "pt": "O novo prédio abre as suas portas na primavera do próximo ano.",
}


@pytest.fixture(scope="module")
def kokoro(weights_dir) -> KokoroSynthesiser:
    return KokoroSynthesiser(weights_dir)


def read_back(whisper: WhisperRecogniser, samples: np.ndarray, language: str) -> str:
    heard = resample(samples, PLAYOUT_RATE, SPEECH_RATE)
    return whisper.transcribe(heard, RecognitionRequest(language, language_fixed=True)).text


# --- what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize("language", SENTENCES)
def test_what_it_says_is_understood(kokoro, whisper, language):
    """With each language's second voice, which in French is a blend."""
    text, voice = SENTENCES[language], kokoro.capabilities.voices[language][1]
    samples = kokoro.synthesise(text, language, voice)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert 2 < len(samples) / PLAYOUT_RATE < 7
    errors = word_errors(text, read_back(whisper, samples, language), language)
    assert errors.errors <= 0.2 * errors.of


@pytest.mark.parametrize(
    ("language", "text", "number"),
    [
        ("en", "There are 250 people in the room.", "250"),
        ("fr", "Il y a 250 personnes dans la salle.", "250"),
    ],
)
def test_numbers_are_read_in_the_language(kokoro, whisper, language, text, number):
    voice = kokoro.capabilities.voices[language][0]
    assert number in read_back(whisper, kokoro.synthesise(text, language, voice), language)


def test_a_speed_that_is_no_number_is_refused(kokoro):
    with pytest.raises(SynthesisError) as error:
        kokoro.synthesise("Hello.", "en", "af_heart", float("nan"))
    assert error.value.code == "voice"


def test_speed_is_obeyed_within_what_stays_intelligible(kokoro):
    def seconds(speed: float) -> float:
        return len(kokoro.synthesise("Good morning.", "en", "af_heart", speed)) / PLAYOUT_RATE

    assert 1.3 < seconds(1.0) / seconds(1.5) < 1.7
    assert seconds(50.0) == seconds(module.SPEEDS[1]) > 0.2
    assert seconds(0.001) == seconds(module.SPEEDS[0])


def test_silence_around_speech_is_cut_off(kokoro):
    samples = np.abs(kokoro.synthesise("Good morning.", "en", "af_heart"))
    loud = np.flatnonzero(samples > samples.max() / 50)
    assert loud[0] < 0.06 * PLAYOUT_RATE
    assert len(samples) - loud[-1] < 0.15 * PLAYOUT_RATE
    assert samples[0] < 0.001 and samples[-1] < 0.001, "a click"


@pytest.mark.parametrize("text", ["", " \n", "…", "?!", "\0", "🎉", "\u200b"])
def test_nothing_to_say_is_no_sound(kokoro, text):
    samples = kokoro.synthesise(text, "en", "af_heart")
    assert samples.shape == (0,) and samples.dtype == np.float32


def test_the_same_words_twice_sound_the_same(kokoro):
    first, second = (kokoro.synthesise("Yes.", "en", "af_heart") for _ in range(2))
    assert np.array_equal(first, second)


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["de", "tlh", "", "EN"])
def test_a_language_it_does_not_speak_is_named(kokoro, language):
    with pytest.raises(SynthesisError) as caught:
        kokoro.synthesise("Hallo", language, "af_heart")
    assert caught.value.code == "language"
    assert "fr" in caught.value.message


@pytest.mark.parametrize(
    "voice", ["", "nobody", "af_nobody", "af_heart*0", "af_heart+", "../voices", "af_heart*-1"]
)
def test_an_unknown_voice_is_named(kokoro, voice):
    with pytest.raises(SynthesisError) as caught:
        kokoro.synthesise("Hello", "en", voice)
    assert caught.value.code == "voice"


@pytest.mark.parametrize(
    ("voice", "parts"),
    [
        ("ff_siwis", [("ff_siwis", 1.0)]),
        ("ff_siwis*0.6+am_adam*0.4", [("ff_siwis", 0.6), ("am_adam", 0.4)]),
        ("a_b", None),
        ("ff_siwis*3 + am_adam", [("ff_siwis", 0.75), ("am_adam", 0.25)]),
        ("ff_siwis*0+am_adam*0", None),
        ("ff_siwis*0.6+", None),
        ("ff_siwis-am_adam", None),
        ("ff_siwis*1e3", None),
        ("FF_SIWIS", None),
    ],
)
def test_names_of_blends(voice, parts):
    if parts is None:
        with pytest.raises(ValueError):
            blend_parts(voice)
    else:
        assert blend_parts(voice) == [(name, pytest.approx(weight)) for name, weight in parts]


@pytest.mark.parametrize("present", [(), ("model.onnx",), ("voices.npz",)])
def test_missing_weights_are_named(tmp_path, present):
    folder = tmp_path / "kokoro"
    folder.mkdir()
    for name in present:
        (folder / name).write_bytes(b"")
    with pytest.raises(WeightsError) as caught:
        KokoroSynthesiser(tmp_path)
    assert caught.value.code == "missing"


def test_broken_weights_are_named(tmp_path):
    folder = tmp_path / "kokoro"
    folder.mkdir()
    np.savez(folder / "voices.npz", af_heart=np.zeros((510, 1, 256), np.float32))
    (folder / "model.onnx").write_bytes(b"<html>Not found</html>")
    with pytest.raises(WeightsError) as caught:
        KokoroSynthesiser(tmp_path)
    assert caught.value.code == "broken"


# --- what goes into the model and comes out of it ---------------------------------------------


class ScriptedSession:
    """An inference session that remembers what it was given and returns what it is told to."""

    def __init__(self, *answers: np.ndarray) -> None:
        self.given: list[dict[str, np.ndarray]] = []
        self._answers = list(answers)

    def run_until_interrupted(
        self, outputs: list[str], inputs: dict[str, np.ndarray]
    ) -> list[OrtValue]:
        self.given.append(inputs)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [OrtValue.ortvalue_from_numpy(answer)]

    @property
    def tokens(self) -> list[list[int]]:
        return [given["tokens"].ravel().tolist() for given in self.given]


def tone(seconds: float) -> np.ndarray:
    return 0.2 * np.sin(np.arange(int(seconds * RATE)) * 0.1).astype(np.float32)


@pytest.fixture
def scripted(kokoro, monkeypatch):
    def install(*answers: np.ndarray) -> ScriptedSession:
        session = ScriptedSession(*answers)
        monkeypatch.setattr(kokoro, "_session", session)
        return session

    return install


@pytest.mark.parametrize(
    "answer",
    [
        np.full(RATE, np.nan, np.float32),
        np.append(tone(0.5), np.float32(np.inf)),
        np.zeros(0, np.float32),
        tone(60.0),
    ],
    ids=["NaN", "infinite", "empty", "endless"],
)
def test_what_is_no_speech_is_not_passed_on(kokoro, scripted, answer):
    scripted(answer)
    with pytest.raises(SynthesisError) as caught:
        kokoro.synthesise("Hello.", "en", "af_heart")
    assert caught.value.code == "bad_audio"


def test_silence_from_the_model_is_no_sound(kokoro, scripted):
    scripted(np.zeros(RATE, np.float32))
    assert len(kokoro.synthesise("Hello.", "en", "af_heart")) == 0


def test_very_long_text_is_said_in_parts_that_fit(kokoro, scripted):
    sentence = "Everybody in the room has read the report, and nobody has a question. "
    whole = scripted(tone(2.0))
    kokoro.synthesise(sentence, "en", "af_heart")
    parts = scripted(tone(2.0))
    samples = kokoro.synthesise(sentence * 30, "en", "af_heart")
    assert len(parts.given) > 1
    assert all(len(tokens) <= MAX_PHONEME_LENGTH + 2 for tokens in parts.tokens)
    letters = sum(len(tokens) for tokens in parts.tokens)
    assert letters >= 30 * (len(whole.tokens[0]) - 2) * 0.97, "something is left out"
    seconds = len(samples) / PLAYOUT_RATE
    assert 2.0 * len(parts.given) < seconds < 2.3 * len(parts.given), "and joined by short pauses"


def test_text_without_any_space_is_said(kokoro, scripted):
    session = scripted(tone(2.0))
    assert len(kokoro.synthesise("blah" * 400, "en", "af_heart")) > 0
    assert all(len(tokens) <= MAX_PHONEME_LENGTH + 2 for tokens in session.tokens)


def test_british_voices_speak_british_english(kokoro, scripted):
    session = scripted(tone(0.5))
    for voice in ("af_heart", "bf_emma", "bf_emma*0.6+af_heart*0.4"):
        kokoro.synthesise("The car is in the bath.", "en", voice)
    american, british, blend = session.tokens
    assert american != british == blend


def test_each_number_of_phonemes_has_its_style(kokoro, scripted, weights_dir):
    session = scripted(tone(0.5))
    for text in ("Yes.", "Good morning, everybody."):
        kokoro.synthesise(text, "en", "af_heart")
    styles = np.load(weights_dir / "kokoro" / "voices.npz")["af_heart"]
    for given in session.given:
        assert np.array_equal(given["style"], styles[given["tokens"].shape[1] - 3])


def test_a_blend_has_its_share_of_each_voice(kokoro, scripted, weights_dir):
    session = scripted(tone(0.5))
    kokoro.synthesise("Yes.", "en", "af_heart*3+am_michael")
    row = session.given[0]["tokens"].shape[1] - 3
    voices = np.load(weights_dir / "kokoro" / "voices.npz")
    want = 0.75 * voices["af_heart"][row] + 0.25 * voices["am_michael"][row]
    assert np.allclose(session.given[0]["style"], want, atol=1e-5)


# --- trimming ---------------------------------------------------------------------------------


def test_trimming_keeps_the_speech_and_a_little_around_it():
    quiet = np.zeros(RATE, np.float32)
    samples = np.concatenate([quiet, tone(0.5), quiet])
    said = trim(samples)
    assert 0.5 <= len(said) / RATE <= 0.6
    middle = said[1000:2000]
    assert any(
        np.array_equal(middle, samples[start : start + 1000]) for start in range(RATE, RATE + 1500)
    ), "changed inside"


def test_trimming_takes_noise_far_below_the_speech_for_silence():
    noise = np.random.default_rng(1).normal(0, 2e-5, RATE).astype(np.float32)
    assert len(trim(np.concatenate([noise, tone(0.5), noise]))) / RATE < 0.6


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(50), np.zeros(RATE)])
def test_trimming_nothing_leaves_nothing(samples):
    assert len(trim(samples.astype(np.float32))) == 0


def test_trimmed_edges_do_not_click():
    samples = np.cos(np.arange(RATE // 2) * 0.1).astype(np.float32)
    kept = samples.copy()
    said = trim(samples)
    assert np.array_equal(samples, kept), "the caller's samples were changed"
    assert said[0] == said[-1] == 0.0
    assert max(abs(a - b) for a, b in pairwise(said)) < 0.11


def test_the_original_graph_speaks_too(weights_dir, tmp_path, monkeypatch, kokoro):
    def refuse(_: onnx.ModelProto) -> onnx.ModelProto:
        raise ValueError("not Kokoro")

    folder = tmp_path / "kokoro"
    folder.mkdir()
    for name in ("model.onnx", "voices.npz"):
        os.symlink(weights_dir / "kokoro" / name, folder / name)
    monkeypatch.setattr(kokoro_graph, "optimise", refuse)
    slow = KokoroSynthesiser(tmp_path)
    want, got = (k.synthesise("Good morning.", "en", "af_heart") for k in (kokoro, slow))
    assert abs(len(got) - len(want)) < 0.1 * PLAYOUT_RATE


GROWTH = """
import sys
import psutil
from babblefish.engine.kokoro import KokoroSynthesiser

kokoro, process = KokoroSynthesiser(sys.argv[1]), psutil.Process()
kokoro.synthesise("Good morning.", "en", "af_heart")
before = process.memory_info().rss
said = kokoro.synthesise(" ".join(["Good morning, everyone."] * 6), "en", "af_heart")
print(len(said), process.memory_info().rss - before)
"""


def test_a_longer_clause_than_ever_takes_no_more_memory(weights_dir):
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(weights_dir)], capture_output=True, text=True,
        check=True, cwd=ROOT, timeout=300,
    )  # fmt: skip
    length, growth = map(int, done.stdout.split())
    assert length > clauses.LONGEST_SECONDS * PLAYOUT_RATE
    assert growth < 50e6, "over 200 MB where nothing was taken in advance"
