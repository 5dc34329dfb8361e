"""The reference for a person's own voice: the best 6 to 12 seconds of what is kept of them.

One stretch, or a few of one session joined with short pauses. It gets better as material comes in
but does not change for tiny gains, since every change makes the voice sound a little different.
Decisions and arithmetic on samples; knows no files and no cloning.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from babblefish.audio import match_loudness
from babblefish.engine.reference_material import Stretch, centroid, worth
from babblefish.engine.stages import SPEECH_RATE

LEAST_SECONDS, MOST_SECONDS = 6.0, 12.0
PAUSE_SECONDS = 0.3
_MOST_JOINED = 4
_BETTER = 0.04
"""of a reference's score, for which it is changed"""
_JOIN_COST = 0.02
_VARIETY = 0.15
"""weight of how many different pairs of letters are in the text"""
_RICH_PAIRS = 70
"""of letters, in 12 s of ordinary text"""
_FADE = SPEECH_RATE // 100
_LEVEL_DB = -23.0
"""dBFS of the joined speech"""


@dataclass(frozen=True, slots=True)
class VoiceReference:
    stretches: tuple[str, ...]
    """ids, in the order in which they are joined"""
    text: str
    language: str
    seconds: float
    """of the joined sound"""
    score: float
    """0..1"""


def choose(
    kept: Sequence[Stretch],
    enrolled: np.ndarray | None = None,
    current: VoiceReference | None = None,
) -> VoiceReference | None:
    """The reference to use from now on; ``current`` itself unless another is clearly better or
    one of its stretches is gone. None while there is no 6 s that fit together."""
    centre = centroid(kept, enrolled)
    groups: dict[tuple[str, str], list[Stretch]] = {}
    for stretch in kept:
        groups.setdefault((stretch.session, stretch.language), []).append(stretch)
    best = max(
        (
            made
            for group in groups.values()
            for count in range(1, _MOST_JOINED + 1)
            for chosen in itertools.combinations(sorted(group, key=_when), count)
            if (made := _made_of(chosen, centre)) is not None
        ),
        key=lambda reference: (reference.score, reference.stretches),
        default=None,
    )
    if current is None or best is None:
        return best
    by_id = {stretch.id: stretch for stretch in kept}
    if any(name not in by_id for name in current.stretches):
        return best
    renewed = _made_of(tuple(by_id[name] for name in current.stretches), centre)
    if renewed is not None and best.score < renewed.score + _BETTER:
        return current
    return best


def _when(stretch: Stretch) -> tuple[float, str]:
    return stretch.start, stretch.id


def _made_of(chosen: tuple[Stretch, ...], centre: np.ndarray | None) -> VoiceReference | None:
    """None where they are too short or too long together."""
    seconds = sum(stretch.seconds for stretch in chosen) + PAUSE_SECONDS * (len(chosen) - 1)
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        return None
    weights = [stretch.seconds for stretch in chosen]
    value = float(np.average([worth(stretch, centre) for stretch in chosen], weights=weights))
    text = " ".join(stretch.text for stretch in chosen)
    variety = min(1.0, len(_pairs(text)) / _RICH_PAIRS)
    score = (1 - _VARIETY) * value + _VARIETY * variety - _JOIN_COST * (len(chosen) - 1)
    names = tuple(stretch.id for stretch in chosen)
    return VoiceReference(names, text, chosen[0].language, seconds, score)


def _pairs(text: str) -> set[str]:
    """Different pairs of neighbouring letters; of scripts without an alphabet, their signs."""
    words = "".join(c if c.isalpha() else " " for c in text.casefold()).split()
    return {a + b for word in words for a, b in itertools.pairwise(word)}


def join(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Sounds of a reference's stretches, (n,) float32 at SPEECH_RATE each, in their order → the
    reference: equally loud, edges faded, short pauses between. Raises ValueError for none."""
    pause = np.zeros(round(PAUSE_SECONDS * SPEECH_RATE), np.float32)
    joined: list[np.ndarray] = []
    for piece in pieces:
        sound = match_loudness(piece.astype(np.float32), _LEVEL_DB).copy()
        ramp = np.linspace(0, 1, min(_FADE, len(sound)), dtype=np.float32)
        sound[: len(ramp)] *= ramp
        sound[len(sound) - len(ramp) :] *= ramp[::-1]
        joined += [sound, pause]
    return np.concatenate(joined[:-1])
