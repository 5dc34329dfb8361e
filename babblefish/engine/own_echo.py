"""What of a microphone's sound is the phone's own loudspeaker, and what somebody says over it.

By the sound: where the microphone hears about what the loudspeaker played, band by band, or much
less than people at it, nobody else talks; there it is silenced, so that only people are recognised.
By the words: whatever is understood nevertheless and is made of the words that were played, was
played. Pure functions; ``bleed.py`` finds the delay.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from babblefish.engine import bleed
from babblefish.engine.stages import SPEECH_RATE

_FRAME, _HOP = 512, 160
_BANDS = np.unique(np.round(np.geomspace(6, 192, 25)).astype(int))
"""bins where bands begin, 190 to 6000 Hz, each a little wider than the one before"""
_RINGS_S = 0.4
"""in which a room's echo falls by 60 dB"""
_DRIVEN = 1e-3
"""part of a band's greatest power from which it is loud enough to learn how it is heard"""
_FEWEST_FRAMES = 10
_USUAL = 0.5
"""quantile of how much louder a band is heard than it was played that is taken for the usual"""
_LOUDER = 10 ** (9 / 10)
"""times the power that is expected of the loudspeaker from which a band is somebody else's"""
_AUDIBLE = 8.0
"""times the power of the quietest tenth from which a band holds any sound"""
_SOMEBODY = 0.2
"""part of the audible bands that must be somebody else's while they talk"""
_FAINT = 10 ** (-14 / 10)
"""part of people's loudness below which nobody talks over a loudspeaker: it is what an echo
canceller left over"""
_SMOOTH_S = 0.13
_SHORTEST_S = 0.2
"""that somebody talks"""
_BEFORE_S, _AFTER_S = 0.2, 0.3
"""kept around what somebody says: words begin and end softly"""

_SAME_LETTERS = 4
"""letters and digits in a row that count as played: fewer are in any sentence"""
_REPEATED = 0.7
"""part of what was understood that must have been played"""


def delays(
    microphone: np.ndarray, sounds: Sequence[tuple[np.ndarray, float]]
) -> list[float] | None:
    """How many seconds late the microphone heard each of the loudspeaker's ``sounds``; None where
    it heard none of them. sounds: as in ``bleed.delay``, with when each begins."""
    found = [bleed.delay(microphone, sound, begins) for sound, begins in sounds]
    known = [late for late in found if late is not None]
    if not known:
        return None
    usual = float(np.median(known))  # a short one, or one that is talked over, is as late
    return [usual if late is None else late for late in found]


def loudness(microphone: np.ndarray) -> float:
    """Of somebody's loud syllables, as a power."""
    return float(np.quantile(_powers(microphone).sum(axis=1), 0.9))


def silenced(microphone: np.ndarray, played: np.ndarray, usual: float | None = None) -> np.ndarray:
    """``microphone``, (n,) float32, silent where the loudspeaker alone is heard.

    played: (n,), what the loudspeaker played as late as the microphone heard it. usual: loudness
    of people at this microphone, None while that is not known. Takes about 3 ms for each second.
    """
    heard, source = _powers(microphone), _rung_on(_powers(played))
    quiet = np.quantile(heard, 0.1, axis=0) + 1e-12
    expected = source * _gains(heard, source) + quiet
    audible = (heard > _AUDIBLE * quiet) & (heard > 0.01 * heard.max(axis=1, keepdims=True))
    audible &= heard > 1e-5 * heard.max()
    others = (audible & (heard > _LOUDER * expected)).sum(axis=1)
    share = others / np.maximum(audible.sum(axis=1), 4)
    share[heard.sum(axis=1) < _FAINT * (usual or 0.0)] = 0.0
    width = round(_SMOOTH_S * SPEECH_RATE / _HOP)
    talking = np.convolve(share, np.ones(width) / width, "same") > _SOMEBODY
    alone = source.max(axis=1) > 0.0
    keep = np.repeat(_widened(talking) | ~_near(alone), _HOP)[: len(microphone)]
    fade = np.ones(_HOP) / _HOP
    gain = np.convolve(keep.astype(np.float32), fade, "same")
    return (microphone * gain).astype(np.float32)


def repeats(text: str, played: Iterable[str]) -> bool:
    """Whether ``text``, understood of what a microphone heard, says no more than ``played``."""
    said = _letters(text)
    return bool(said) and any(_share(said, _letters(each)) >= _REPEATED for each in played)


def _powers(samples: np.ndarray) -> np.ndarray:
    """(frames, bands); a frame's middle is its first sample of _HOP."""
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    padded = np.pad(samples, (_FRAME // 2, _FRAME))
    count = -(-len(samples) // _HOP)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP][:count] * window
    spectra = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    return np.add.reduceat(spectra, _BANDS, axis=1)[:, :-1]


def _rung_on(powers: np.ndarray) -> np.ndarray:
    """As it sounds in a room, where nothing ends at once."""
    decay = 10 ** (-6 * _HOP / SPEECH_RATE / _RINGS_S)
    out, now = np.empty_like(powers), np.zeros(powers.shape[1])
    for number, frame in enumerate(powers):
        out[number] = now = np.maximum(frame, now * decay)
    return np.maximum(out, np.vstack([out[1:], out[-1:]]))


def _gains(heard: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(bands,) how much louder each is heard than it was played, most of the time."""
    driven = source > _DRIVEN * source.max(axis=0)
    gains = np.zeros(source.shape[1])
    for band in np.flatnonzero(driven.sum(axis=0) >= _FEWEST_FRAMES):
        rows = driven[:, band]
        gains[band] = np.quantile(heard[rows, band] / source[rows, band], _USUAL)
    return gains


def _widened(talking: np.ndarray) -> np.ndarray:
    """Without what is too short to be speech, and with its surroundings."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], talking.astype(int), [0]])))
    before, after, shortest = (
        round(seconds * SPEECH_RATE / _HOP) for seconds in (_BEFORE_S, _AFTER_S, _SHORTEST_S)
    )
    out = np.zeros(len(talking), bool)
    for first, end in edges.reshape(-1, 2):
        if end - first >= shortest:
            out[max(0, first - before) : end + after] = True
    return out


def _near(alone: np.ndarray) -> np.ndarray:
    """Where the loudspeaker's sound may still be in the air."""
    ringing = round(_RINGS_S * SPEECH_RATE / _HOP)
    return np.convolve(alone, np.ones(ringing))[: len(alone)] > 0.5


def _share(said: str, played: str) -> float:
    """Part of ``said`` that is in ``played``, in its order."""
    matcher = difflib.SequenceMatcher(None, said, played, autojunk=False)
    shortest = min(_SAME_LETTERS, len(said))
    found = sum(m.size for m in matcher.get_matching_blocks() if m.size >= shortest)
    return found / len(said)


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if letter.isalnum())
