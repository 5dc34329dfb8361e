"""What a program wants read aloud, as a stream of bytes: language and voice found, sound encoded.

Between the routes and ``speech.py``; knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from babblefish import languages
from babblefish.errors import TransportError
from babblefish.ui.programs import sound_formats, speech, voice_names
from babblefish.ui.programs.sound_formats import Format

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.engine.text_language import TextLanguage
    from babblefish.ui.programs.caller import Caller, Gate

_LIKELY = 0.3
"""certainty of a language from which a text is read in it"""
_UNKNOWN = "en"


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

    async def read(self, caller: Caller, wish: Wish) -> Spoken:
        """Raises TransportError("starting"), BabbleFishError("language") and SynthesisError;
        ``Spoken.stream`` raises what ``Gate.hold`` and ``speech.say`` raise."""
        if not self._engine.ready:
            raise TransportError("starting", "The server is still starting. One moment, please.")
        text = speech.readable(wish.text)
        language = await self._language(wish, text)
        chosen = voice_names.choose(self._engine, wish.voice, language)
        sound = speech.say(self._engine, text, chosen, wish.speed)
        return Spoken(
            chosen.language, chosen.voice, sound_formats.MEDIA_TYPES[wish.format],
            self._encoded(caller, sound, wish.format),
        )  # fmt: skip

    async def _language(self, wish: Wish, text: str) -> str:
        if wish.language and wish.language != "auto":
            return languages.normalise(wish.language)
        if owned := voice_names.language_of(self._engine, wish.voice):
            return owned
        voiced = {code for pool in self._engine.synthesisers for code in pool.capabilities.voices}
        (found,) = await self._engine.identify_texts([text], voiced)
        return spoken_language(found, voiced)

    async def _encoded(
        self, caller: Caller, sound: AsyncGenerator, name: Format
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        with self._gate.hold(caller):
            encoder = sound_formats.encoder(name)
            async with contextlib.aclosing(sound):
                async for samples in sound:
                    if not self._gate.still(caller):
                        raise TransportError("api_key", "This key was revoked.")
                    yield await loop.run_in_executor(self._encoding, encoder.push, samples)
            yield await loop.run_in_executor(self._encoding, encoder.end)


def spoken_language(found: TextLanguage, voiced: Collection[str]) -> str:
    """What to read a text in that seems to be in ``found``. voiced: languages with a voice.

    A guess that is likely will do: what is wrong of it is heard at once. Where even that is
    missing, as for a name or a number, it is English."""
    if found.certain:
        return found.language
    if found.certainty >= _LIKELY:
        for language in found.candidates:
            if language in voiced:
                return language
    return _UNKNOWN if _UNKNOWN in voiced else min(voiced, default=_UNKNOWN)
