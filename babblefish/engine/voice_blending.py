"""A voice of somebody's own: two or three synthetic voices mixed so that they come nearer to a
person's voiceprint than any one of them.

A table foresees which mixtures might (``propose``); what they really sound like is only known once
they have spoken, so ``closest_blend`` lets the best of them speak. It keeps none that is not nearer
again in other sentences, to other recordings of the person: most are not. Knows neither models nor
workers: whoever calls it brings what speaks, embeds and transcribes. Only for people who agreed to
have a voiceprint.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from babblefish.engine.voice_matching import Person, VoiceTable, distance, unit
from babblefish.engine.voices import blend_parts

WORTH_BLENDING = 0.02
"""by how much the cosine similarity must grow for a blend to be kept"""
_PARTS = 6
"""nearest voices that are mixed"""
_WEIGHTS = {2: ((0.35, 0.65), (0.5, 0.5), (0.65, 0.35)), 3: ((0.34, 0.33, 0.33), (0.5, 0.25, 0.25))}


@dataclass(frozen=True, slots=True)
class Blend:
    voice: str
    """a name such as ``af_heart*0.5+bf_emma*0.5``"""
    similarity: float
    """cosine of the proof's voiceprint and of what this voice said"""
    before: float
    """the same of the voice that the person has"""


def propose(
    person: Person, language: str, names: Sequence[str], known: VoiceTable, count: int = 4
) -> list[str]:
    """``count`` mixtures of ``names`` that should be nearest to the person, the best first. A
    mixture's voiceprint is foreseen as the mean of its parts'."""
    assert person.voiceprint is not None
    listed = [name for name in names if known.voiceprint(language, name) is not None]
    nearest = sorted(listed, key=lambda name: distance(person, language, name, known))[:_PARTS]
    target = unit(person.voiceprint)
    foreseen = {}
    for parts in _mixtures(nearest):
        prints = [weight * known.voiceprint(language, name) for name, weight in parts]  # pyright: ignore[reportOperatorIssue]
        foreseen[_name(parts)] = float(unit(np.sum(prints, axis=0)) @ target)
    return sorted(foreseen, key=lambda voice: -foreseen[voice])[:count]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Recordings of the person, and what voices say to be compared with them."""

    voiceprint: np.ndarray
    """(dimension,)"""
    texts: Sequence[str]
    """about 8 s"""


async def closest_blend(
    person: Person, language: str, names: Sequence[str], plain: str, texts: Sequence[str],
    proof: Evidence, known: VoiceTable, *,
    speak: Callable[[str, str], Awaitable[np.ndarray]],
    embed: Callable[[np.ndarray], Awaitable[np.ndarray]],
    transcribe: Callable[[np.ndarray], Awaitable[str]],
) -> Blend | None:  # fmt: skip
    """The mixture nearest to the person; None where none is nearer than ``plain``, the voice they
    have, or where the one that is fails the proof or is not understood word for word alike.

    texts: what the voices say to be chosen by. proof: of recordings that ``person`` was not made
    from, and of other texts. speak: (text, voice) → samples; embed and transcribe take such
    samples. Takes as long as speaking each text five times and the proof's twice.
    """
    assert person.voiceprint is not None
    chosen_by = Evidence(person.voiceprint, texts)

    async def said(voice: str, evidence: Evidence) -> tuple[float, list[np.ndarray]]:
        clips = [await speak(text, voice) for text in evidence.texts]
        voiceprint = unit(await embed(np.concatenate(clips)))
        return float(unit(evidence.voiceprint) @ voiceprint), clips

    async def words(clips: Sequence[np.ndarray]) -> list[str]:
        return [re.sub(r"\W+", " ", (await transcribe(clip)).lower()).strip() for clip in clips]

    before, plain_clips = await said(plain, chosen_by)
    tried = [(await said(v, chosen_by), v) for v in propose(person, language, names, known)]
    (nearest, clips), voice = max(tried, key=lambda one: one[0][0])
    if nearest < before + WORTH_BLENDING or await words(clips) != await words(plain_clips):
        return None
    before, plain_clips = await said(plain, proof)
    after, clips = await said(voice, proof)
    if after < before + WORTH_BLENDING or await words(clips) != await words(plain_clips):
        return None
    return Blend(voice, after, before)


def _mixtures(names: Sequence[str]) -> Iterator[list[tuple[str, float]]]:
    for size, weightings in _WEIGHTS.items():
        for parts in itertools.combinations(names, size):
            for weights in weightings:
                yield list(zip(parts, weights, strict=True))


def _name(parts: Sequence[tuple[str, float]]) -> str:
    """Of a mixture, whose parts may be blends themselves."""
    weights: dict[str, float] = {}
    for voice, share in parts:
        for name, weight in blend_parts(voice):
            weights[name] = weights.get(name, 0.0) + share * weight
    return "+".join(f"{name}*{weight:.2f}" for name, weight in weights.items())
