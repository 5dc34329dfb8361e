"""What was said in an upload: segments with speaker, words and translations, as they are found.

Rooms come first: all work here waits behind theirs. Knows no HTTP and no formats of answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from babblefish.engine.engine import Engine
from babblefish.engine.job_queue import Priority
from babblefish.errors import BabbleFishError, TransportError
from babblefish.protocol import Word
from babblefish.ui.programs.uploads import Upload
from babblefish.ui.recorded import Heard, Said, Wanted, check_languages, interpreted

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ListeningRequest:
    language: str | None = None
    """spoken in all of it; None: each sentence's is detected"""
    targets: tuple[str, ...] = ()
    """languages to translate into"""
    words: bool = False
    """whether to say when each word was said"""
    prompt: str = ""
    """text that came before, or that is written the way this is to be written"""
    glossary: tuple[str, ...] = ()
    """names and terms that may be said, spelt as they are to be written"""
    among: tuple[str, ...] = ()
    """the only languages that may be spoken; empty: any"""


@dataclass(frozen=True, slots=True)
class Segment:
    """One utterance in which something intelligible was said."""

    id: int
    """0, 1, 2 …"""
    start: float
    """seconds from the beginning of the recording"""
    end: float
    speaker: str
    """"Speaker 1" …, or "Unknown" """
    language: str
    text: str
    confidence: float
    """0..1"""
    words: tuple[Word, ...] = ()
    """times from the beginning of the recording; empty where not asked for or not possible"""
    translations: dict[str, str] = field(default_factory=dict)
    """language → text, the original where it is in that language; one that failed is missing, and
    a ``Problem`` says why"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something went wrong with one utterance; the rest of the recording is heard."""

    start: float
    """seconds from the beginning of the recording"""
    end: float
    code: str
    message: str
    language: str | None = None
    """of the translation that failed; None: the utterance itself"""


@dataclass(frozen=True, slots=True)
class Progress:
    seconds_done: float
    seconds_total: float | None
    """None: not known yet"""


Event = Segment | Problem | Progress


async def listen(
    engine: Engine, upload: Upload, request: ListeningRequest,
    allowed: Callable[[], bool] = lambda: True,
) -> AsyncGenerator[Event]:  # fmt: skip
    """What is said in ``upload``, in its order, and how far it has come. Closing the iterator
    gives up all that is still to be done. allowed: asked again and again whether whoever sent
    it may still be told.

    The first event comes as soon as the recording is accepted, or has to wait for others.
    Raises BabbleFishError("language"), RoomError("language" | "pair"), TransportError("starting" |
    "busy" | "api_key"), and AudioError as ``decoder.decoded`` does; some damage shows on the way
    only.
    """
    if not engine.ready:
        raise TransportError("starting", "The server is still starting. One moment, please.")
    for language in request.among:
        check_languages(engine, language, ())
    source, targets = check_languages(engine, request.language, request.targets)
    wanted = Wanted(
        source, tuple(targets), glossary=request.glossary, context=request.prompt,
        priority=Priority.BATCH, among=request.among,
    )  # fmt: skip
    upload.lane.check()
    if not upload.lane.free:
        yield Progress(0.0, None)
    async with upload.lane.turn(), upload.decoded() as sound:
        yield Progress(0.0, sound.seconds)
        segments = 0
        async with aclosing(interpreted(engine, sound.pieces(), wanted)) as events:
            async for event in events:
                if not allowed():
                    raise TransportError("api_key", "This key was revoked while it was used.")
                if isinstance(event, Heard):
                    yield Progress(event.seconds, sound.seconds)
                    continue
                for problem in _problems(event):
                    yield problem
                if event.transcript is not None and event.transcript.text:
                    words = await _words(engine, event) if request.words else ()
                    yield _segment(segments, event, targets, words)
                    segments += 1


def _problems(said: Said) -> Iterator[Problem]:
    start, end = round(said.utterance.start, 3), round(said.utterance.end, 3)
    for notice in said.notices:
        yield Problem(start, end, notice.code, notice.message, notice.language)


def _segment(number: int, said: Said, targets: list[str], words: tuple[Word, ...]) -> Segment:
    utterance, spoken = said.utterance, said.transcript
    assert spoken is not None
    translations = {
        target: spoken.text if target == spoken.language else said.translations[target]
        for target in targets
        if target == spoken.language or target in said.translations
    }
    return Segment(
        number, round(utterance.start, 3), round(utterance.end, 3), said.speaker,
        spoken.language, spoken.text, round(spoken.confidence, 3), words, translations,
    )  # fmt: skip


async def _words(engine: Engine, said: Said) -> tuple[Word, ...]:
    """Times from the beginning of the recording; none where they cannot be found."""
    utterance, spoken = said.utterance, said.transcript
    assert spoken is not None
    try:
        words = await engine.words(
            utterance.audio.samples, spoken.text, spoken.language, Priority.BATCH
        )
    except BabbleFishError as error:
        log.info("no times of words", code=error.code)
        return ()
    first = utterance.start
    return tuple(
        replace(word, start=round(first + word.start, 3), end=round(first + word.end, 3))
        for word in words
    )
