"""What every recogniser asks of a request before it listens. Knows no model."""

from __future__ import annotations

import numpy as np

from babblefish.audio import check_speech
from babblefish.engine.stages import SPEECH_RATE, RecogniserCapabilities, RecognitionRequest
from babblefish.errors import RecognitionError


def checked(
    audio: np.ndarray, request: RecognitionRequest, able: RecogniserCapabilities
) -> np.ndarray:
    """``audio`` as contiguous float32 (n,).

    Raises RecognitionError("bad_audio") for what is no sound or longer than ``able.max_seconds``,
    RecognitionError("language") for a language that is not recognised, or fixed and not named.
    """
    samples = check_speech(audio, RecognitionError)
    if len(samples) > able.max_seconds * SPEECH_RATE:
        raise RecognitionError(
            "bad_audio",
            f"The audio is longer than {able.max_seconds:.0f} seconds. Cut it into utterances.",
        )
    if request.language is not None and request.language not in able.languages:
        raise RecognitionError(
            "language", f"Speech in {request.language!r} is not recognised. Choose another."
        )
    if unknown := set(request.among) - able.languages:
        raise RecognitionError(
            "language", f"Speech in {sorted(unknown)[0]!r} is not recognised. Choose another."
        )
    if request.language_fixed and request.language is None:
        raise RecognitionError("language", "A fixed language must be named.")
    return samples
