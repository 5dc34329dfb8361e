"""What every implementation of a stage must do. A new stage is one more line in ``STAGES``.

``check_<kind>(stage)`` takes a loaded stage and knows nothing of it but its Protocol and its
capabilities. Accuracy is not judged here. ``SAMPLE_CALLS`` has a call of each kind with which
``test_stage_processes.py`` looks at stages in their worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from babblefish.engine.stages import (
    PLAYOUT_RATE,
    SPEECH_RATE,
    Recogniser,
    RecogniserCapabilities,
    Recognition,
    RecognitionRequest,
    SpeakerEncoder,
    StageSpec,
    Synthesiser,
    Translator,
    VoiceActivityDetector,
    WordTimer,
)
from babblefish.engine.worker import build
from babblefish.errors import (
    AudioError,
    BabbleFishError,
    RecognitionError,
    SpeakerError,
    SynthesisError,
    TranslationError,
)


@dataclass(frozen=True, slots=True)
class Listed:
    kind: str
    factory: str
    part: str = ""
    faithful: bool = True
    """False for toys that answer everything with the same words"""
    needs_weights: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def spec(self, weights_dir: Path) -> StageSpec:
        weights = {"weights_dir": weights_dir} if self.needs_weights else {}
        return StageSpec(
            f"babblefish.engine.{self.factory}", {**weights, **self.options}, self.part
        )

    def load(self, weights_dir: Path) -> Any:
        built = build(self.spec(weights_dir))
        return getattr(built, self.part) if self.part else built


STAGES: dict[str, Listed] = {
    "SileroVad": Listed("vad", "vad:SileroVad"),
    "WhisperRecogniser": Listed("recogniser", "whisper:WhisperRecogniser"),
    "WhisperRecogniser, large-v3": Listed(
        "recogniser", "whisper:WhisperRecogniser", options={"size": "large-v3"}
    ),
    "SeamlessRecogniser": Listed("recogniser", "seamless:Seamless", "recogniser"),
    "ApertiumTranslator": Listed("translator", "apertium:ApertiumTranslator", needs_weights=False),
    "NllbTranslator": Listed("translator", "nllb:NllbTranslator"),
    "SeamlessTranslator": Listed("translator", "seamless:Seamless", "translator", faithful=False),
    "KokoroSynthesiser": Listed("synthesiser", "kokoro:KokoroSynthesiser"),
    "MmsSynthesiser": Listed("synthesiser", "mms:MmsSynthesiser"),
    "EspeakSynthesiser": Listed("synthesiser", "espeak:EspeakSynthesiser", needs_weights=False),
    "Ge2eEncoder": Listed("speaker_encoder", "speakers:Ge2eEncoder"),
    "PyannoteEncoder": Listed("speaker_encoder", "pyannote_encoder:PyannoteEncoder"),
}
"""every implementation there is"""

_RANDOM = np.random.default_rng(7)
BAD_AUDIO = {
    "empty": np.zeros(0, np.float32),
    "NaN": np.full(SPEECH_RATE, np.nan, np.float32),
    "infinite": np.full(SPEECH_RATE, np.inf, np.float32),
    "integers": np.zeros(SPEECH_RATE, np.int16),
    "stereo": np.zeros((2, SPEECH_RATE), np.float32),
}
ODD_AUDIO = {
    "one sample": np.full(1, 0.5, np.float32),
    "silence": np.zeros(SPEECH_RATE, np.float32),
    "float64 noise": _RANDOM.normal(0, 0.1, SPEECH_RATE),
    "far too loud": _RANDOM.normal(0, 50, SPEECH_RATE).astype(np.float32),
    "not contiguous": _RANDOM.normal(0, 0.1, 2 * SPEECH_RATE).astype(np.float32)[::2],
}
ODD_TEXTS = ("", " ", "…", "\0", "🎉", "a\nb", "<b>&amp;", "x" * 500)
SAYABLE = {"ja": "こんにちは。"}
"""what to say in languages whose voices do not read Latin letters"""


def check_vad(stage: VoiceActivityDetector) -> None:
    frame, state = stage.capabilities.frame_samples, stage.capabilities.state_shape
    for streams in (0, 1, 5):
        frames = _RANDOM.normal(0, 0.1, (streams, frame)).astype(np.float32)
        states = np.zeros((streams, *state), np.float32)
        kept = states.copy()
        probabilities, after = stage.probabilities(frames, states)
        assert probabilities.shape == (streams,)
        assert probabilities.dtype == after.dtype == np.float32
        assert after.shape == states.shape
        assert np.array_equal(states, kept), "the caller's states were changed"
        assert ((probabilities >= 0) & (probabilities <= 1)).all()
        again, _ = stage.probabilities(frames, states)
        assert np.allclose(probabilities, again), "something was kept between calls"
    for bad in (np.zeros((1, frame + 1), np.float32), np.zeros((1, frame), np.int16)):
        raises(AudioError, "bad_audio", stage.probabilities, bad, np.zeros((1, *state), np.float32))


def check_recogniser(stage: Recogniser) -> None:
    able = stage.capabilities
    assert able.languages and able.batch >= 1
    a_language = min(able.languages)
    for audio in BAD_AUDIO.values():
        raises(RecognitionError, "bad_audio", stage.transcribe, audio, RecognitionRequest())
    too_long = np.zeros(int((able.max_seconds + 1) * SPEECH_RATE), np.float32)
    raises(RecognitionError, "bad_audio", stage.transcribe, too_long, RecognitionRequest())
    raises(
        RecognitionError, "language", stage.transcribe, ODD_AUDIO["silence"],
        RecognitionRequest("tlh"),
    )  # fmt: skip
    requests = (
        RecognitionRequest(),
        RecognitionRequest(a_language, language_fixed=True, context="Anna, Bob"),
        RecognitionRequest(a_language, translate_into=tuple(able.translates_into)),
        RecognitionRequest(a_language, draft=True),
    )
    for request in requests:
        for audio in ODD_AUDIO.values() if request is requests[0] else [ODD_AUDIO["far too loud"]]:
            kept = audio.copy()
            check_recognition(stage.transcribe(audio, request), able, request)
            assert np.array_equal(audio, kept), "the caller's audio was changed"
    for language in some(able.languages):
        request = RecognitionRequest(language, language_fixed=True, draft=True)
        result = stage.transcribe(_buzz(0.6), request)
        assert result.language == language
    if able.batch > 1:
        check_batch(stage, a_language)
    if able.word_times:
        check_word_timer(stage, able)


def check_word_timer(stage: WordTimer, able: RecogniserCapabilities) -> None:
    assert able.word_times <= able.languages
    speech, text = _buzz(3.0), "Anna, 12 — Bob."
    for language in some(able.word_times, 2):
        for whole in (True, False):
            found = stage.align(speech, text, language, whole)
            said = [word.text for word in found.words]
            assert said == ["Anna,", "12 —", "Bob."][: len(said)] and (
                not whole or len(said) in (0, 3)
            )
            assert found.used <= len(text) and bool(found.used) == bool(said)
            times = [t for word in found.words for t in (word.start, word.end)]
            assert times == sorted(times) and all(0 <= t <= 3.0 for t in times)
            assert all(0.0 <= word.confidence <= 1.0 for word in found.words)
    language = min(able.word_times)
    for odd in ("", "… \0", "<|endoftext|> <|en|>", "a " * 3000):
        assert stage.align(speech, odd, language, True).used <= len(odd)
    for audio in BAD_AUDIO.values():
        raises(RecognitionError, "bad_audio", stage.align, audio, text, language, True)
    stage.align(ODD_AUDIO["one sample"], text, language, True)
    stage.align(ODD_AUDIO["far too loud"], text, language, True)
    raises(RecognitionError, "language", stage.align, speech, text, "tlh", True)


def check_recognition(
    result: Recognition, able: RecogniserCapabilities, request: RecognitionRequest
) -> None:
    assert result.language in able.languages
    assert result.text == result.text.strip()
    assert set(result.translations) <= set(request.translate_into)
    for share in (result.language_probability, result.confidence, result.no_speech_probability):
        assert 0.0 <= share <= 1.0


def check_batch(stage: Any, language: str) -> None:
    """Answers are in order, and what is refused is refused alone."""
    request = RecognitionRequest(language, language_fixed=True)
    good, bad = ODD_AUDIO["far too loud"], BAD_AUDIO["NaN"]
    first, refused, last = stage.transcribe_batch(
        [(good, request), (bad, request), (good, request)]
    )
    assert isinstance(refused, RecognitionError) and refused.code == "bad_audio"
    for result in (first, last):
        check_recognition(result, stage.capabilities, request)


def check_translator(stage: Translator, faithful: bool = True) -> None:
    pairs = stage.capabilities.pairs
    assert pairs and set(pairs.values()) <= {"good", "basic"}
    assert all(source != target for source, target in pairs)
    known = ("en", "es") if ("en", "es") in pairs else min(pairs)
    assert stage.translate([], *known) == []
    assert len(stage.translate(list(ODD_TEXTS), *known)) == len(ODD_TEXTS)
    assert stage.translate(["", " "], *known) == ["", " "]
    for source, target in [pair for pair in pairs if set(pair) <= {"en", "es", "fr"}]:
        (text,) = stage.translate(["Anna 12."], source, target)
        assert text and (not faithful or ("Anna" in text and "12" in text))
    for source, target in some(pairs):
        assert stage.translate(["Anna 12."], source, target)[0]
    raises(TranslationError, "pair", stage.translate, ["a"], known[0], "tlh")
    stage.prepare(*known)
    stage.prepare(known[0], "tlh")
    raises(TranslationError, "pair", stage.translate, ["a"], known[0], known[0])


def check_synthesiser(stage: Synthesiser) -> None:
    voices = stage.capabilities.voices
    assert stage.capabilities.quality in ("good", "basic")
    assert voices and all(len(set(names)) == len(names) > 0 for names in voices.values())
    for language in some(voices):
        check_sound(stage.synthesise("Anna, 12.", language, voices[language][0], 1.0))
        stage.prepare(language)
    stage.prepare("tlh")
    for language in [code for code in ("en", "fr", "de", "ja") if code in voices]:
        samples = stage.synthesise(SAYABLE.get(language, "Anna."), language, voices[language][0], 1)
        check_sound(samples)
        assert len(samples) > 0.15 * PLAYOUT_RATE, language
    a_language = "en" if "en" in voices else min(voices)
    a_voice = voices[a_language][-1]
    for text in ODD_TEXTS[:4]:
        assert len(stage.synthesise(text, a_language, a_voice, 1.0)) == 0
    for text in ODD_TEXTS[4:7]:
        check_sound(stage.synthesise(text, a_language, a_voice, 1.0))
    slow, fast = (len(stage.synthesise("Anna, Anna.", a_language, a_voice, s)) for s in (1.0, 1.4))
    assert fast < slow
    raises(SynthesisError, "language", stage.synthesise, "Anna.", "tlh", a_voice, 1.0)
    raises(SynthesisError, "voice", stage.synthesise, "Anna.", a_language, "nobody", 1.0)


def check_sound(samples: np.ndarray) -> None:
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert np.isfinite(samples).all()
    assert len(samples) == 0 or np.abs(samples).max() <= 1.0


def check_speaker_encoder(stage: SpeakerEncoder) -> None:
    able = stage.capabilities
    assert all(0 < threshold < 1 for threshold in able.same_speaker.values())
    for audio in BAD_AUDIO.values():
        raises(SpeakerError, "bad_audio", stage.embed, audio)
    raises(SpeakerError, "bad_audio", stage.embed, ODD_AUDIO["silence"])
    raises(SpeakerError, "too_short", stage.embed, ODD_AUDIO["one sample"])
    speech = _buzz(60.0)
    try:
        print_ = stage.embed(speech)
    except SpeakerError as error:
        assert error.code == "too_short"  # it heard that a buzz is no voice
    else:
        assert print_.shape == (able.dimension,)
        assert print_.dtype == np.float32
        assert abs(float(np.linalg.norm(print_)) - 1.0) < 1e-3


_T = TypeVar("_T")


def some(everything: Iterable[_T], most: int = 8) -> list[_T]:
    """At most so many of them, from all over."""
    found = sorted(everything)
    return found[:: -(-len(found) // most)]


def raises(error: type[BabbleFishError], code: str, call: Callable, *args: object) -> None:
    """``call(*args)`` must refuse with ``code`` and a sentence that people can read."""
    with pytest.raises(error) as caught:
        call(*args)
    assert caught.value.code == code
    assert len(caught.value.message) > 15
    assert caught.value.message.endswith(".")


def _buzz(seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * SPEECH_RATE)) / SPEECH_RATE
    pulses = np.sign(np.sin(2 * np.pi * 120 * t)) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    return (0.2 * pulses).astype(np.float32)


CHECKS: dict[str, Callable] = {
    "vad": check_vad,
    "recogniser": check_recogniser,
    "translator": check_translator,
    "synthesiser": check_synthesiser,
    "speaker_encoder": check_speaker_encoder,
}

SAMPLE_CALLS: dict[str, Callable[[Any, np.ndarray], tuple]] = {
    "vad": lambda able, speech: (
        "probabilities", speech[: able.frame_samples][None],
        np.zeros((1, *able.state_shape), np.float32),
    ),
    "recogniser": lambda able, speech: (
        "transcribe", speech, RecognitionRequest("en", language_fixed=True)
    ),
    "translator": lambda able, speech: ("translate", ["Where is the station?"], "en", "es"),
    "synthesiser": lambda able, speech: (
        "synthesise", "Anna.", min(able.voices), able.voices[min(able.voices)][0], 1.0
    ),
    "speaker_encoder": lambda able, speech: ("embed", speech),
}  # fmt: skip
"""kind → (method, arguments), from the capabilities and some English speech"""
