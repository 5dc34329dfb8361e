"""The voices at one microphone that belong to nobody enrolled, numbered in order of appearance.

Every further utterance groups all recent ones anew, so that a mistake made when little had been
heard does not last; a voice keeps its number as long as most of what made it up stays together.
Pure arithmetic on voiceprints: knows neither people nor what to call them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from babblefish.engine.stages import LikelihoodRatio

_REMEMBERED = 48
"""utterances that are grouped anew; of older ones a voice keeps nothing but its number"""
MOST_VOICES = 8
_ONE_VOICE_LLR = -1.0
"""mean log-likelihood ratio between two groups from which they are one voice: one person taken
for two annoys more than two people taken for one"""
_ANOTHER_VOICE_LLR = -2.0
"""log-likelihood ratio between the averages of two groups from which the later one is surely
another voice; until then it is shown as the voice it is most like"""
_SURE_SECONDS = 3.0
_SHORT_BAR = 0.5
"""by how much lower that must be for each second that a group is shorter than this"""


@dataclass(slots=True)
class _Heard:
    voiceprint: np.ndarray
    seconds: float
    number: int


class VoiceClusters:
    """Voiceprints here are seen from the average voice, (dimension,) float32 of length 1."""

    def __init__(self, ratio: LikelihoodRatio, first: int) -> None:
        """first: number of the first voice; later ones get the next ones."""
        self._ratio, self._next = ratio, first
        self._heard: list[_Heard] = []
        self._ratios = np.zeros((0, 0))
        """between each two of them; never with itself"""

    def __len__(self) -> int:
        """Voices that are remembered."""
        return len({heard.number for heard in self._heard})

    def llrs(self, voiceprint: np.ndarray, seconds: float) -> dict[int, float]:
        """Per voice: how much better the voiceprint fits it than just anyone's."""
        members: dict[int, list[_Heard]] = defaultdict(list)
        for heard in self._heard:
            members[heard.number].append(heard)
        found = {}
        for number, group in members.items():
            total = np.sum([h.voiceprint * h.seconds for h in group], axis=0)
            similarity = float(total @ voiceprint) / (float(np.linalg.norm(total)) + 1e-9)
            found[number] = self._ratio.of(similarity, seconds, sum(h.seconds for h in group))
        return found

    def place(self, voiceprint: np.ndarray, seconds: float) -> int:
        """The number of the voice that an utterance belongs to, a new one where it is none of
        those heard."""
        self._append(_Heard(voiceprint, seconds, -1))
        named: dict[int, list[int]] = {}
        for group in sorted(self._groups(), key=self._weight, reverse=True):
            number = self._number(group, named)
            named.setdefault(number, group)
            for member in group:
                self._heard[member].number = number
        return self._heard[-1].number

    def forget(self, number: int) -> None:
        """That voice has become somebody known."""
        self._keep(n for n, heard in enumerate(self._heard) if heard.number != number)
        self._next = max(self._next, number + 1)

    def _append(self, new: _Heard) -> None:
        self._keep(range(len(self._heard))[1 - _REMEMBERED :])
        row = [
            self._ratio.of(float(new.voiceprint @ old.voiceprint), new.seconds, old.seconds)
            for old in self._heard
        ]
        self._heard.append(new)
        self._ratios = np.pad(self._ratios, (0, 1), constant_values=-np.inf)
        self._ratios[-1, :-1] = self._ratios[:-1, -1] = row

    def _keep(self, which: Iterable[int]) -> None:
        which = list(which)
        self._heard = [self._heard[n] for n in which]
        self._ratios = self._ratios[np.ix_(which, which)]

    def _groups(self) -> list[list[int]]:
        """Agglomerative, by the mean ratio between all members of two groups."""
        ratios, count = self._ratios.copy(), len(self._heard)
        groups = [[n] for n in range(count)]
        while len(groups) > 1:
            a, b = divmod(int(np.argmax(ratios)), count)
            if ratios[a, b] < _ONE_VOICE_LLR and len(groups) <= MOST_VOICES:
                break
            a, b = min(a, b), max(a, b)
            sizes = len(groups[a]), len(groups[b])
            merged = (ratios[a] * sizes[0] + ratios[b] * sizes[1]) / sum(sizes)
            ratios[a] = ratios[:, a] = merged
            ratios = np.delete(np.delete(ratios, b, 0), b, 1)
            count -= 1
            ratios[a, a] = -np.inf
            groups[a] += groups.pop(b)
        return groups

    def _weight(self, group: list[int]) -> float:
        return sum(self._heard[n].seconds for n in group if self._heard[n].number >= 0)

    def _number(self, group: list[int], named: Mapping[int, list[int]]) -> int:
        """The one that most of the group's speech had before; where that is another group's by
        now, a new one if it is surely another voice, else that of the voice it is most like.

        named: groups that have their number already.
        """
        seconds: dict[int, float] = defaultdict(float)
        for member in group:
            seconds[self._heard[member].number] += self._heard[member].seconds
        known = {n: s for n, s in seconds.items() if n >= 0 and n not in named}
        if known:
            return max(known, key=known.__getitem__)
        ratios = {number: self._between(group, other) for number, other in named.items()}
        heard = sum(self._heard[member].seconds for member in group)
        bar = _ANOTHER_VOICE_LLR - _SHORT_BAR * max(0.0, _SURE_SECONDS - heard)
        if ratios and max(ratios.values()) > bar:
            return max(ratios, key=ratios.__getitem__)
        self._next += 1
        return self._next - 1

    def _between(self, one: list[int], two: list[int]) -> float:
        """Log-likelihood ratio of two groups' average voices: the more was heard of both, the
        surer."""
        sums = [self._sum(group) for group in (one, two)]
        norms = [float(np.linalg.norm(total)) for total in sums]
        similarity = float(sums[0] @ sums[1]) / (norms[0] * norms[1] + 1e-9)
        seconds = [sum(self._heard[n].seconds for n in group) for group in (one, two)]
        return self._ratio.of(similarity, *seconds)

    def _sum(self, group: list[int]) -> np.ndarray:
        return np.sum([self._heard[n].voiceprint * self._heard[n].seconds for n in group], axis=0)
