"""Scripted stages that implement the real interfaces, for tests of what lies around them."""

from __future__ import annotations

import os
import time
import warnings

import numpy as np

from babblefish.engine import interruption
from babblefish.engine.stages import (
    PLAYOUT_RATE,
    Alignment,
    RecogniserCapabilities,
    Recognition,
    RecognitionRequest,
    SharedCapabilities,
    SpeakerEncoderCapabilities,
    SynthesiserCapabilities,
    TranslatorCapabilities,
    VadCapabilities,
)
from babblefish.errors import (
    BabbleFishError,
    RecognitionError,
    SynthesisError,
    TranslationError,
    WeightsError,
)
from babblefish.protocol import Word
from bench.marks import spoken


class EnergyVad:
    """Speech is what is louder than -40 dBFS."""

    capabilities = VadCapabilities(frame_samples=512, state_shape=(1,))

    def probabilities(self, frames, states):
        loud = np.sqrt(np.mean(np.square(frames), axis=1)) > 0.01
        return loud.astype(np.float32), states


class ToneRecogniser:
    """ "Hears" the loudest frequency: text is ``said <Hz> for <tenths of a second>``.

    Frequencies ask for trouble: 6000 Hz crashes, 6100 kills the process, 6200 hangs,
    6300 returns garbage, 6400 raises; 5500 Hz is never translated, and 5600 is heard as whatever
    is in the glossary, 5800 as what came before. Of the languages that may be spoken, low tones
    are the first.
    """

    capabilities = RecogniserCapabilities(
        languages=frozenset({"en", "fr", "es", "de"}),
        translates_into=frozenset({"en"}),
        max_seconds=30.0,
        glossary=True,
        word_times=frozenset({"en", "fr", "es"}),
    )

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    def align(self, audio: np.ndarray, text: str, language: str, whole: bool) -> Alignment:
        """Words of equal length, from the first loud sample to the last; half of them if there may
        be more."""
        time.sleep(self._delay)
        loud = np.flatnonzero(np.abs(audio) > 0.01) / 16000
        spoken = text.split() if whole else text.split()[: -(-len(text.split()) // 2)]
        if not len(loud):
            return Alignment((), 0)
        edges = np.linspace(loud[0], loud[-1], len(spoken) + 1)
        words = [Word(w, float(edges[i]), float(edges[i + 1]), 0.9) for i, w in enumerate(spoken)]
        return Alignment(tuple(words), min(len(text), sum(len(word) + 1 for word in spoken)))

    def transcribe(self, audio: np.ndarray, request: RecognitionRequest) -> Recognition:
        time.sleep(self._delay)
        spectrum = np.abs(np.fft.rfft(audio))
        hertz = int(round(np.argmax(spectrum) * 16000 / len(audio), -2))
        if hertz == 6000:
            raise RuntimeError("secret words")
        if hertz == 6100:
            os._exit(9)
        if hertz == 6200:
            time.sleep(3600)
        if hertz == 6300:
            return {"nonsense": float("nan")}
        if hertz == 6400:
            raise RecognitionError("bad_audio", "This tone is not accepted.")
        loud = np.abs(audio) > 0.01
        language = request.language or "en"
        if request.among:
            language = request.among[0 if hertz < 1000 else -1]
        text = f"said {hertz} for {round(loud.mean() * len(audio) / 1600)}" if loud.any() else ""
        if hertz == 5600 and text:
            text = f"this is {', '.join(sorted(request.glossary))}"
        if hertz == 5800 and text:
            text = f"after {request.context}"
        wanted = request.translate_into
        if request.translate_when is not None and language not in request.translate_when:
            wanted = ()
        tag = "" if hertz == 5500 else "[{}] "
        return Recognition(
            text, language, 1.0, 1.0, 0.0,
            {t: tag.format(t) + text for t in wanted if t != language},
        )  # fmt: skip


class DeafRecogniser:
    """Hears nothing, and cannot tell when words are said."""

    capabilities = RecogniserCapabilities(frozenset({"en", "de"}), frozenset(), 30.0)

    def transcribe(self, audio, request):
        return Recognition("", "en", 1.0, 1.0, 1.0)


class WarningStage(EnergyVad):
    """Warns while it is built, as libraries do."""

    def __init__(self) -> None:
        warnings.warn("Marie said something", stacklevel=1)


class TagTranslator:
    """``[target] text``; takes White for a colour, and cannot translate what 5700 Hz said."""

    capabilities = TranslatorCapabilities(
        {(a, b): "basic" for a in ("en", "fr", "es") for b in ("en", "fr", "es") if a != b},
        stand_ins=("Daniel", "Robert", "Thomas"),
    )

    def translate(self, texts, source, target):
        if (source, target) not in self.capabilities.pairs:
            raise TranslationError("pair", f"{source} to {target} is not served.")
        if any("said 5700" in text for text in texts):
            raise TranslationError("bad_output", "These words have no translation.")
        return [f"[{target}] {text}".replace("White", "Blanco") for text in texts]

    def prepare(self, source, target):
        pass


class ToneSynthesiser:
    """50 ms a character, at a frequency that tells the voice: 1000 Hz + 100 × its number."""

    capabilities = SynthesiserCapabilities(
        voices={lang: tuple(f"{lang}-{i}" for i in range(4)) for lang in ("en", "fr", "es")},
        quality="good",
    )

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    def synthesise(self, text, language, voice, speed):
        if language not in self.capabilities.voices:
            raise SynthesisError("language", f"{language} is not served.")
        time.sleep(self._delay)
        if "6500" in text:
            return np.full(4800, np.nan, np.float32)
        seconds = 0.05 * len(text) / speed
        t = np.arange(int(seconds * PLAYOUT_RATE)) / PLAYOUT_RATE
        hertz = 1000 + 100 * int(voice.rsplit("-", 1)[1])
        return (0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


class ClauseToneSynthesiser:
    """A tone for each clause; see ``bench.marks``."""

    capabilities = SynthesiserCapabilities(
        voices={lang: (f"{lang}-0",) for lang in ("en", "fr")}, quality="good"
    )

    def __init__(self, delay: float = 0.0) -> None:
        self._delay = delay

    def synthesise(self, text, language, voice, speed):
        time.sleep(self._delay)
        return spoken(text, PLAYOUT_RATE, "neutral")


class RecordedSynthesiser:
    """Reads nothing aloud but plays a recording."""

    capabilities = SynthesiserCapabilities(voices={"en": ("en-0",)}, quality="good")

    def __init__(self, path: str) -> None:
        """path: of a .npy file, (n,) float32 at PLAYOUT_RATE."""
        self._recording = np.load(path)

    def synthesise(self, text, language, voice, speed):
        return self._recording


class PlainSynthesiser:
    """Clicks 20 ms long, at once."""

    capabilities = SynthesiserCapabilities(
        voices={lang: (f"{lang}+f1", f"{lang}+m1") for lang in ("en", "fr")}, quality="basic"
    )

    def synthesise(self, text, language, voice, speed):
        return np.full(PLAYOUT_RATE // 50, 0.3, np.float32)


class ToneEncoder:
    """Voiceprint: the loudest frequency, as a direction in the plane."""

    capabilities = SpeakerEncoderCapabilities(
        name="fake", dimension=2, min_seconds=0.3, same_speaker={1.0: 0.9, 3.0: 0.95}
    )

    def embed(self, audio):
        hertz = np.argmax(np.abs(np.fft.rfft(audio))) * 16000 / len(audio)
        angle = hertz / 2000
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


class Echo:
    """For the pool's own tests: does as it is told."""

    capabilities = "echo"

    def __init__(self, fail: str = "") -> None:
        if fail == "weights":
            raise WeightsError("missing", "The weights are missing. Run make setup.")
        if fail == "exit":
            os._exit(3)

    def echo(self, value):
        return value

    def echo_batch(self, jobs):
        """Of several, how many there are with each; a word is refused."""
        refusal = BabbleFishError("word", "This is a word.")
        return [refusal if isinstance(value, str) else (value, len(jobs)) for (value,) in jobs]

    def pid(self):
        return os.getpid()

    def nice(self):
        return os.nice(0)

    def sleep(self, seconds, value=None):
        time.sleep(seconds)
        return value

    def hold(self, path):
        """Until there is such a file."""
        while not os.path.exists(path):
            time.sleep(0.005)

    def until_interrupted(self, seconds):
        for _ in range(int(seconds * 200)):
            interruption.check()
            time.sleep(0.005)

    def until_interrupted_batch(self, jobs):
        self.until_interrupted(max(seconds for (seconds,) in jobs))
        return ["done"] * len(jobs)

    def crash(self):
        raise ValueError("secret words")

    def die(self):
        os._exit(9)


class Twins:
    """Two stages over one state."""

    def __init__(self) -> None:
        self.first, self.second = Echo(), Echo()
        self.capabilities = SharedCapabilities({"first": "one", "second": "two"})
