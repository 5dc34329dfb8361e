"""Engine profiles: which stages make up an engine, and how the machine's threads are shared out.

Presets only: plain data about stages, nothing is loaded or started here. Another profile is
another function in ``PROFILES``; rooms and pages never notice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
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
    if cores <= 4:
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


def compact(weights_dir: Path, cores: int) -> Profile:
    """Whisper base, Apertium, Kokoro and espeak-ng, GE2E: all from package registries."""
    threads = plan_threads(cores)

    def plan(work: str, factory: str, processes: int = 1, count: int = 1, **options) -> StagePlan:
        spec = StageSpec(f"babblefish.engine.{factory}", options)
        return StagePlan(spec, processes, count, _NICE[work])

    weights: dict[str, Any] = {"weights_dir": weights_dir}
    recogniser = ("whisper:WhisperRecogniser", threads.recognisers, threads.recogniser_threads)
    recogniser_options = {**weights, "threads": threads.recogniser_threads}
    voice_options = {**weights, "threads": threads.synthesiser_threads}
    return Profile(
        name="compact",
        vad=plan("vad", "vad:SileroVad", **weights),
        recogniser=plan("recognition", *recogniser, **recogniser_options),
        translator=plan("translation", "apertium:ApertiumTranslator"),
        synthesisers=(
            plan(
                "voices", "kokoro:KokoroSynthesiser", threads.synthesisers,
                threads.synthesiser_threads, **voice_options,
            ),
            plan("plain voice", "espeak:EspeakSynthesiser"),
        ),
        speaker_encoder=plan(
            "speakers", "speakers:Ge2eEncoder", 1, threads.speaker_threads, **weights
        ),
        drafter=plan("drafts", *recogniser, **recogniser_options),
        cores=cores,
    )  # fmt: skip


PROFILES: dict[str, Callable[[Path, int], Profile]] = {"compact": compact}
"""Best last: ``auto`` takes the last one whose weights are installed."""


def without_drafts(profile: Profile) -> Profile:
    """For files: nobody reads partial captions of them."""
    return replace(profile, drafter=None)


def choose(settings: Settings) -> Profile:
    """The profile that ``settings.profile`` names.

    Raises SettingsError("profile") for an unknown name.
    """
    name = "compact" if settings.profile == "auto" else settings.profile
    if name not in PROFILES:
        known = ", ".join(["auto", *PROFILES])
        raise SettingsError("profile", f"There is no profile of that name. Known: {known}.")
    return PROFILES[name](settings.weights_dir, settings.threads or available_cores())


def installed_profile(settings: Settings) -> Profile:
    """``choose``, with its weights verified. Raises SettingsError, or WeightsError that names
    the fix."""
    profile = choose(settings)
    models.verify(profile.name, settings.weights_dir)
    return profile
