"""Text for programs: translate one or many, and which languages there are.

Checks what is asked, counts and bounds it, and answers in JSON. How texts are translated is the
engine's business; who may ask is the gate's.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from babblefish import languages
from babblefish.engine.text_language import UNDETERMINED, TextLanguage
from babblefish.engine.text_translation import Abandoned, Texts
from babblefish.errors import BabbleFishError, TransportError
from babblefish.protocol import Quality
from babblefish.ui.access import Access, TryLater
from babblefish.ui.api import Body, Code, ErrorAnswer, ErrorDetail, LanguageAnswer
from babblefish.ui.programs.caller import Caller, Gate, needs
from babblefish.ui.programs.refusals import REFUSALS
from rooms.glossary import MAX_TERM, MOST_TERMS, terms

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

AUTO = "auto"
MOST_CHARACTERS = 50_000
"""of a text"""
MOST_TOGETHER = 200_000
"""of all texts of a batch, each counted once for every target"""
MOST_TEXTS, MOST_TARGETS = 500, 20
_MOST_WAITING = 32
"""requests that wait for the translator or are being translated; rooms' work comes before theirs
and has its own place in the queue"""
_AGAIN_S = 2
_LONG = 1000
"""characters of a text from which translating it counts as a long job"""
_COSTS = 10_000
"""characters that count as one more request of the key's"""

Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
Language = Annotated[
    str, Field(max_length=35, examples=["fr", "pt-BR", "fra_Latn"],
               description="ISO 639-1, BCP-47 or FLORES-200")
]  # fmt: skip
Source = Annotated[
    str, Field(max_length=35, examples=["auto", "fr"],
               description="as target_lang, or “auto”: it is told from the text")
]  # fmt: skip
Glossary = Annotated[
    tuple[Annotated[str, Field(max_length=MAX_TERM)], ...],
    Field(max_length=MOST_TERMS, description="names and terms that stay as they are"),
]


class TranslateBody(Body):
    text: Text
    target_lang: Language
    source_lang: Source = AUTO
    glossary: Glossary = ()


class BatchBody(Body):
    texts: list[Text] = Field(min_length=1, max_length=MOST_TEXTS)
    target_langs: list[Language] = Field(min_length=1, max_length=MOST_TARGETS)
    source_lang: Source = AUTO
    glossary: Glossary = ()


class TranslateAnswer(Body):
    translation: str
    source_lang: str
    """“und” where nothing in the text is in any language"""
    target_lang: str
    quality: Quality
    """“basic”: readable, often rough"""
    certainty: float | None = Field(ge=0, le=1)
    """of the language that was told from the text; null where ``source_lang`` was given"""


class BatchItem(Body):
    """One text in one target."""

    index: int
    """of the text, from 0"""
    target_lang: str
    source_lang: str | None = None
    certainty: float | None = None
    translation: str | None = None
    quality: Quality | None = None
    error: ErrorDetail | None = None
    """why there is no translation; all others are not concerned"""


class BatchAnswer(Body):
    results: list[BatchItem]
    """each text in each target, in the order of the request"""
    failed: int
    """how many of them have an error"""


class ProgramLanguage(LanguageAnswer):
    text_from: bool
    """texts in it are translated"""
    text_into: bool
    """texts are translated into it"""


class Target(Body):
    code: str
    text: Quality | None
    """how well texts are translated into it; null: not at all"""
    speech: Quality | None
    """the same of speech"""


class LanguagesAnswer(Body):
    profile: str
    languages: list[ProgramLanguage]
    """best served first"""
    targets: list[Target] | None = None
    """of ``source``, if that was asked for"""


@dataclass(frozen=True, slots=True)
class _Known:
    """The language of a text."""

    code: str
    certainty: float | None = None


class TextDesk:
    """Takes what programs send to the engine's translator, so much at a time."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine, self._gate = engine, gate
        self._texts = Texts(engine)
        self._waiting = 0

    @property
    def texts(self) -> Texts:
        """Raises TransportError("starting")."""
        if not self._engine.ready:
            raise TransportError("starting", "The server is still starting. One moment, please.")
        return self._texts

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """In the line for the translator. Raises TransportError("busy")."""
        if self._waiting >= _MOST_WAITING:
            raise TryLater(
                "busy", "Too many texts are waiting to be translated. Try again soon.", _AGAIN_S
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def charge(self, request: Request, characters: int) -> None:
        """Count what is long as several of the key's requests."""
        if cost := characters // _COSTS:
            await self._gate.admit(request, "translate", cost=cost)

    async def languages(self, texts: Sequence[str], source: str) -> list[_Known | BabbleFishError]:
        """Of each text, given or told."""
        if source.strip().lower() != AUTO:
            return [_Known(languages.normalise(source))] * len(texts)
        found = await self.texts.identify(texts)
        return [_known(one) if isinstance(one, TextLanguage) else one for one in found]

    async def translate(self, body: TranslateBody, request: Request) -> TranslateAnswer:
        target, listed = languages.normalise(body.target_lang), _terms(body.glossary)
        (source,) = await self.languages([body.text], body.source_lang)
        if isinstance(source, BabbleFishError):
            raise source
        answer = TranslateAnswer(
            translation=body.text, source_lang=source.code, target_lang=target,
            quality="good", certainty=source.certainty,
        )  # fmt: skip
        if source.code == UNDETERMINED:
            return answer
        answer.quality = self.texts.quality(source.code, target)
        (said,) = await self.texts.translate(
            [body.text], source.code, target, glossary=listed, wanted=_listens(request)
        )
        if isinstance(said, BabbleFishError):
            raise said
        answer.translation = said
        return answer

    async def batch(self, body: BatchBody, request: Request) -> BatchAnswer:
        targets = list(dict.fromkeys(languages.normalise(code) for code in body.target_langs))
        listed = _terms(body.glossary)
        sources = await self.languages(body.texts, body.source_lang)
        items = {
            (index, target): _item(index, target, source)
            for index, source in enumerate(sources)
            for target in targets
        }
        groups: dict[tuple[str, str], list[int]] = {}
        for (index, target), item in items.items():
            if item.source_lang is None:
                continue
            item.translation, item.quality = body.texts[index], "good"
            if item.source_lang != UNDETERMINED:
                groups.setdefault((item.source_lang, target), []).append(index)
        for (source, target), indices in groups.items():
            await self._translate_group(
                body.texts, [items[i, target] for i in indices], source, target, listed, request
            )
        results = list(items.values())
        return BatchAnswer(results=results, failed=sum(one.error is not None for one in results))

    async def _translate_group(
        self, texts: Sequence[str], items: Sequence[BatchItem], source: str, target: str,
        listed: Sequence[str], request: Request,
    ) -> None:  # fmt: skip
        """items: of one source and one target."""
        try:
            quality = self.texts.quality(source, target)
            if not await _listens(request)():
                raise Abandoned
            said = await self.texts.translate(
                [texts[item.index] for item in items], source, target, glossary=listed,
                wanted=_listens(request),
            )  # fmt: skip
        except BabbleFishError as error:
            quality, said = None, [error] * len(items)
        for item, one in zip(items, said, strict=True):
            if isinstance(one, BabbleFishError):
                item.translation, item.quality, item.error = None, None, _detail(one)
            else:
                item.translation, item.quality = one, quality


def create_text_router(engine: Engine, gate: Gate, access: Access) -> APIRouter:
    router = APIRouter(tags=["programs"])
    desk = TextDesk(engine, gate)

    @router.post("/translate", responses=REFUSALS | _GONE)
    async def translate(
        body: TranslateBody, request: Request, caller: Caller = needs(gate, "translate")
    ) -> TranslateAnswer:
        """One text in another language. Line breaks stay. Without ``source_lang`` the language is
        told from the text; where that is not certain, the error “language_unclear” asks for it."""
        await desk.charge(request, len(body.text))
        held = gate.hold(caller) if len(body.text) > _LONG else contextlib.nullcontext()
        with held, desk.place():
            return await _unless_gone(desk.translate(body, request))

    @router.post("/translate/batch", responses=REFUSALS | _GONE)
    async def batch(
        body: BatchBody, request: Request, caller: Caller = needs(gate, "translate")
    ) -> BatchAnswer:
        """Many texts in many languages at once: quicker than one by one. What of it cannot be
        translated has an error of its own."""
        characters = sum(map(len, body.texts)) * len(body.target_langs)
        if characters > MOST_TOGETHER:
            raise TransportError(
                "too_long", f"A batch has at most {MOST_TOGETHER} characters, counted once for "
                "each target. Send it in parts.",
            )  # fmt: skip
        await desk.charge(request, characters)
        with gate.hold(caller), desk.place():
            return await _unless_gone(desk.batch(body, request))

    @router.get("/languages", responses={s: REFUSALS[s] for s in (422, 429, 503)})
    async def served(request: Request, source: Code | None = None) -> LanguagesAnswer:
        """What can be spoken, heard and translated here. source: also what speech and texts in
        that language are translated into. No key is needed."""
        access.hit("request", Access.address(request))
        return _languages(engine, desk.texts, source)

    return router


_GONE = {499: {"model": ErrorAnswer, "description": "The program hung up."}}


async def _unless_gone(work):
    try:
        return await work
    except Abandoned:
        raise TransportError("hung_up", "The program that asked is gone.") from None


def _listens(request: Request):
    async def still() -> bool:
        return not await request.is_disconnected()

    return still


def _languages(engine: Engine, texts: Texts, source: str | None) -> LanguagesAnswer:
    into = {target for targets in texts.pairs.values() for target in targets}
    offers = engine.languages()
    answer = LanguagesAnswer(
        profile=engine.profile_name,
        languages=[
            ProgramLanguage(
                **asdict(offer), text_from=offer.code in texts.pairs, text_into=offer.code in into
            )
            for offer in offers
        ],
    )
    if source is not None:
        code = languages.normalise(source)
        written = texts.pairs.get(code, {})
        spoken = engine.recogniser_capabilities.languages
        answer.targets = [
            Target(code=o.code, text=written.get(o.code), speech=speech)
            for o in offers
            if o.code != code
            and ((speech := engine.pair(code, o.code) if code in spoken else None)
                 or o.code in written)
        ]  # fmt: skip
    return answer


def _terms(listed: Sequence[str]) -> tuple[str, ...]:
    """Tidied by the rules of rooms. Raises RoomError("glossary")."""
    return terms("\n".join(" ".join(term.split()) for term in listed))


def _known(found: TextLanguage) -> _Known:
    if found.language == UNDETERMINED:
        return _Known(UNDETERMINED)
    return _Known(found.language, math.floor(found.certainty * 1000) / 1000)


def _item(index: int, target: str, source: _Known | BabbleFishError) -> BatchItem:
    if isinstance(source, BabbleFishError):
        return BatchItem(index=index, target_lang=target, error=_detail(source))
    return BatchItem(
        index=index, target_lang=target, source_lang=source.code, certainty=source.certainty
    )


def _detail(error: BabbleFishError) -> ErrorDetail:
    return ErrorDetail(code=error.code, message=error.message)
