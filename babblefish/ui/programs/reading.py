"""What a program wants read aloud, as a stream of bytes: language and voice found, sound encoded.

Between the routes and ``speech.py``; knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from babblefish import languages
from babblefish.errors import TransportError
from babblefish.ui.programs import sound_formats, speech, voice_names
from babblefish.ui.programs.sound_formats import Format

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.ui.programs.caller import Caller, Gate


@dataclass(frozen=True, slots=True)
class Wish:
    text: str
    language: str = ""
    """any usual code; empty or "auto": the voice's own, else that of the text"""
    voice: str = voice_names.ANY
    speed: float = 1.0
    format: Format = "wav"


@dataclass(frozen=True, slots=True)
class Spoken:
    language: str
    voice: str
    media_type: str
    stream: AsyncGenerator[bytes, None]
    """closing it stops the work"""

    @property
    def headers(self) -> dict[str, str]:
        """What the body cannot say in every format; that it is synthetic, before all."""
        return {
            "Content-Language": self.language,
            "BabbleFish-Voice": self.voice,
            "BabbleFish-Synthetic-Speech": "yes",
        }


class Reader:
    """For all programs at once."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine, self._gate = engine, gate
        self._encoding = ThreadPoolExecutor(1, "sound formats")

    def read(self, caller: Caller, wish: Wish) -> Spoken:
        """Raises TransportError("starting"), BabbleFishError("language") and SynthesisError;
        ``Spoken.stream`` raises what ``Gate.hold`` and ``speech.say`` raise."""
        if not self._engine.ready:
            raise TransportError("starting", "The server is still starting. One moment, please.")
        text = speech.readable(wish.text)
        chosen = voice_names.choose(self._engine, wish.voice, self._language(wish, text))
        sound = speech.say(self._engine, text, chosen, wish.speed)
        return Spoken(
            chosen.language, chosen.voice, sound_formats.MEDIA_TYPES[wish.format],
            self._encoded(caller, sound, wish.format),
        )  # fmt: skip

    def _language(self, wish: Wish, text: str) -> str:
        if wish.language and wish.language != "auto":
            return languages.normalise(wish.language)
        return voice_names.language_of(self._engine, wish.voice) or "en"

    async def _encoded(
        self, caller: Caller, sound: AsyncGenerator, name: Format
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        with self._gate.hold(caller):
            encoder = sound_formats.encoder(name)
            async with contextlib.aclosing(sound):
                async for samples in sound:
                    yield await loop.run_in_executor(self._encoding, encoder.push, samples)
            yield await loop.run_in_executor(self._encoding, encoder.end)
