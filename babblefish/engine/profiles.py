"""Engine profiles: which stages make up an engine, and how the machine's threads are shared out.

Presets only: plain data about stages, nothing is loaded or started here. Another profile is
another function in ``PROFILES``; rooms and pages never notice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from babblefish.engine import models
from babblefish.engine.stages import StageSpec
from babblefish.errors import SettingsError
from babblefish.settings import Settings

_NICE = {
    "vad": 1, "translation": 3, "recognition": 4, "plain voice": 5,
    "voices": 15, "speakers": 15, "drafts": 17,
}  # fmt: skip
"""who gets a core that several want: neither a clause spoken in advance, nor a voiceprint, nor a
partial caption may delay the transcript that everything else waits for; the plain voice costs next
to nothing and speaks where it is late already"""


SHARED_CORES = 4
"""up to so many are not shared out among the stages"""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage and the processes it runs in."""

    spec: StageSpec
    processes: int = 1
    threads: int = 1
    """per process"""
    nice: int = 5


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    vad: StagePlan
    recogniser: StagePlan
    translator: StagePlan | None
    synthesisers: tuple[StagePlan, ...]
    """best first: a language is spoken by the first that knows it"""
    speaker_encoder: StagePlan
    drafter: StagePlan | None = None
    """a second recogniser, for partial captions; None where its weights are too large to be
    loaded twice, and the recogniser makes them when it is free"""
    cores: int = 1
    """what the plan was made for"""

    @property
    def shares_cores(self) -> bool:
        """Whether every stage may use every core, so that one slows the others down."""
        return self.cores <= SHARED_CORES


@dataclass(frozen=True, slots=True)
class ThreadPlan:
    """Threads per process and processes per stage, from the machine's cores."""

    recogniser_threads: int
    recognisers: int
    synthesiser_threads: int
    synthesisers: int
    speaker_threads: int


def plan_threads(cores: int, most_per_recogniser: int = 8) -> ThreadPlan:
    """Share out ``cores``: a sixteenth for networking, a thirty-second for speaker
    identification, about a quarter for recognition, the rest for voices, several at a time.

    Recognition and synthesis of one utterance follow each other, so on a small machine both may
    use every core. Beyond ``most_per_recogniser`` threads a small recogniser gets no faster; more
    processes serve more speakers at once instead.
    """
    if cores <= SHARED_CORES:
        return ThreadPlan(max(1, cores), 1, max(1, cores), 1, 1)
    speaker = max(1, cores // 32)
    recognition = max(2, cores // 4)
    recogniser_threads = min(most_per_recogniser, recognition)
    synthesis = cores - max(1, cores // 16) - speaker - recognition
    synthesiser_threads = max(2, min(16, synthesis // 2))
    return ThreadPlan(
        recogniser_threads,
        max(1, recognition // recogniser_threads),
        synthesiser_threads,
        max(1, synthesis // synthesiser_threads),
        speaker,
    )


def available_cores() -> int:
    """Cores this process may use, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Plans:
    """Plans of the stages that profiles are made of, for one machine."""

    def __init__(self, settings: Settings, cores: int, most_per_recogniser: int) -> None:
        self._settings = settings
        self._threads = plan_threads(cores, most_per_recogniser)
        self.vad = self._one("vad", "vad:SileroVad", 1, **self._weights)
        self.kokoro = self._voices("kokoro:KokoroSynthesiser", self._threads.synthesisers)
        self.espeak = self._one("plain voice", "espeak:EspeakSynthesiser", 1)

    @property
    def _weights(self) -> dict[str, Any]:
        return {"weights_dir": self._settings.weights_dir}

    def whisper(self, size: str, work: str = "recognition") -> StagePlan:
        return self._recognition(work, "whisper:WhisperRecogniser", size=size)

    def apertium(self) -> StagePlan:
        return self._one("translation", "apertium:ApertiumTranslator", 1)

    def nllb(self, size: str) -> StagePlan:
        count = self._threads.recogniser_threads
        return self._one(
            "translation", "nllb:NllbTranslator", count, **self._weights, threads=count, size=size,
            device=self._settings.device,
        )  # fmt: skip

    def seamless(self, part: str) -> StagePlan:
        """Recogniser and translator, which share one process."""
        return self._recognition(
            "recognition", "seamless:Seamless", 1, part, precision=self._settings.precision,
            device=self._settings.device,
        )  # fmt: skip

    def mms(self) -> StagePlan:
        """One process: each further one would hold every voice again."""
        return self._voices("mms:MmsSynthesiser", 1)

    def speakers(self, pyannote: bool) -> StagePlan:
        count = self._threads.speaker_threads
        encoder = "pyannote_encoder:PyannoteEncoder" if pyannote else "speakers:Ge2eEncoder"
        return self._one("speakers", encoder, count, **self._weights, threads=count)

    def _recognition(
        self, work: str, factory: str, processes: int = 0, part: str = "", **options: Any
    ) -> StagePlan:
        count = self._threads.recogniser_threads
        spec = StageSpec(_ENGINE + factory, {**self._weights, "threads": count, **options}, part)
        return StagePlan(spec, processes or self._threads.recognisers, count, _NICE[work])

    def _voices(self, factory: str, processes: int) -> StagePlan:
        count = self._threads.synthesiser_threads
        spec = StageSpec(_ENGINE + factory, {**self._weights, "threads": count})
        return StagePlan(spec, processes, count, _NICE["voices"])

    def _one(self, work: str, factory: str, count: int, **options: Any) -> StagePlan:
        return StagePlan(StageSpec(_ENGINE + factory, options), 1, count, _NICE[work])


_ENGINE = "babblefish.engine."


def _compact(settings: Settings, cores: int) -> Profile:
    """Whisper base, Apertium, Kokoro and espeak-ng, GE2E: all from package registries."""
    plans = _Plans(settings, cores, most_per_recogniser=8)
    return Profile(
        "compact", plans.vad, plans.whisper("base"), plans.apertium(),
        (plans.kokoro, plans.espeak), plans.speakers(pyannote=False),
        plans.whisper("base", "drafts"), cores,
    )  # fmt: skip


def _whisper_nllb(settings: Settings, cores: int) -> Profile:
    """A larger Whisper and NLLB-200: two hundred languages."""
    plans = _Plans(settings, cores, most_per_recogniser=16)
    found = models.chosen("whisper-nllb", settings.weights_dir)
    return Profile(
        "whisper-nllb", plans.vad, plans.whisper(found.whisper or "small"),
        plans.nllb(found.nllb or "600M"), _voices(plans, found), plans.speakers(found.has_pyannote),
        plans.whisper("base", "drafts"), cores,
    )  # fmt: skip


def _seamless(settings: Settings, cores: int) -> Profile:
    """SeamlessM4T v2, for the big server. Whisper base makes the partial captions: Seamless is too
    large to be loaded twice, and too slow to look at a sentence many times."""
    plans = _Plans(settings, cores, most_per_recogniser=32)
    found = models.chosen("seamless", settings.weights_dir)
    return Profile(
        "seamless", plans.vad, plans.seamless("recogniser"), plans.seamless("translator"),
        _voices(plans, found), plans.speakers(found.has_pyannote), plans.whisper("base", "drafts"),
        cores,
    )  # fmt: skip


def _voices(plans: _Plans, found: models.Chosen) -> tuple[StagePlan, ...]:
    mms = (plans.mms(),) if found.voices else ()
    return plans.kokoro, *mms, plans.espeak


PROFILES: dict[str, Callable[[Settings, int], Profile]] = {
    "compact": _compact, "whisper-nllb": _whisper_nllb, "seamless": _seamless,
}  # fmt: skip
"""name → what it is made of, on a machine of so many cores"""


def without_drafts(profile: Profile) -> Profile:
    """For files: nobody reads partial captions of them."""
    return replace(profile, drafter=None)


def choose(settings: Settings) -> Profile:
    """The profile that ``settings.profile`` names; ``auto`` is the best one that is installed.

    Raises SettingsError("profile") for an unknown name.
    """
    automatic = settings.profile == "auto"
    name = models.best_installed(settings.weights_dir) if automatic else settings.profile
    if name not in PROFILES:
        known = ", ".join(["auto", *PROFILES])
        raise SettingsError("profile", f"There is no profile of that name. Known: {known}.")
    return PROFILES[name](settings, settings.threads or available_cores())


def installed_profile(settings: Settings) -> Profile:
    """``choose``, with its weights verified. Raises SettingsError, or WeightsError that names
    the fix."""
    profile = choose(settings)
    models.verify(profile.name, settings.weights_dir)
    return profile
