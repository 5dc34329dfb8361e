"""Listens to a recording of one voice: where in it is speech, how good it is, its voiceprint, and
what was said. All of it in the engine's worker processes, arithmetic on a thread of its own.

Keeps nothing, and does not know whose voice it is.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from babblefish.audio import check_speech, decibels
from babblefish.engine.interpretation import checked_recognition
from babblefish.engine.job_queue import Priority
from babblefish.engine.recording_quality import (
    ENROLMENT,
    PartVoice,
    RecordingQuality,
    Requirements,
    VoiceActivity,
    assess,
    parts,
)
from babblefish.engine.stages import SPEECH_RATE, RecognitionRequest
from babblefish.errors import AudioError, SpeakerError

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

T = TypeVar("T")

UPLOAD = replace(ENROLMENT, speech_seconds=10.0)
"""a recording of anything, in place of the three prompts"""
_MOST_PARTS = 24
"""of a recording that get a voiceprint of their own: enough to find a second voice"""
_MOST_PRINT_SECONDS = 20.0
"""of speech that encoders look at"""
_STRETCH_SECONDS = 12.0
"""the longest piece that a long recording is cut into"""
_RECOGNISE_TIMEOUT_S = 120.0
_BEHIND_S = 4.0
"""for which sentences of rooms go first; in a talk without a pause there would always be another"""
_SILENT_DB = -60.0


@dataclass(frozen=True, slots=True, eq=False)
class HeardRecording:
    activity: VoiceActivity
    quality: RecordingQuality
    voiceprint: np.ndarray | None
    """(dimension,) float32; None where there is too little speech for one"""

    @property
    def print_seconds(self) -> float:
        """Of speech that the voiceprint was made of."""
        return min(self.quality.speech_seconds, _MOST_PRINT_SECONDS)


@dataclass(frozen=True, slots=True)
class SaidIn:
    text: str
    language: str


class VoiceRecordings:
    """Use from the engine's event loop; one recording at a time, the others wait."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._arithmetic = ThreadPoolExecutor(1, "recordings")
        self._turn = asyncio.Lock()

    def close(self) -> None:
        self._arithmetic.shutdown(wait=False, cancel_futures=True)

    async def listen(
        self, samples: np.ndarray, required: Requirements = ENROLMENT
    ) -> HeardRecording:
        """samples: (n,) float32 at SPEECH_RATE.

        Raises AudioError("bad_audio") for what is no sound, and WorkerError where a stage fails.
        """
        samples = check_speech(samples, AudioError)
        async with self._turn:
            activity = await self._activity(samples)
            voiceprint, voices = None, []
            if decibels(float(np.abs(samples).max())) >= _SILENT_DB:
                voiceprint = await self._embed(samples)
                voices = await self._voices(samples, activity)
            encoder = self._engine.speaker_encoder.capabilities
            quality = await self._compute(
                lambda: assess(samples, activity, voices, encoder, required)
            )
        return HeardRecording(activity, quality, voiceprint)

    async def transcribe(self, samples: np.ndarray, language: str) -> SaidIn:
        """What is said in at most ``_STRETCH_SECONDS``. Raises RecognitionError, WorkerError."""
        known = language in self._engine.recogniser_capabilities.languages
        request = RecognitionRequest(language=language if known else None)
        raw = await self._engine.recogniser.call(
            "transcribe", samples, request, deadline=time.monotonic() + _BEHIND_S,
            timeout=_RECOGNISE_TIMEOUT_S,
        )  # fmt: skip
        heard = checked_recognition(raw)
        return SaidIn(heard.text, heard.language)

    async def _activity(self, samples: np.ndarray) -> VoiceActivity:
        """Frame by frame beside the meetings' microphones, so that none of them has to wait."""
        stream = self._engine.listen()
        size = stream.frame_samples
        padded = np.pad(samples, (0, -len(samples) % size))
        found = [await stream.probability(frame, 0.0) for frame in padded.reshape(-1, size)]
        return VoiceActivity(np.array(found, np.float32), size)

    async def _voices(self, samples: np.ndarray, activity: VoiceActivity) -> list[PartVoice]:
        mask, found = activity.mask(len(samples)), []
        pieces = parts(activity)
        every = -(-len(pieces) // _MOST_PARTS) if pieces else 1
        for start, end in pieces[::every]:
            voiceprint = await self._embed(samples[start:end])
            if voiceprint is not None:
                seconds = float(mask[start:end].sum()) / SPEECH_RATE
                found.append(PartVoice(voiceprint, seconds))
        return found

    async def _embed(self, samples: np.ndarray) -> np.ndarray | None:
        try:
            return await self._engine.embed(samples, Priority.NEXT)
        except SpeakerError:
            return None

    async def _compute(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._arithmetic, work)


def stretches(activity: VoiceActivity, count: int) -> list[tuple[int, int]]:
    """[start, end) in samples of a recording of ``count``: its speech, cut in its longest pauses
    into pieces of at most ``_STRETCH_SECONDS``, without silence at their ends."""
    speech = activity.mask(count)
    edges = np.flatnonzero(np.diff(np.pad(speech, 1).astype(int))).reshape(-1, 2)
    found = []
    waiting = [(0, len(edges))] if len(edges) else []
    while waiting:
        first, last = waiting.pop()
        start, end = int(edges[first, 0]), int(edges[last - 1, 1])
        if end - start <= _STRETCH_SECONDS * SPEECH_RATE:
            found.append((start, end))
        elif last - first == 1:  # nobody takes a breath: cut anywhere
            most = int(_STRETCH_SECONDS * SPEECH_RATE)
            marks = [*range(start, end, most), end]
            found += list(itertools.pairwise(marks))
        else:
            pauses = edges[first + 1 : last, 0] - edges[first : last - 1, 1]
            cut = first + 1 + int(np.argmax(pauses))
            waiting += [(first, cut), (cut, last)]
    return sorted(found)
