"""Which synthetic voice is nearest to a person, and who in a room gets which of them.

Compares pitch and, where somebody agreed to have one, a voiceprint with a table of what Kokoro's
voices sound like (``kokoro_voices.npz``, written by ``bench/voice_table.py``), so that no model is
needed to choose. Pure arithmetic; knows no rooms, and keeps nothing about anybody:
``voices.VoiceBook`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from babblefish.engine.pitch import semitones

TABLE = Path(__file__).with_name("kokoro_voices.npz")
ENCODER = "ge2e"
"""what made the table's voiceprints; a person's from any other encoder say nothing about them"""
ANY = "*"
"""language of voices that sound alike in all of them"""

_SEMITONES = 8.0
"""of pitch that weigh as much as 1.0 of distance between centred voiceprints; see
``bench/results/closest_voice.md``"""
_MOST_SEMITONES = 12.0
_ALIKE = 0.5
"""likeness to a voice that somebody has already, above which a voice is worth less"""
_ALIKE_WEIGHT = 1.0
_REMEMBERED = 3.0
"""what it is worth to sound as in the last meeting"""
_RANK = 0.003
"""what a place further down the list costs: order decides between equals"""
_SHARED = 100.0
"""what it costs to have another's voice"""


@dataclass(frozen=True, slots=True)
class Person:
    """How somebody sounds and wishes to sound, as far as it is known."""

    pitch: float | None = None
    """median fundamental frequency in Hertz; may be taken from anybody's live speech"""
    voiceprint: np.ndarray | None = None
    """(dimension,); only of somebody who agreed to have one"""
    encoder: str = ENCODER
    """what made the voiceprint"""
    remembered: Mapping[str, str] = field(default_factory=dict)
    """language → the voice, or blend, they had in an earlier meeting: theirs while it is free"""
    chosen: Mapping[str, str] = field(default_factory=dict)
    """language → the voice that they asked for: theirs even if somebody else has it"""
    neutral: bool = False
    """they want a voice that is not chosen after theirs"""


class VoiceTable:
    """Pitch and voiceprint of each voice in each language."""

    def __init__(
        self, names: Sequence[tuple[str, str]], pitches: np.ndarray, voiceprints: np.ndarray
    ) -> None:
        """names: (language, voice) of each row. pitches: (n,) Hertz. voiceprints: (n, dimension)
        of length 1."""
        self._rows = {key: row for row, key in enumerate(names)}
        self._pitches = np.asarray(pitches, np.float32)
        self._raw = np.asarray(voiceprints, np.float32)
        self._centre = self._raw.mean(axis=0)
        self._prints = unit(self._raw - self._centre)

    @classmethod
    def load(cls, path: Path = TABLE) -> VoiceTable:
        with np.load(path) as file:
            names = [tuple(name.split(" ")) for name in json.loads(str(file["names"]))]
            return cls(names, file["pitches"], file["voiceprints"])

    def pitch(self, language: str, voice: str) -> float | None:
        """Hertz; None for a voice that is not in the table."""
        row = self._row(language, voice)
        return None if row is None else float(self._pitches[row])

    def voiceprint(self, language: str, voice: str) -> np.ndarray | None:
        """(dimension,) as the encoder made it; None for a voice that is not in the table."""
        row = self._row(language, voice)
        return None if row is None else self._raw[row]

    def centred(self, voiceprint: np.ndarray) -> np.ndarray:
        """How it differs from the mean of all voices, of length 1. Most of a voiceprint is what
        synthetic speech has in common, which would hide what tells voices apart."""
        return unit(voiceprint - self._centre)

    def likeness(self, voiceprint: np.ndarray, language: str, voice: str) -> float | None:
        """-1 … 1 between centred voiceprints; None where they cannot be compared."""
        row = self._row(language, voice)
        if row is None or voiceprint.shape != self._centre.shape:
            return None
        return float(self.centred(voiceprint) @ self._prints[row])

    def alike(self, language: str, one: str, other: str) -> float:
        """-1 … 1: how two voices sound alike in a language; 0 where that is not known."""
        rows = self._row(language, one), self._row(language, other)
        if rows[0] is None or rows[1] is None:
            return 1.0 if one == other else 0.0
        return float(self._prints[rows[0]] @ self._prints[rows[1]])

    def _row(self, language: str, voice: str) -> int | None:
        """espeak-ng's ``de+f2`` sounds like any other ``+f2``."""
        variant = "+" + voice.rpartition("+")[2]
        return self._rows.get((language, voice), self._rows.get((ANY, variant)))


@lru_cache(maxsize=1)
def table() -> VoiceTable:
    """The committed one, read at first use."""
    return VoiceTable.load()


def distance(person: Person, language: str, voice: str, known: VoiceTable) -> float:
    """How unlike the person a voice is, ≥ 0; around 1 is another person of the same sex. 0 where
    nothing can be compared."""
    total = 0.0
    pitch = known.pitch(language, voice)
    if person.pitch and pitch:
        total += min(semitones(person.pitch, pitch), _MOST_SEMITONES) / _SEMITONES
    if person.voiceprint is not None and person.encoder == ENCODER:
        likeness = known.likeness(person.voiceprint, language, voice)
        total += 1.0 - likeness if likeness is not None else 0.0
    return total


def costs(
    person: Person, language: str, names: Sequence[str], taken: Sequence[str], known: VoiceTable
) -> np.ndarray:
    """(len(names),): what it costs to give each voice to the person. taken: the others' voices."""
    found = np.arange(len(names)) * _RANK
    if person.neutral:
        return found
    for column, name in enumerate(names):
        found[column] += distance(person, language, name, known)
        if person.remembered.get(language) == name:
            found[column] -= _REMEMBERED
        alike = max((known.alike(language, name, other) for other in taken), default=0.0)
        if is_known(person):
            found[column] += _ALIKE_WEIGHT * max(0.0, alike - _ALIKE)
    return found


def is_known(person: Person) -> bool:
    """Whether there is anything to choose a voice by."""
    return not person.neutral and bool(
        person.pitch or person.voiceprint is not None or person.remembered
    )


def match(
    people: Sequence[Person],
    language: str,
    names: Sequence[str],
    taken: Sequence[str],
    known: VoiceTable,
) -> list[str]:
    """A voice for each of ``people``, all together as near to them as can be; none that somebody
    has while there are others. taken: voices of those who keep theirs, once for each of them."""
    counts = np.array([taken.count(name) for name in names])
    base = np.array([costs(person, language, names, taken, known) for person in people])
    layers = 1 + (len(people) - 1) // len(names)
    shared = [base + _SHARED * (counts + layer) for layer in range(layers + 1)]
    columns = assignment(np.concatenate(shared, axis=1))
    return [names[column % len(names)] for column in columns]


def assignment(matrix: np.ndarray) -> list[int]:
    """The column of each row, no two the same, so that their sum is the least: Kuhn and Munkres'
    algorithm by shortest augmenting paths. matrix: (n, m) finite, n ≤ m."""
    rows, columns = matrix.shape
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, int)  # of each column, 1-based; column 0 is the row being placed
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        slack = np.full(columns + 1, np.inf)
        came_from = np.zeros(columns + 1, int)
        visited = np.zeros(columns + 1, bool)
        while owner[column]:
            visited[column] = True
            reduced = matrix[owner[column] - 1] - row_price[owner[column]] - column_price[1:]
            nearer = ~visited[1:] & (reduced < slack[1:])
            slack[1:][nearer], came_from[1:][nearer] = reduced[nearer], column
            nearest = int(np.where(visited, np.inf, slack)[1:].argmin()) + 1
            step = slack[nearest]
            row_price[owner[visited]] += step
            column_price[visited] -= step
            slack[~visited] -= step
            column = nearest
        while column:
            owner[column] = owner[came_from[column]]
            column = int(came_from[column])
    found = [0] * rows
    for column in range(1, columns + 1):
        if owner[column]:
            found[owner[column] - 1] = column - 1
    return found


def unit(vectors: np.ndarray) -> np.ndarray:
    """Of length 1 along the last axis."""
    return (vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)).astype(np.float32)
