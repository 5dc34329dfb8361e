"""Is what a laptop sent the clause that was asked for? Wrong numbers, noise, silence and speech of
an impossible length are refused here, before anybody hears them.

Pure functions; a few milliseconds for a long clause, so not for the event loop.
"""

from __future__ import annotations

import numpy as np

from babblefish import accelerator_protocol as wire
from babblefish.audio import decibels, resample
from babblefish.engine import clauses
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.errors import CloningError, TransportError

_QUIETEST_DB, _LOUDEST_DB = -50.0, -3.0
"""root mean square of a clause; speech is between -40 and -10"""
_VOICED_DB = -50.0
_MOST_OFFSET = 0.1
"""mean of the samples: speech has none, floats read as integers have"""
_FRAME_S = 0.02
_SHORTEST, _LONGEST = 0.25, 3.0
"""of the length that its text lets expect; people differ by a factor of two"""
_SPARE_S = 2.0


def checked_clause(
    message: wire.ClauseSpoken, request_id: str, number: int, texts: tuple[str, ...]
) -> np.ndarray:
    """Clause ``number`` of ``texts`` as float32 (n,) at PLAYOUT_RATE.

    Raises CloningError("bad_answer") for another clause, ("bad_audio") for what is no such speech.
    """
    if message.request_id != request_id or message.clause != number or number >= len(texts):
        raise CloningError("bad_answer", "The laptop answered something that was not asked.")
    if message.last != (number == len(texts) - 1):
        raise CloningError("bad_answer", "The laptop's answer ends at the wrong clause.")
    expected = clauses.seconds(texts[number])
    longest = _LONGEST * expected + _SPARE_S
    if len(message.audio) > (longest * message.sample_rate + 1) * 2 * 4 / 3 + 4:
        raise CloningError("bad_audio", "The laptop sent far more sound than the text has.")
    try:
        samples = wire.decode_audio(message.audio)
    except TransportError as error:
        raise CloningError("bad_audio", error.message) from None
    _check_sound(samples, message.sample_rate, _SHORTEST * expected)
    return resample(samples, message.sample_rate, PLAYOUT_RATE)


def _check_sound(samples: np.ndarray, rate: int, shortest: float) -> None:
    """shortest: seconds that something must be heard."""
    frame = max(1, int(_FRAME_S * rate))
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    if not len(frames):
        raise CloningError("bad_audio", "The laptop sent no sound.")
    power = np.mean(np.square(frames), axis=1)
    level = decibels(float(np.sqrt(np.mean(power))))
    if level < _QUIETEST_DB:
        raise CloningError("bad_audio", "The laptop sent silence.")
    if level > _LOUDEST_DB or abs(float(np.mean(frames))) > _MOST_OFFSET:
        raise CloningError("bad_audio", "The laptop sent noise instead of speech.")
    voiced = np.count_nonzero(power > 10 ** (_VOICED_DB / 10)) * _FRAME_S
    if voiced < shortest:
        raise CloningError("bad_audio", "The laptop sent too little speech for the text.")
