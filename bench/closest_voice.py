"""How near the voices that people are given come to their own.

For each person who was recorded several times (``BABBLEFISH_SPEECH_DIR``), a voice is chosen by
half of their recordings and compared with the other half, which the choice never heard:

- what centring the voiceprints and weighing in the pitch does to the choice,
- with ``--blends``: which people get a blend that is nearer than the nearest voice to the
  held-out recordings, in sentences that it was not chosen by, and understood by Whisper alike.

    python -m bench.closest_voice [--blends] [--speakers N[,N …]]
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from babblefish.audio import resample
from babblefish.engine import pitch, voice_matching
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.pitch import semitones
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.engine.voice_blending import Evidence, closest_blend
from babblefish.engine.voice_matching import Person, VoiceTable, distance, unit
from babblefish.engine.voices import KOKORO_VOICES
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.settings import load_settings
from bench.measure_voices import SENTENCES
from tests.speech import Clip, clips

NAMES = KOKORO_VOICES["en"]
HELD_OUT = (
    "Please send me the address of the hotel before Friday evening.",
    "I never thought that walking along the river could be so quiet.",
)


@dataclass(frozen=True, slots=True)
class Speaker:
    name: str
    chosen_by: Person
    held_out: Person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blends", action="store_true")
    parser.add_argument("--speakers", default="")
    parser.add_argument("--threads", type=int, default=2)
    wanted = parser.parse_args()
    weights = load_settings().weights_dir
    encoder = Ge2eEncoder(weights, wanted.threads)
    chosen = set(filter(None, wanted.speakers.split(",")))
    speakers = [s for s in people(encoder) if not chosen or s.name in chosen]
    if wanted.blends:
        kokoro = KokoroSynthesiser(weights, wanted.threads)
        whisper = WhisperRecogniser(weights, wanted.threads)
        print(BLENDS)
        for speaker in speakers:
            print(asyncio.run(blended(speaker, kokoro, whisper, encoder)), flush=True)
    else:
        print(rankings(speakers))


def people(encoder: Ge2eEncoder) -> list[Speaker]:
    """Those of whom there are at least two recordings."""
    recorded: dict[str, list[Clip]] = {}
    for clip in clips():
        if clip.speaker:
            recorded.setdefault(clip.speaker, []).append(clip)
    return [
        Speaker(name, heard(own[0::2], encoder), heard(own[1::2], encoder))
        for name, own in recorded.items()
        if len(own) > 1
    ]


def heard(own: Sequence[Clip], encoder: Ge2eEncoder) -> Person:
    measured = pitch.measure(np.concatenate([clip.samples for clip in own]), SPEECH_RATE)
    prints = [encoder.embed(clip.samples) for clip in own]
    return Person(
        measured.hertz if measured else None, unit(np.average(prints, axis=0, weights=_sizes(own)))
    )


def _sizes(own: Sequence[Clip]) -> list[float]:
    return [clip.seconds for clip in own]


# --- what a choice goes by ------------------------------------------------------------------


def rankings(speakers: Sequence[Speaker]) -> str:
    known = voice_matching.table()
    uncentred = _uncentred(known)
    ways = {
        "pitch alone": (known, lambda person: replace(person, voiceprint=None)),
        "voiceprint alone, as it is": (uncentred, lambda person: replace(person, pitch=None)),
        "voiceprint alone, centred": (known, lambda person: replace(person, pitch=None)),
        "centred voiceprint and pitch": (known, lambda person: person),
    }
    lines = [
        "| chosen by | rank for the other half | same choice by it | cosine to it "
        "| of a voice by lot | semitones from it |",
        "|---|---|---|---|---|---|",
    ]
    for way, (table, view) in ways.items():
        lines.append(f"| {way} | {_ranking(speakers, table, view, known)} |")
    return "\n".join(lines)


def _ranking(speakers, table, view, known: VoiceTable) -> str:
    ranks, same, cosines, lots, apart = [], [], [], [], []
    for one in speakers:
        for mine, other in ((one.chosen_by, one.held_out), (one.held_out, one.chosen_by)):
            mine_order = _order(view(mine), table)
            ranks.append(_order(view(other), table).index(mine_order[0]))
            same.append(ranks[-1] == 0)
            every = [float(unit(other.voiceprint) @ known.voiceprint("en", n)) for n in NAMES]
            cosines.append(every[NAMES.index(mine_order[0])])
            lots.append(np.mean(every))
            apart.append(semitones(other.pitch, known.pitch("en", mine_order[0])))
    return (
        f"{1 + np.mean(ranks):.1f} of {len(NAMES)} | {np.mean(same):.0%} | {np.mean(cosines):.3f} "
        f"| {np.mean(lots):.3f} | {np.median(apart):.1f}"
    )


def _order(person: Person, table: VoiceTable) -> list[str]:
    return sorted(NAMES, key=lambda name: distance(person, "en", name, table))


def _uncentred(known: VoiceTable) -> VoiceTable:
    """The table as if the mean of all voices were nothing."""
    prints = np.array([known.voiceprint("en", name) for name in NAMES])
    pitches = np.array([known.pitch("en", name) for name in NAMES])
    keys = [("en", name) for name in NAMES] + [("en", f"-{name}") for name in NAMES]
    return VoiceTable(keys, np.tile(pitches, 2), np.concatenate([prints, -prints]))


# --- blends ---------------------------------------------------------------------------------

BLENDS = (
    "| person | nearest voice | blend that was kept | cosine of the proof before | after |\n"
    "|---|---|---|---|---|"
)


async def blended(
    speaker: Speaker, kokoro: KokoroSynthesiser, whisper: WhisperRecogniser, encoder: Ge2eEncoder
) -> str:
    known = voice_matching.table()
    request = RecognitionRequest("en", language_fixed=True)

    async def speak(text: str, voice: str) -> np.ndarray:
        return resample(kokoro.synthesise(text, "en", voice, 1.0), PLAYOUT_RATE, SPEECH_RATE)

    async def embed(samples: np.ndarray) -> np.ndarray:
        return encoder.embed(samples)

    async def transcribe(samples: np.ndarray) -> str:
        return whisper.transcribe(samples, request).text

    person, other = speaker.chosen_by, speaker.held_out
    assert other.voiceprint is not None
    plain = _order(person, known)[0]
    found = await closest_blend(
        person, "en", NAMES, plain, SENTENCES["en"], Evidence(other.voiceprint, HELD_OUT), known,
        speak=speak, embed=embed, transcribe=transcribe,
    )  # fmt: skip
    if found is None:
        return f"| {speaker.name} | {plain} | none | | |"
    return (
        f"| {speaker.name} | {plain} | {found.voice} | {found.before:.3f} "
        f"| {found.similarity:.3f} |"
    )


if __name__ == "__main__":
    main()
