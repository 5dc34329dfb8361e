"""Sounds in which nobody speaks: what a recogniser must not put words into. Seeded."""

from __future__ import annotations

import numpy as np

RATE = 16_000
_CHORDS = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))


def no_speech(seconds: float = 6.0) -> dict[str, np.ndarray]:
    """name → float32 (n,) at 16 kHz."""
    count = int(seconds * RATE)
    time = np.arange(count) / RATE
    random = np.random.default_rng(7)
    hum = sum(np.sin(2 * np.pi * 50 * harmonic * time) / harmonic for harmonic in range(1, 6))
    sounds = {
        "silence": np.zeros(count),
        "noise": random.normal(0, 0.05, count),
        "hum": 0.15 * hum,
        "music": _music(seconds, count),
    }
    return {name: sound.clip(-1, 1).astype(np.float32) for name, sound in sounds.items()}


def _music(seconds: float, count: int) -> np.ndarray:
    """Chords struck twice a bar over a bass drum."""
    sound = np.zeros(count)
    strokes = np.arange(0, seconds, 0.5)
    for number, start in enumerate(strokes):
        begin = int(start * RATE)
        length = min(int(0.9 * RATE), count - begin)
        t = np.arange(length) / RATE
        chord = _CHORDS[number // 2 % len(_CHORDS)]
        for note in chord:
            for harmonic in (1, 2, 3):
                tone = np.sin(2 * np.pi * note * harmonic * t) / harmonic
                sound[begin : begin + length] += 0.08 * tone * np.exp(-3 * t)
        sound[begin : begin + length] += 0.3 * np.sin(2 * np.pi * 60 * t) * np.exp(-18 * t)
    return sound
