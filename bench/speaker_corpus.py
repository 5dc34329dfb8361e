"""Real voices for measuring speaker identification: who said what, cut to lengths, made worse.

Takes the recordings of ``../shared/speech`` (or ``BABBLEFISH_SPEECH_DIR``), those without a named
speaker as one person each, and any folder of sound files: one with an ``.rttm`` file beside it is
cut where that says who speaks alone, one without is one speaker. Knows no voiceprints.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import fftconvolve, firwin

from babblefish.audio import resample, rms
from bench.clips import RATE, speech_folder

_SOUND = {".wav", ".flac"}
_SHORTEST = 1.0
"""seconds of a stretch in which one person speaks alone"""
CONDITIONS = ("clean", "phone", "noise", "room")


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    speaker: str
    recording: int
    start: float
    """seconds into the speaker's recording of that number"""
    seconds: float
    condition: str
    samples: np.ndarray
    """16 kHz float32"""

    def overlaps(self, other: Piece) -> bool:
        return (self.speaker, self.recording) == (other.speaker, other.recording) and (
            self.start < other.start + other.seconds and other.start < self.start + self.seconds
        )


def load(extra: list[Path]) -> dict[str, list[np.ndarray]]:
    """Speaker → recordings, 16 kHz float32."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    folder = speech_folder()
    if folder is not None:
        for entry in json.loads((folder / "manifest.json").read_text("utf-8")):
            # nobody says that two recordings of a language are of one reader: they are not
            speaker = entry.get("speaker") or f"reader of {Path(entry['file']).stem}"
            found[speaker].append(_read(folder / entry["file"]))
    for place in extra:
        alone = dict(_turns(place))
        for path in sorted(p for p in place.rglob("*") if p.suffix in _SOUND):
            samples = _read(path)
            turns = alone.get(path.stem)
            if turns is None and alone:
                continue  # nobody says who speaks in it
            if turns is None:
                turns = [(path.stem, 0.0, len(samples) / RATE)]
            for speaker, start, end in turns:
                found[speaker].append(samples[int(start * RATE) : int(end * RATE)])
    return dict(found)


def _read(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resample(samples.mean(axis=1), rate, RATE)


def _turns(folder: Path) -> Iterator[tuple[str, list[tuple[str, float, float]]]]:
    """Recording → (speaker, start, end) of where nobody else speaks, from RTTM files."""
    turns: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for path in sorted(folder.rglob("*.rttm")):
        for fields in map(str.split, path.read_text("utf-8").splitlines()):
            start = float(fields[3])
            turns[fields[1]].append((fields[7], start, start + float(fields[4])))
    for recording, all_of_it in turns.items():
        yield recording, [piece for turn in all_of_it for piece in _alone(turn, all_of_it)]


def _alone(
    turn: tuple[str, float, float], turns: list[tuple[str, float, float]]
) -> list[tuple[str, float, float]]:
    speaker, start, end = turn
    left = [(start, end)]
    for other, begin, finish in turns:
        if other != speaker:
            left = [
                (low, high)
                for one, two in left
                for low, high in ((one, min(two, begin)), (max(one, finish), two))
                if high - low >= _SHORTEST
            ]
    return [(speaker, low, high) for low, high in left]


def cut(
    speakers: dict[str, list[np.ndarray]], seconds: float, random: np.random.Generator
) -> Iterator[Piece]:
    """Consecutive pieces of that length, each as recorded and once made worse."""
    size = int(seconds * RATE)
    for speaker, recordings in speakers.items():
        for number, samples in enumerate(recordings):
            for start in range(0, len(samples) - size + 1, size):
                piece = samples[start : start + size]
                for condition in ("clean", str(random.choice(CONDITIONS[1:]))):
                    yield Piece(
                        speaker, number, start / RATE, seconds, condition,
                        worsened(piece, condition, random),
                    )  # fmt: skip


def worsened(samples: np.ndarray, condition: str, random: np.random.Generator) -> np.ndarray:
    """The same speech by telephone, in noise of 10 to 25 dB below it, or across a room."""
    if condition == "phone":
        band = firwin(255, [300, 3400], pass_zero=False, fs=RATE)
        samples = fftconvolve(samples, band, mode="same")
        peak = float(np.abs(samples).max()) + 1e-9
        coded = np.sign(samples) * np.log1p(255 * np.abs(samples) / peak) / np.log(256)
        coded = np.round(coded * 127) / 127  # eight bits, µ-law
        samples = np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * peak
    elif condition == "noise":
        level = rms(samples) * 10 ** (-random.uniform(10, 25) / 20)
        noise = np.fft.rfft(random.normal(size=len(samples)))
        noise /= np.sqrt(np.maximum(np.arange(len(noise)), 1.0)) ** random.uniform(0, 2)
        noise = np.fft.irfft(noise, len(samples))
        samples = samples + noise * level / (rms(noise) + 1e-12)
    elif condition == "room":
        time = np.arange(int(0.6 * RATE)) / RATE
        decay = 10 ** (-3 * time / random.uniform(0.25, 0.6))
        echo = random.normal(size=len(time)) * decay * (time > 0.004)
        echo *= 10 ** (-random.uniform(0, 9) / 20) / np.sqrt(np.sum(echo**2))
        echo[0] = 1.0
        samples = fftconvolve(samples, echo)[: len(samples)]
    samples = samples.astype(np.float32)
    return samples * np.float32(min(1.0, 0.98 / (float(np.abs(samples).max()) + 1e-9)))
