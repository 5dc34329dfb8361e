"""The voices that one laptop holds: handed over ahead of time, once, and deleted for certain.

A deletion is owed until the laptop has confirmed it; nothing else of that person goes there before.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from babblefish import accelerator_protocol as wire
from babblefish.engine.cloning_messages import CloneReference
from babblefish.engine.cloning_transport import Transport
from babblefish.errors import CloningError

log = structlog.get_logger(__name__)

T = TypeVar("T")
Offload = Callable[..., Awaitable[Any]]
"""``await offload(function, *arguments)``: in a thread"""

_UPLOAD_S = 20.0
"""a megabyte over a poor wireless network, and the laptop looks at it"""
_DELETE_S = 5.0
_SHARE = 0.3
"""of the newest measurement"""
_UNKNOWN_UPLOAD_S = 0.5


class LaptopVoices:
    """``reach``: the way to the laptop now; raises CloningError where there is none."""

    def __init__(self, reach: Callable[[], Transport], offload: Offload) -> None:
        self._reach, self._offload = reach, offload
        self._stored: dict[str, str] = {}
        """speaker → digest"""
        self._uploads: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self._unfit: set[str] = set()
        """digests that the laptop will not take"""
        self._owed: set[str] = set()
        self._void: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()
        """uploads of voices that have been deleted since"""
        self._deleting = asyncio.Lock()
        self.upload_s: float | None = None

    def has(self, reference: CloneReference) -> bool:
        return self._stored.get(reference.speaker) == reference.digest

    def cost(self, reference: CloneReference) -> float:
        """Seconds until the laptop would have it."""
        return 0.0 if self.has(reference) else self.upload_s or _UNKNOWN_UPLOAD_S

    @property
    def owed(self) -> frozenset[str]:
        """Speakers whose deletion the laptop has yet to confirm."""
        return frozenset(self._owed)

    async def ensure(self, reference: CloneReference) -> None:
        """The laptop has it when this returns. Who gives up waiting does not stop the upload.
        Raises CloningError."""
        if self.has(reference):
            return
        if reference.digest in self._unfit:
            raise CloningError("bad_reference", "The laptop cannot use this recording of a voice.")
        speaker = reference.speaker
        digest, running = self._uploads.get(speaker, ("", None))
        if running is None or digest != reference.digest:
            task = asyncio.create_task(self._upload(reference, running), name="voice to a laptop")
            self._uploads[speaker] = reference.digest, task
            task.add_done_callback(lambda task: self._uploaded(speaker, task))
            running = task
        await asyncio.shield(running)

    def lost(self, reference: CloneReference | None = None) -> None:
        """The laptop says that it does not have it any more; None: nothing at all."""
        if reference is None:
            self._stored.clear()
        elif self.has(reference):
            del self._stored[reference.speaker]

    def forget(self, speaker: str) -> None:
        """Owe its deletion; ``settle`` pays."""
        self._owed.add(speaker)
        self._stored.pop(speaker, None)
        _, running = self._uploads.get(speaker, ("", None))
        if running is not None:
            self._void.add(running)

    async def settle(self, wanted: Callable[[], Iterable[CloneReference]]) -> None:
        """Delete what is owed, then hand over what is wanted, as long as it is. What fails waits
        for the next time, and is logged."""
        for speaker in tuple(self._owed):
            try:
                await self._delete(speaker)
            except CloningError as error:
                log.warning("a laptop has yet to delete a voice", code=error.code)
                return
        while (reference := self._next(wanted())) is not None:
            try:
                await self.ensure(reference)
            except CloningError as error:
                log.warning("a laptop did not take a voice", code=error.code)
                return

    def _next(self, wanted: Iterable[CloneReference]) -> CloneReference | None:
        for reference in wanted:
            if not self.has(reference) and reference.digest not in self._unfit:
                return reference
        return None

    async def clear(self) -> None:
        """Delete everything, as far as the laptop can be reached."""
        self.owe({*self._stored, *self._uploads})
        await self.settle(tuple)

    def close(self) -> None:
        for _, task in self._uploads.values():
            task.cancel()

    def owe(self, speakers: Iterable[str]) -> None:
        """What another connection to the same laptop could not delete."""
        for speaker in speakers:
            self.forget(speaker)

    async def _upload(self, reference: CloneReference, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait((after,))
        if reference.speaker in self._owed:
            await self._delete(reference.speaker, own=True)
        message = await self._offload(_encoded, reference)
        if asyncio.current_task() in self._void:
            raise CloningError("forgotten", "This voice has been deleted.")
        begun = time.monotonic()
        stored = await _within(_UPLOAD_S, self._reach().put_voice(reference.speaker, message))
        if (stored.speaker_id, stored.digest) != (reference.speaker, reference.digest):
            raise CloningError("bad_answer", "The laptop stored another voice.")
        took, was = time.monotonic() - begun, self.upload_s
        self.upload_s = took if was is None else was + _SHARE * (took - was)
        if reference.speaker not in self._owed:
            self._stored[reference.speaker] = reference.digest

    def _uploaded(self, speaker: str, task: asyncio.Task[None]) -> None:
        digest, newest = self._uploads[speaker]
        if newest is task:
            del self._uploads[speaker]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, CloningError) and error.code in ("bad_reference", "bad_request"):
            self._unfit.add(digest)

    async def _delete(self, speaker: str, own: bool = False) -> None:
        """own: asked by the upload itself, which need not be waited for."""
        _, running = self._uploads.get(speaker, ("", None))
        if running is not None and not own:
            await asyncio.wait((running,))
        async with self._deleting:
            if speaker in self._owed:
                deleted = await _within(_DELETE_S, self._reach().delete_voice(speaker))
                if deleted.speaker_id != speaker:
                    raise CloningError("bad_answer", "The laptop deleted another voice.")
                self._owed.discard(speaker)


def _encoded(reference: CloneReference) -> bytes:
    try:
        clip = wire.encode_audio(reference.clip)
        return (
            wire.PutVoice(
                speaker_id=reference.speaker, digest=reference.digest, text=reference.text,
                language=reference.language, clip=clip, sample_rate=reference.rate,
            )
            .model_dump_json()
            .encode()
        )  # fmt: skip
    except ValidationError:  # whose text quotes what was said
        raise CloningError(
            "bad_reference", "This recording of a voice is too long or too short to be sent."
        ) from None


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise CloningError("late", "The laptop takes too long.") from None
