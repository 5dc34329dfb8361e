"""What the similarity of two voiceprints is worth: fits and judges ``Calibration`` on real speech.

Fits by logistic regression, and scores speakers by what was fitted on others. Knows voiceprints of
known speakers; meetings and decisions are ``bench/identification.py``'s.
"""

from __future__ import annotations

import itertools
import textwrap
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from babblefish.engine.stages import (
    Calibration,
    LikelihoodRatio,
    SpeakerEncoder,
)
from babblefish.errors import SpeakerError
from bench import speaker_corpus
from bench.speaker_corpus import Piece

SECONDS = (1.0, 1.5, 2.0, 3.0, 5.0)
ENROLLED_SECONDS = 10.0
FOLDS = 5
DRAWS = 8
"""enrolments of each person, each from other pieces"""
_DIFFERENT_SHARE = 0.15
"""of the pairs of different speakers, which are many, that are looked at"""
MODULE = Path(__file__).parents[1] / "babblefish" / "engine" / "ge2e_calibration.py"
_TEMPLATE = '''"""What the similarity of two GE2E voiceprints is worth, measured on real voices.

Written by ``python -m bench.identification --write``, from {pairs} pairs of utterances of
{speakers} speakers: readers of LibriSpeech and of five other languages as ../shared/speech has
them, people in the AMI meetings that pyannote.audio's source package carries, and the readers of
f5-tts's examples; as recorded, by telephone, in noise, and across rooms.
"""

from __future__ import annotations

from babblefish.engine.stages import Calibration, LikelihoodRatio

_AVERAGE = """
{average}
"""
"""voiceprint of the average speaker, in thousandths"""

GE2E = Calibration(
    tuple(int(number) / 1000 for number in _AVERAGE.split()),
{ratios})
'''


@dataclass(frozen=True, slots=True, eq=False)
class Print:
    piece: Piece
    voiceprint: np.ndarray


@dataclass(slots=True, eq=False)
class Trials:
    """Pairs of an utterance and another one, or an enrolment, that share no sound."""

    one: np.ndarray
    """rows of ``Data.vectors``"""
    other: np.ndarray
    u: np.ndarray
    """1 / seconds of the one + 1 / seconds of the other"""
    same: np.ndarray
    """whether one person said both"""
    here: np.ndarray
    """whether both were recorded under the same conditions"""
    elsewhere: np.ndarray
    """whether one was recorded well, as enrolments are, and the other one anyhow"""
    seconds: np.ndarray
    """of the one"""

    def where(self, mask: np.ndarray) -> Trials:
        return Trials(*(getattr(self, name)[mask] for name in self.__slots__))


@dataclass(slots=True, eq=False)
class Data:
    vectors: np.ndarray
    """voiceprints of utterances, then of enrolments"""
    speakers: np.ndarray
    """their numbers"""
    utterances: int
    trials: Trials

    def without(self, numbers: set[int]) -> tuple[np.ndarray, Trials]:
        """The average voice and the trials of everybody else."""
        left = ~np.isin(self.speakers, list(numbers))
        rows = np.nonzero(left)[0]
        people = [self.vectors[rows[self.speakers[rows] == n]] for n in set(self.speakers[rows])]
        average = np.mean([p.mean(axis=0) for p in people], axis=0)
        return average, self.trials.where(left[self.trials.one] & left[self.trials.other])

    def similarity(self, average: np.ndarray, pairs: Trials) -> np.ndarray:
        centred = self.vectors - average
        centred = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        return np.einsum("nd,nd->n", centred[pairs.one], centred[pairs.other])


def embed(encoder: SpeakerEncoder, speakers: dict[str, list[np.ndarray]]) -> list[Print]:
    random, found = np.random.default_rng(1), []
    for seconds in SECONDS:
        for piece in speaker_corpus.cut(speakers, seconds, random):
            try:
                found.append(Print(piece, encoder.embed(piece.samples)))
            except SpeakerError:
                continue  # silence, or less speech than a voiceprint takes
    return found


def enrolments(prints: list[Print], random: np.random.Generator) -> list[list[Print]]:
    """Of everybody with enough speech, several sets of pieces that make up ENROLLED_SECONDS and
    leave at least one piece of 3 s over."""
    found = []
    for speaker in sorted({p.piece.speaker for p in prints}):
        own = [
            p for p in prints
            if (p.piece.speaker, p.piece.seconds, p.piece.condition) == (speaker, 5.0, "clean")
        ]  # fmt: skip
        for _ in range(DRAWS):
            chosen: list[Print] = []
            for n in random.permutation(len(own)):
                if not any(own[n].piece.overlaps(c.piece) for c in chosen):
                    chosen.append(own[n])
                if sum(c.piece.seconds for c in chosen) >= ENROLLED_SECONDS:
                    if tests_of(speaker, 3.0, chosen, prints):
                        found.append(chosen)
                    break
    return found


def tests_of(speaker: str, seconds: float, used: list[Print], prints: list[Print]) -> list[Print]:
    return [
        p for p in prints
        if p.piece.speaker == speaker and p.piece.seconds == seconds
        and not any(p.piece.overlaps(c.piece) for c in used)
    ]  # fmt: skip


def pair(prints: list[Print], models: list[list[Print]], random: np.random.Generator) -> Data:
    """All pairs of the same speaker, and a sample of the others."""
    number = {name: n for n, name in enumerate(sorted({p.piece.speaker for p in prints}))}
    sides = [[p] for p in prints] + models
    vectors = [_unit(sum(p.voiceprint * p.piece.seconds for p in side)) for side in sides]
    speakers = np.array([number[side[0].piece.speaker] for side in sides])
    lengths = [p.piece.seconds for p in prints] + [ENROLLED_SECONDS] * len(models)
    rows = []
    for a, print_ in enumerate(prints):
        for b in range(a + 1, len(sides)):
            same = bool(speakers[a] == speakers[b])
            if (not same and random.random() > _DIFFERENT_SHARE) or (
                same and any(print_.piece.overlaps(p.piece) for p in sides[b])
            ):
                continue
            conditions = print_.piece.condition, sides[b][0].piece.condition
            rows.append((
                a, b, 1 / lengths[a] + 1 / lengths[b], same,
                conditions[0] == conditions[1], "clean" in conditions, lengths[a],
            ))  # fmt: skip
    one, other, u, same, here, elsewhere, seconds = np.array(rows).T
    ends = one.astype(int), other.astype(int)
    kept = Trials(*ends, u, same > 0, here > 0, elsewhere > 0, seconds)
    return Data(np.stack(vectors), speakers, len(prints), kept)


def fit(data: Data, without: set[int] = frozenset()) -> Calibration:
    average, pairs = data.without(without)
    similarity = data.similarity(average, pairs)
    speakers = data.speakers[pairs.one]
    here, elsewhere = (
        _logistic(similarity[mask], pairs.where(mask), speakers[mask])
        for mask in (pairs.here, pairs.elsewhere)
    )
    return Calibration(tuple(float(round(x, 4)) for x in average), here, elsewhere)


def _logistic(similarity: np.ndarray, pairs: Trials, speakers: np.ndarray) -> LikelihoodRatio:
    """Regression: same and different speakers count alike, and so, more nearly than by their
    numbers of pairs, does each speaker."""
    one = np.ones_like(pairs.u)
    x = np.stack([similarity**2, similarity, similarity * pairs.u, one, pairs.u], axis=1)
    y = pairs.same.astype(float)
    weights = np.zeros_like(y)
    for side in (pairs.same, ~pairs.same):
        count = np.bincount(speakers[side], minlength=speakers.max() + 1)
        weights[side] = 1 / np.sqrt(count[speakers[side]])
        weights[side] /= weights[side].sum()
    theta = np.zeros(5)
    for _ in range(40):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (weights * (p - y)) + 1e-7 * theta
        hessian = (x * (weights * p * (1 - p))[:, None]).T @ x + 1e-7 * np.eye(5)
        step = np.linalg.solve(hessian, gradient)
        theta -= step
        if np.abs(step).max() < 1e-6:
            break
    return LikelihoodRatio(*(round(float(t), 3) for t in theta))


def llr(similarity: np.ndarray, u: np.ndarray, ratio: LikelihoodRatio) -> np.ndarray:
    slope = ratio.slope + ratio.slope_short * u
    similarity = np.maximum(similarity, -slope / (2 * max(ratio.curve, 1e-9)))
    return (ratio.curve * similarity + slope) * similarity + ratio.offset + ratio.offset_short * u


def equal_error_rate(scores: np.ndarray, same: np.ndarray) -> float:
    order = np.argsort(scores)
    missed = np.cumsum(same[order]) / max(1, same.sum())
    accepted = 1 - np.cumsum(~same[order]) / max(1, (~same).sum())
    return float((missed + accepted)[np.argmin(np.abs(missed - accepted))] / 2)


def cost(scores: np.ndarray, same: np.ndarray) -> float:
    """Cllr in bits: 0 is perfect, 1 knows nothing; counts bad calibration as well."""
    return float(
        np.mean(np.logaddexp(0, -scores[same])) + np.mean(np.logaddexp(0, scores[~same]))
    ) / (2 * np.log(2))


def cross_validated(data: Data) -> dict[str, dict[str, float]]:
    """By length of the utterance, compared with other utterances and enrolments: equal-error
    rate and cost. Each pair of folds is scored by what was fitted on the other folds."""
    folds = np.random.default_rng(2).permutation(data.speakers.max() + 1) % FOLDS
    of = folds[data.speakers]
    rows: dict[str, list[tuple[np.ndarray, ...]]] = defaultdict(list)
    for first, second in itertools.combinations_with_replacement(range(FOLDS), 2):
        ends = np.sort(np.stack([of[data.trials.one], of[data.trials.other]]), axis=0)
        part = data.trials.where((ends[0] == first) & (ends[1] == second))
        fitted = fit(data, set(np.nonzero((folds == first) | (folds == second))[0].tolist()))
        cosine = np.einsum("nd,nd->n", data.vectors[part.one], data.vectors[part.other])
        similarity = data.similarity(np.array(fitted.average), part)
        enrolled = part.other >= data.utterances
        for name, mask, ratio in (
            ("another utterance, same conditions", part.here & ~enrolled, fitted.here),
            ("another utterance, one as recorded", part.elsewhere & ~enrolled, fitted.elsewhere),
            ("10 s enrolled, any conditions", enrolled, fitted.elsewhere),
        ):
            for s in SECONDS:
                at = mask & (part.seconds == s)
                scores = llr(similarity[at], part.u[at], ratio)
                rows[f"{s:g} s and {name}"].append((scores, cosine[at], part.same[at]))
    found = {}
    for name, parts in rows.items():
        scores, cosine, same = (np.concatenate(column) for column in zip(*parts, strict=True))
        found[name] = {
            "same": int(same.sum()), "different": int((~same).sum()),
            "eer_percent": round(100 * equal_error_rate(scores, same), 1),
            "eer_percent_not_centred": round(100 * equal_error_rate(cosine, same), 1),
            "cllr_bits": round(float(cost(scores, same)), 3),
        }  # fmt: skip
    return found


def module(fitted: Calibration, speakers: int, pairs: int) -> str:
    average = "\n".join(textwrap.wrap(" ".join(str(round(1000 * x)) for x in fitted.average), 96))
    ratios = "".join(
        "    LikelihoodRatio(\n        "
        + ", ".join(f"{name}={value}" for name, value in asdict(ratio).items())
        + "\n    ),\n"
        for ratio in (fitted.here, fitted.elsewhere)
    )
    return _TEMPLATE.format(average=average, ratios=ratios, speakers=speakers, pairs=pairs)


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)
