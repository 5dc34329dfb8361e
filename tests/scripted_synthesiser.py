"""A synthesiser of the laptop without a model: it speaks tones when a test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import numpy as np

from babblefish.accelerator_protocol import (
    ClauseSpoken,
    Health,
    PutVoice,
    Synthesize,
    VoiceDeleted,
    VoiceStored,
    digest_of,
    encode_audio,
)
from babblefish.errors import BabbleFishError, SynthesisError

RATE = 24_000
CLIP = encode_audio(np.sin(np.arange(RATE // 4) / 20).astype(np.float32) * 0.3)
WORDS = "What Marie said in her clip"


def voice(speaker: str = "speaker-one", text: str = WORDS) -> PutVoice:
    return PutVoice(
        speaker_id=speaker, digest=digest_of(CLIP, text, RATE), text=text, language="en",
        clip=CLIP, sample_rate=RATE,
    )  # fmt: skip


def request(number: str = "r1", speaker: str = "speaker-one", **more) -> Synthesize:
    values = {
        "request_id": number, "text": "Secret words, more of them", "language": "en",
        "clauses": ["Secret words,", "more of them"], "speaker_id": speaker,
        "speaker_name": "Marie", "reference": voice(speaker).digest,
    }  # fmt: skip
    return Synthesize(**{**values, **more})


class ScriptedSynthesiser:
    """``may_speak`` is taken once for each clause; ``trouble`` is raised instead of the clause of
    its number."""

    def __init__(self) -> None:
        self.voices: dict[str, PutVoice] = {}
        self.may_speak = asyncio.Semaphore(10_000)
        self.trouble: dict[int, Exception] = {}
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.loading: BabbleFishError | None = None
        self.closed = False
        self.may_store = asyncio.Event()
        self.may_store.set()

    def hold(self) -> None:
        """Nothing is spoken from now on but what ``may_speak.release`` allows."""
        self.may_speak = asyncio.Semaphore(0)

    async def start(self) -> None:
        pass

    async def ready(self) -> None:
        if self.loading is not None:
            raise self.loading

    async def close(self) -> None:
        self.closed = True

    def health(self) -> Health:
        return Health(
            ready=self.loading is None, device="Scripted GPU", languages=["en", "zh"],
            memory_used_mb=1200, memory_total_mb=4096, waiting=len(self.begun),
            expected_wait_s=0.5, real_time_factor=0.3, first_clause_s=0.2, voices=len(self.voices),
        )  # fmt: skip

    async def put_voice(self, voice: PutVoice) -> VoiceStored:
        await self.may_store.wait()
        self.voices[voice.speaker_id] = voice
        return VoiceStored(speaker_id=voice.speaker_id, digest=voice.digest)

    async def delete_voice(self, speaker_id: str) -> VoiceDeleted:
        existed = self.voices.pop(speaker_id, None) is not None
        return VoiceDeleted(speaker_id=speaker_id, existed=existed)

    async def speak(self, request: Synthesize) -> AsyncGenerator[ClauseSpoken]:
        if request.speaker_id not in self.voices:
            raise SynthesisError("unknown_voice", "This voice is not here, send it first.")
        self.begun.append(request.request_id)
        clauses = request.clauses or [request.text]
        try:
            for number in range(len(clauses)):
                await self.may_speak.acquire()
                if number in self.trouble:
                    raise self.trouble[number]
                tone = np.sin(np.arange(2 * RATE // 5) * (number + 1) / 20).astype(np.float32) * 0.3
                yield ClauseSpoken(
                    request_id=request.request_id, speaker_name=request.speaker_name,
                    clause=number, last=number == len(clauses) - 1, audio=encode_audio(tone),
                    sample_rate=RATE, latency_ms=1.0,
                )  # fmt: skip
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled.append(request.request_id)
            raise
