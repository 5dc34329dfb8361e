"""The transcript of a room over HTTP, for the people who are in it: read, searched, downloaded.

Every request needs the key of somebody in that very room. ``Library`` serves the host's pages
too. Knows no page.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from babblefish.errors import StorageError, TransportError
from babblefish.languages import direction, normalise
from babblefish.storage.records import Actor, TranscriptEntry
from babblefish.ui.access import Access
from babblefish.ui.api import Code, Desk, ErrorAnswer
from babblefish.ui.transcript_files import ORIGINAL, SHEETS, Format, Heading, Sheet

if TYPE_CHECKING:
    from babblefish.storage.storage import Storage
    from rooms.hub import Hub

PAGE = 500
"""entries read at a time"""
MOST_LINES = 100
Words = Annotated[str, Query(max_length=200)]
Language = Annotated[str, Query(max_length=35)]


class LineTranslation(BaseModel):
    language: str
    direction: Literal["ltr", "rtl"]
    text: str
    quality: str
    synthetic: bool
    """somebody heard it from a synthetic voice"""
    own_voice: bool = False
    """which was a copy of the speaker's own, for some of it at least"""


class Line(BaseModel):
    number: int
    """order in the room; the next page begins after the last one's"""
    at: float
    """Unix time of the first word"""
    speaker: str
    language: str
    direction: Literal["ltr", "rtl"]
    text: str
    translations: list[LineTranslation]


class LinesAnswer(BaseModel):
    kept: Literal["off", "until_close", "days"]
    days: int
    lines: list[Line]
    more: bool
    """there are further ones"""


class Library:
    """Transcripts as files and as lines. Methods raise TransportError("storage") when the storage
    cannot be read at the moment."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @property
    def _storage(self) -> Storage | None:
        return self._hub.storage

    async def entries(
        self, code: str, words: str = "", after: int = 0, limit: int = PAGE
    ) -> list[TranscriptEntry]:
        """Those after sequence number ``after``, at most ``limit``."""
        if self._storage is None:
            return []
        try:
            return await self._storage.transcript(code, after=after, limit=limit, words=words)
        except StorageError as error:
            raise _unreadable(error) from error

    async def note(self, actor: Actor, act: str, code: str) -> None:
        """An audit line; what cannot be noted is not done."""
        if self._storage is None:
            return
        try:
            await self._storage.note(actor, act, code)
        except StorageError as error:
            raise _unreadable(error) from error

    async def download(
        self, actor: Actor, code: str, name: str, format: Format, language: str = "",
        words: str = "",
    ) -> StreamingResponse:  # fmt: skip
        """The transcript of room ``code``, which is called ``name``, as a file.

        language: a code, "original" or empty for everything; raises BabbleFishError("language").
        """
        language = check_language(language)
        await self.note(actor, "transcript_downloaded", code)
        first = await self.entries(code, limit=1)
        page = await self.entries(code, words)
        start = first[0].spoken.start if first else 0.0
        sheet = SHEETS[format](Heading(name, time.time(), start, language))
        stamp = time.strftime("%Y%m%d-%H%M")
        headers = {
            "Content-Disposition": f'attachment; filename="babblefish-{stamp}.{format}"',
            "Cache-Control": "no-store",
        }
        parts = self._parts(sheet, code, words, page)
        return StreamingResponse(parts, headers=headers, media_type=sheet.media_type)

    async def _parts(
        self, sheet: Sheet, code: str, words: str, page: list[TranscriptEntry]
    ) -> AsyncIterator[str]:
        yield sheet.head()
        while page:
            yield sheet.body(page)
            if len(page) < PAGE:
                break
            page = await self.entries(code, words, after=page[-1].spoken.sequence)
        yield sheet.tail()


def check_language(language: str) -> str:
    """As ``transcript_files.Heading`` wants it. Raises BabbleFishError("language")."""
    return language if language in ("", ORIGINAL) else normalise(language)


def _unreadable(error: StorageError) -> TransportError:
    return TransportError(
        "storage", "The transcript cannot be read at the moment. Please try again in a minute."
    )


def create_transcript_router(hub: Hub, access: Access) -> APIRouter:
    """The routes under ``/api/rooms/{code}/transcript``."""
    router = APIRouter(
        prefix="/api/rooms/{code}/transcript", tags=["transcripts"],
        responses={status: {"model": ErrorAnswer} for status in (401, 422, 429, 503)},
    )  # fmt: skip
    desk, library = Desk(hub, access), Library(hub)

    def admit(request: Request, code: str, action: str):
        key = Access.bearer(request, "member_key")
        return desk.member(request, code, action, key).room

    @router.get("", response_class=StreamingResponse)
    async def transcript(
        code: Code, request: Request, format: Format = "txt", language: Language = "",
        words: Words = "",
    ) -> StreamingResponse:  # fmt: skip
        """The transcript as a file. Bearer: the participant's key. ``language``: a code,
        "original", or nothing for everything; ``words``: only what contains them."""
        room = admit(request, code, "transcript")
        return await library.download("self", room.code, room.name, format, language, words)

    @router.get("/lines")
    async def lines(
        code: Code, request: Request, words: Words = "", after: Annotated[int, Query(ge=0)] = 0
    ) -> LinesAnswer:
        """A page of the transcript to read and search. Bearer: the participant's key."""
        room = admit(request, code, "lines")
        entries = await library.entries(room.code, words, after, MOST_LINES + 1)
        policy = room.kept.archive.policy
        return LinesAnswer(
            kept=policy.kept, days=policy.days, more=len(entries) > MOST_LINES,
            lines=[_line(entry) for entry in entries[:MOST_LINES]],
        )  # fmt: skip

    return router


def _line(entry: TranscriptEntry) -> Line:
    said = entry.spoken
    return Line(
        number=said.sequence, at=said.start, speaker=said.speaker_name, language=said.language,
        direction=direction(said.language), text=said.text,
        translations=[
            LineTranslation(
                language=t.language, direction=direction(t.language), text=t.text,
                quality=t.quality, synthetic=t.synthetic, own_voice=t.own_voice,
            )
            for t in entry.translations
        ],
    )  # fmt: skip
