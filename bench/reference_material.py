"""Does a stranger's or a synthetic voice get into the material for somebody's own voice?

One person speaks; another person's voice, a synthesised translation or the person's own cloned
voice comes out of a loudspeaker across the room, at several levels, late and with echo. Counts
what ``judge`` takes.

    python -m bench.reference_material [--clips N]
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from babblefish.audio import resample, rms
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.reference_material import Heard, KnownVoices, Sounding, Stretch, judge
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.settings import load_settings
from bench.clips import SENTENCES
from bench.damage import RATE, across_the_room
from bench.recording_quality import Judge
from bench.speakers import Recording, recordings

_LEVELS = (-6, -10, -15, -20, -25)
"""decibels of the bleed below the speaker"""
_LONGEST = 6 * RATE
_ARRIVAL = (0.05, 0.9)
"""seconds between the server's having a sound and the microphone's hearing it"""
_VOICES = ("af_heart", "am_michael", "bf_emma")
_CLOCK = 100.0
"""the microphone's clock when the speaker begins"""


@dataclass(slots=True)
class Person:
    name: str
    clips: list[np.ndarray]
    enrolled: list[np.ndarray] = field(default_factory=list)
    """voiceprint of the other clips, for each clip"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100, help="of each person, at most")
    most = parser.parse_args().clips
    weights = load_settings().weights_dir
    models, random = Judge(), np.random.default_rng(11)
    people = enrol(recordings(weights), models)
    kokoro = KokoroSynthesiser(weights)
    translations = [
        resample(kokoro.synthesise(" ".join(SENTENCES["en"]), "en", voice, 1.0), PLAYOUT_RATE, RATE)
        for voice in _VOICES
    ]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for person in people:
        for number in range(min(most, len(person.clips))):
            for name, samples, sounding in cases(person, number, people, translations, random):
                verdict = take(models, samples, person.enrolled[number], sounding)
                counts[name]["taken" if isinstance(verdict, Stretch) else verdict] += 1
    print(table(counts))


def enrol(clips: list[Recording], models: Judge) -> list[Person]:
    people: dict[str, Person] = {}
    for clip in clips:
        if clip.speaker and clip.seconds >= 2.5:
            person = people.setdefault(clip.speaker, Person(clip.speaker, []))
            person.clips.append(clip.samples)
    for person in people.values():
        for number in range(len(person.clips)):
            others = [c for other, c in enumerate(person.clips) if other != number]
            person.enrolled.append(models.encoder.embed(np.concatenate(others)[: 10 * RATE]))
    return list(people.values())


def take(
    models: Judge, samples: np.ndarray, enrolled: np.ndarray, sounding: Sounding | None
) -> Stretch | str:
    activity = models.activity(samples)
    # a sound that is known must be found without the help of a closer look at the voice
    voices = models.voices(samples, activity) if sounding is None else []
    heard = Heard(
        "stretch", "session", _CLOCK, samples, activity, "A sentence.", "en", 0.9,
        models.encoder.embed(samples), voices,
    )  # fmt: skip
    return judge(
        heard, (), KnownVoices(enrolled), [sounding] if sounding else [],
        models.encoder.capabilities, consented=True,
    )  # fmt: skip


def cases(
    person: Person, number: int, people: list[Person], translations: list[np.ndarray],
    random: np.random.Generator,
) -> Iterator[tuple[str, np.ndarray, Sounding | None]]:  # fmt: skip
    """(what it is, the microphone's samples, what the server knows of other sound)"""
    speech = person.clips[number][:_LONGEST]
    stranger = random.choice([p for p in people if p is not person])
    voices = {
        "another person": np.concatenate(stranger.clips),
        "a translation": translations[random.integers(len(translations))],
        "their own voice": np.concatenate(
            [clip for other, clip in enumerate(person.clips) if other != number]
        ),
    }
    yield "nothing else sounds", speech, None
    for name, voice in voices.items():
        sounding, arrived = bleed(voice, len(speech), random)
        yield f"{name} sounds, but not into the microphone", speech, sounding
        for level in _LEVELS:
            mixed = mix(speech, arrived, level)
            yield f"{name} at {level} dB", mixed, sounding
        late, at_end = bleed(voice, len(speech), random, first=len(speech) - RATE)
        yield f"{name} at -15 dB, in the last second", mix(speech, at_end, -15), late
        if name != "their own voice":
            for level in (0, -6, -15):
                mixed = mix(speech, arrived, level)
                yield f"{name} at {level} dB, the server knows of none", mixed, None
            alone = voice[: len(speech)].astype(np.float32)
            yield f"{name} alone, the server knows of none", alone, None


def bleed(
    voice: np.ndarray, count: int, random: np.random.Generator, first: int = 0
) -> tuple[Sounding, np.ndarray]:
    """What the server plays so that it is heard from sample ``first`` of ``count`` on, and how it
    arrives there, (count,)."""
    delay = float(random.uniform(*_ARRIVAL))
    begin = int(random.integers(max(1, len(voice) - count)))
    voice = np.roll(voice, -begin)
    start = _CLOCK + first / RATE - delay
    sound = np.resize(voice, count - first).astype(np.float32)
    arrived = np.zeros(count)
    arrived[first:] = across_the_room(np.resize(voice, count - first), 0.0, random)
    return Sounding(start, start + len(sound) / RATE, sound), arrived


def mix(speech: np.ndarray, arrived: np.ndarray, level_db: float) -> np.ndarray:
    loud = rms(arrived[arrived != 0])
    mixed = speech + arrived * (rms(speech) / max(loud, 1e-9) * 10 ** (level_db / 20))
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def table(counts: dict[str, Counter[str]]) -> str:
    lines = ["| what else sounds | n | taken | refused as |", "|---|---:|---:|---|"]
    for name, found in sorted(counts.items()):
        total = found.total()
        reasons = ", ".join(f"{code} {n}" for code, n in found.most_common() if code != "taken")
        lines.append(f"| {name} | {total} | {found['taken'] / total:.0%} | {reasons or '–'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
