"""Sounds in which nobody speaks, and ways to damage speech. All 16 kHz float32, seeded."""

from __future__ import annotations

import numpy as np

RATE = 16_000


def _time(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * RATE)) / RATE


def _note(frequency: float, seconds: float, decay: float = 0.0, harmonics: int = 1) -> np.ndarray:
    t = _time(seconds)
    parts = (np.sin(2 * np.pi * frequency * h * t) / h for h in range(1, harmonics + 1))
    return sum(parts) * np.exp(-decay * t)


def noise(level: float, seconds: float = 4.0) -> np.ndarray:
    return np.random.default_rng(1).normal(0, level, int(seconds * RATE)).clip(-1, 1)


def pink_noise(seconds: float = 4.0) -> np.ndarray:
    spectrum = np.fft.rfft(noise(0.3, seconds))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    sound = np.fft.irfft(spectrum)
    return 0.1 * sound / sound.std()


def chords(seconds: float = 5.0) -> np.ndarray:
    bars = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))
    length = seconds / len(bars)
    return 0.1 * np.concatenate([sum(_note(f, length, 1.5, 3) for f in bar) for bar in bars])


def melody(seconds: float = 6.0) -> np.ndarray:
    notes = (392, 440, 494, 523, 494, 440, 392, 330, 294, 262, 294, 330)
    return 0.12 * np.concatenate([_note(f, seconds / len(notes), 4, 4) for f in notes])


def drums(seconds: float = 5.0) -> np.ndarray:
    sound, random = np.zeros(int(seconds * RATE)), np.random.default_rng(2)
    for beat, start in enumerate(np.arange(0, seconds - 0.2, 0.25)):
        at = int(start * RATE)
        hit = random.normal(size=int(0.12 * RATE)) * np.exp(-30 * _time(0.12))
        sound[at : at + len(hit)] += hit
        if beat % 2 == 0:
            kick = 2 * _note(60, 0.2, 15)
            sound[at : at + len(kick)] += kick
    return 0.2 * sound


def bursts(seconds: float = 4.0) -> np.ndarray:
    """Like coughs."""
    sound, random = np.zeros(int(seconds * RATE)), np.random.default_rng(3)
    for start in (0.4, 0.8, 2.0, 2.3):
        burst = random.normal(size=int(0.25 * RATE)) * np.exp(-14 * _time(0.25))
        at = int(start * RATE)
        sound[at : at + len(burst)] += np.convolve(burst, np.hanning(12) / 6, "same")
    return 0.5 * sound


def keyboard(seconds: float = 3.0) -> np.ndarray:
    sound, random = np.zeros(int(seconds * RATE)), np.random.default_rng(4)
    for at in random.integers(0, len(sound) - 300, 18):
        sound[at : at + 200] += random.normal(0, 0.2, 200)
    return sound


def non_speech() -> dict[str, np.ndarray]:
    sounds = {
        "silence": np.zeros(4 * RATE),
        "white noise": noise(0.05),
        "quiet noise": noise(0.003),
        "loud noise": noise(0.3),
        "pink noise": pink_noise(),
        "mains hum": 0.2 * _note(50, 4.0, harmonics=4),
        "tone": 0.3 * _note(1000, 3.0),
        "chords": chords(),
        "melody": melody(),
        "drums": drums(),
        "band": chords(4.0) + 0.5 * drums(4.0),
        "coughs": bursts(),
        "keyboard": keyboard(),
        "click": np.concatenate([np.zeros(RATE), np.full(30, 0.9), np.zeros(RATE)]),
        "half a second of noise": noise(0.1, 0.5),
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}


def clipped(speech: np.ndarray) -> np.ndarray:
    return np.clip(speech / np.abs(speech).max() * 8.0, -1, 1).astype(np.float32)


def faint(speech: np.ndarray) -> np.ndarray:
    """As from the far end of the room: peaks at -46 dBFS."""
    return (speech / np.abs(speech).max() * 0.005).astype(np.float32)


def whispered(speech: np.ndarray) -> np.ndarray:
    """Without a voice: the spectrum's envelope over noise instead of vocal cords."""
    size, hop = 512, 128
    window = np.hanning(size)
    random = np.random.default_rng(5)
    out = np.zeros(len(speech) + size)
    for at in range(0, len(speech) - size, hop):
        spectrum = np.abs(np.fft.rfft(speech[at : at + size] * window))
        envelope = np.convolve(spectrum, np.hanning(9) / 4, "same")
        hiss = np.fft.rfft(random.normal(size=size) * window)
        out[at : at + size] += np.fft.irfft(envelope * hiss / (np.abs(hiss) + 1e-9)) * window
    return (0.05 * out[: len(speech)] / np.abs(out).max()).astype(np.float32)
