"""Who spoke at one microphone: an enrolled person, the phone's owner, a further voice, or unknown.

Pure arithmetic on voiceprints. Every candidate's similarity becomes a log-likelihood ratio (LLR)
by the encoder's calibration, which knows that short speech tells less; together with what is to
be expected at this microphone (its owner, who spoke last, who has spoken here) that gives
posterior probabilities. A person is named only where the posterior, the lead over the second
best and the voice alone all say so. Knows people as opaque ids: no names, consent or storage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from babblefish.engine.stages import (
    Calibration,
    LikelihoodRatio,
    SpeakerEncoderCapabilities,
)
from babblefish.engine.voice_clusters import VoiceClusters

OWNER = 0
"""number of the voice that is taken for the phone's owner as long as the owner is not enrolled"""
UNKNOWN = -1
"""number of the voice where nobody can say whose it is"""

_ENOUGH_SECONDS = 1.5
"""shorter utterances neither open a voice nor change one"""

_STAY = 0.5
"""probability that who spoke last at this microphone goes on, whatever else is known"""
_OWNER_WEIGHT = 4.0
"""utterances of the owner that are taken for granted before anything was heard"""
_WALK_OVER_WEIGHT = 1.0
"""the same for all enrolled people who do not own this phone, together"""
_VOICE_WEIGHT = 0.5
"""for a further voice that was heard here"""
_STRANGER_WEIGHT = 0.5
"""for somebody who was never heard here and is not enrolled"""
_FORGET = 0.85
"""what each utterance leaves of the count of earlier ones, per candidate"""

_LEAST_USE = 0.01
_NAME_POSTERIOR = 0.9
_NAME_MARGIN = 2.0
"""natural logarithm of how many times likelier than the second best"""
_NAME_LLR = 4.0
"""the voice itself must speak for a name: having spoken last is not enough"""
_OWNER_LLR = 2.5
"""the same for the phone's owner"""
_DOUBT = 0.3
"""probability of being somebody enrolled from which an utterance teaches nothing about others"""
_DOUBT_LLR = -1.5
"""unless the voice itself says that it is nobody enrolled"""
_VOICE_SHARE = 0.5
"""of what speaks for any voice heard here: below, a short utterance is nobody's"""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One recording of an enrolled person."""

    voiceprint: np.ndarray
    """(dimension,) float32 of length 1, from ``SpeakerEncoder.embed``"""
    seconds: float
    """of speech"""
    quality: float = 1.0
    """0 … 1: how much of it can be relied on"""


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """A person whom voiceprints can label, and nothing else."""

    id: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    person: str | None
    """id of the enrolled person, None where it is none of them"""
    voice: int
    """OWNER; 1, 2 … for further voices at this microphone; UNKNOWN. OWNER also for the owner who
    is enrolled; of no meaning for another enrolled person."""
    posterior: float
    """probability of this answer, of the best one where the answer is UNKNOWN"""
    margin: float
    """natural logarithm of how many times likelier it is than the second best"""

    @property
    def known(self) -> bool:
        return self.person is not None or self.voice != UNKNOWN


@dataclass(frozen=True, slots=True)
class _Person:
    voiceprint: np.ndarray
    """as seen from the average voice"""
    seconds: float


UNHEARD = Identity(None, OWNER, 1.0, 0.0)
"""who is taken to speak at a microphone before anybody was heard"""

_Key = str | int
"""a candidate: an enrolled person's id, or a voice's number"""
_STRANGER = UNKNOWN
"""as a candidate: somebody who was never heard here"""


class Identifier:
    """The people at one microphone. Not for use from several threads."""

    def __init__(
        self, capabilities: SpeakerEncoderCapabilities, owner: str | None = None,
        enrolled: Iterable[Enrolled] = (),
    ) -> None:  # fmt: skip
        """owner: id of the enrolled person whose phone it is, None while they are not enrolled."""
        self._calibration = calibration_of(capabilities)
        self._average = np.array(self._calibration.average or (0.0,), np.float32)
        self._voices = VoiceClusters(self._calibration.here, OWNER)
        self._uses: dict[_Key, float] = {}
        self._last: _Key | None = None
        self._people: dict[str, _Person] = {}
        self._owner: str | None = None
        self.know(enrolled, owner)

    def know(self, enrolled: Iterable[Enrolled], owner: str | None = None) -> None:
        """From now on these people are enrolled, no others. A voice heard here that turns out to
        be one of them is no longer a voice of its own; nothing is kept of who is left out."""
        people = {e.id: combined(e.samples, self._average) for e in enrolled if e.samples}
        owner = owner if owner in people else None
        if self._owner is not None and owner is None:  # the next voice is the owner's again
            self._voices = VoiceClusters(self._calibration.here, OWNER)
            self._uses, self._last = {}, None
        elif owner is not None and self._owner is None:
            self._is(OWNER, owner)
        for id_ in people.keys() - self._people.keys():
            known = people[id_]
            for number, ratio in self._voices.llrs(known.voiceprint, known.seconds).items():
                if ratio >= _NAME_LLR:
                    self._is(number, id_)
        self._people, self._owner = people, owner
        self._uses = {k: n for k, n in self._uses.items() if isinstance(k, int) or k in people}

    def _is(self, number: int, person: str) -> None:
        self._voices.forget(number)
        self._uses[person] = self._uses.get(person, 0.0) + self._uses.pop(number, 0.0)
        self._last = person if self._last == number else self._last

    @property
    def count(self) -> int:
        """Voices heard so far that belong to nobody enrolled."""
        return len(self._voices)

    def identify(self, voiceprint: np.ndarray | None, seconds: float) -> Identity:
        """Who spoke an utterance of ``seconds``.

        voiceprint: from ``SpeakerEncoder.embed``; None where the speech was too short for one.
        """
        seen = None if voiceprint is None else unit(voiceprint - self._average)
        llrs = {} if seen is None else self._llrs(seen, seconds)
        logs, total, answer = self._weighed(llrs)
        if answer.person is not None:
            self._remember(answer.person)
            return answer
        voice = UNKNOWN
        if not self._may_be_enrolled(logs, total, llrs):
            if seen is not None and seconds >= _ENOUGH_SECONDS:
                voice = self._voices.place(seen, seconds)
            else:
                voice = _likeliest_voice(logs)
        if voice != UNKNOWN:
            self._remember(voice)
        return replace(answer, voice=voice)

    def named(self, voiceprint: np.ndarray | None, seconds: float) -> Identity | None:
        """What ``identify`` would answer now, if that is somebody enrolled. Changes nothing."""
        llrs: dict[_Key, float] = {}
        if voiceprint is not None:
            llrs = self._llrs(unit(voiceprint - self._average), seconds)
        answer = self._weighed(llrs)[2]
        return answer if answer.person is not None else None

    def _weighed(self, llrs: Mapping[_Key, float]) -> tuple[dict[_Key, float], float, Identity]:
        """Logarithms of how likely each candidate is, their sum, and the person to be named, if
        there is one."""
        logs = {
            key: math.log(prior) + llrs.get(key, 0.0) for key, prior in self._priors(llrs).items()
        }
        total = float(np.logaddexp.reduce(list(logs.values())))
        best, second = sorted(logs, key=logs.__getitem__, reverse=True)[:2]
        posterior, margin = math.exp(logs[best] - total), logs[best] - logs[second]
        if isinstance(best, str) and self._may_name(best, posterior, margin, llrs.get(best)):
            voice = OWNER if best == self._owner else UNKNOWN
            return logs, total, Identity(best, voice, posterior, margin)
        return logs, total, Identity(None, UNKNOWN, posterior, margin)

    def _may_be_enrolled(
        self, logs: Mapping[_Key, float], total: float, llrs: Mapping[_Key, float]
    ) -> bool:
        sounds_like_one = any(llrs.get(person, 0.0) > _DOUBT_LLR for person in self._people)
        probability = sum(math.exp(logs[person] - total) for person in self._people)
        return sounds_like_one and probability >= _DOUBT

    def _may_name(self, person: str, posterior: float, margin: float, ratio: float | None) -> bool:
        # a word too short for a voiceprint is theirs who alone have spoken here of late
        bar = _OWNER_LLR if person == self._owner else _NAME_LLR
        sounds_right = ratio is None or ratio >= bar
        return posterior >= _NAME_POSTERIOR and margin >= _NAME_MARGIN and sounds_right

    def _priors(self, heard: Iterable[_Key]) -> dict[_Key, float]:
        """How likely each candidate is to speak next, before a sound is heard."""
        others = len(self._people) - (self._owner is not None)
        weights: dict[_Key, float] = dict.fromkeys((*heard, *self._uses), _VOICE_WEIGHT)
        weights |= {
            person: _WALK_OVER_WEIGHT / others for person in self._people if person != self._owner
        }
        weights[self._owner or OWNER] = _OWNER_WEIGHT
        weights[_STRANGER] = _STRANGER_WEIGHT
        for key, uses in self._uses.items():
            weights[key] += uses
        total = sum(weights.values())
        stay = _STAY if self._last in weights else 0.0
        return {
            key: (1 - stay) * weight / total + (stay if key == self._last else 0.0)
            for key, weight in weights.items()
        }

    def _llrs(self, seen: np.ndarray, seconds: float) -> dict[_Key, float]:
        """How much better the voiceprint fits each candidate than just anyone; without those who
        were never heard."""
        found: dict[_Key, float] = {**self._voices.llrs(seen, seconds)}
        for id_, person in self._people.items():
            similarity = float(person.voiceprint @ seen)
            found[id_] = self._calibration.elsewhere.of(similarity, seconds, person.seconds)
        return found

    def _remember(self, key: _Key) -> None:
        self._last = key
        self._uses = {k: n * _FORGET for k, n in self._uses.items() if n * _FORGET > _LEAST_USE}
        self._uses[key] = self._uses.get(key, 0.0) + 1.0


def _likeliest_voice(logs: Mapping[_Key, float]) -> int:
    """Of those heard, for speech too short to tell whether it is yet another one."""
    voices = {key: log for key, log in logs.items() if isinstance(key, int) and key != _STRANGER}
    if not voices:
        return UNKNOWN
    best = max(voices, key=voices.__getitem__)
    share = math.exp(voices[best] - float(np.logaddexp.reduce(list(voices.values()))))
    return best if share >= _VOICE_SHARE else UNKNOWN


def calibration_of(capabilities: SpeakerEncoderCapabilities) -> Calibration:
    """The encoder's own, or one made of its thresholds where it was never measured."""
    if capabilities.calibration is not None:
        return capabilities.calibration
    points = sorted(capabilities.same_speaker)
    known = [capabilities.same_speaker[point] for point in points]
    # thresholds were found with about as much speech on either side: 2 / seconds of uncertainty
    slope, at_infinity = np.polyfit([2 / point for point in points], known, 1)
    steep = _UNMEASURED_SLOPE
    ratio = LikelihoodRatio(0.0, steep, 0.0, -steep * float(at_infinity), -steep * float(slope))
    return Calibration((), ratio, ratio)


_UNMEASURED_SLOPE = 15.0
"""LLR by cosine similarity: cautious, below what was measured with GE2E"""


def combined(samples: Iterable[Sample], average: np.ndarray) -> _Person:
    """One voiceprint of several recordings: each counts by its length, its quality, and how far the
    others agree with it."""
    samples = list(samples)
    prints = np.stack([unit(np.asarray(sample.voiceprint, np.float32)) for sample in samples])
    weights = np.array([max(1e-3, s.seconds * min(1.0, max(0.0, s.quality))) for s in samples])
    if len(samples) > 2:
        agreement = [
            float(prints[n] @ unit(np.delete(prints, n, 0).T @ np.delete(weights, n)))
            for n in range(len(samples))
        ]
        weights = weights * np.clip(np.array(agreement) / max(*agreement, 1e-3), 0.0, 1.0) ** 4
    return _Person(unit(unit(prints.T @ weights) - average), float(weights.sum()))


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / (np.linalg.norm(vector) + 1e-9)).astype(np.float32)
