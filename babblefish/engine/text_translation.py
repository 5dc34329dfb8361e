"""Translates written texts, short or long: by the routes, the rules for terms and the pools of
rooms, a little at a time so that rooms never wait long.

Texts are cut into jobs of some sentences; line breaks, indentation and what says nothing stay as
they are. Knows no requests and no programs.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sentencex

from babblefish import languages
from babblefish.engine import term_protection, translations
from babblefish.engine.job_queue import Priority
from babblefish.engine.sentence_wise import UNSPACED, says
from babblefish.engine.text_language import UNDETERMINED, TextLanguage
from babblefish.errors import BabbleFishError, TranslationError
from babblefish.protocol import Quality

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

JOB = 300
"""characters that are translated at once, less than somebody says in half a minute"""
_LONGEST = 1500
"""of a sentence; longer ones are cut between words"""
_LINE = re.compile(r"(\r\n|[\n\r\v\f\x85\u2028\u2029])")
_NAMED = 12
"""languages that an error names at most"""


@dataclass(frozen=True, slots=True)
class Piece:
    """What of a text is translated together."""

    text: str


Layout = list[Piece | str]
"""a text as pieces, and what stands between them unchanged"""
Wanted = Callable[[], Awaitable[bool]]


class Abandoned(Exception):
    """Nobody waits for the translation any more."""


class Texts:
    """Text to text, by one engine that is ready."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pairs: dict[str, dict[str, Quality]] | None = None

    @property
    def pairs(self) -> dict[str, dict[str, Quality]]:
        """Source → targets and how well; best first."""
        if self._pairs is None:
            self._pairs = self._engine.abilities.written()
        return self._pairs

    def quality(self, source: str, target: str) -> Quality:
        """How well text in ``source`` is translated into ``target``.

        Raises TranslationError("pair") that names what is possible instead.
        """
        if source == target:
            return "good"
        into = self.pairs.get(source)
        if into and target in into:
            return into[target]
        if not self.pairs:
            raise TranslationError(
                "pair", "This server translates no text: install Apertium's dictionaries for it."
            )
        if into:
            raise TranslationError(
                "pair",
                f"Text in {_name(source)} cannot be translated into {_name(target)} here, but "
                f"into {named(into)}.",
            )
        raise TranslationError(
            "pair",
            f"Text in {_name(source)} cannot be translated here. Texts can be in "
            f"{named(sorted(self.pairs, key=_name))}.",
        )

    async def identify(self, texts: Sequence[str]) -> list[TextLanguage | BabbleFishError]:
        """The language of each text, or TranslationError("language_unclear") that asks for it.

        Raises WorkerError.
        """
        found = await self._engine.identify_texts(texts, self.pairs)
        return [self._checked(one) for one in found]

    def _checked(self, found: TextLanguage) -> TextLanguage | BabbleFishError:
        if found.certain or found.language == UNDETERMINED:
            return found
        return TranslationError(
            "language_unclear",
            f"It is not clear which language the text is in, perhaps {named(found.candidates)}. "
            "Say so as source_lang.",
        )

    async def translate(
        self, texts: Sequence[str], source: str, target: str, *, glossary: Sequence[str] = (),
        priority: Priority = Priority.BATCH, wanted: Wanted | None = None,
    ) -> list[str | BabbleFishError]:  # fmt: skip
        """Each text in ``target``, or why it could not be translated.

        glossary: names and terms that stay as they are. wanted: asked before every job but the
        first; where it says no, Abandoned is raised.
        """
        if source == target:
            return list(texts)
        layouts = [layout(text, source, target) for text in texts]
        pieces = dict.fromkeys(p.text for one in layouts for p in one if isinstance(p, Piece))
        said: dict[str, str | BabbleFishError] = {}
        for number, job in enumerate(_jobs(pieces, glossary)):
            if number and wanted is not None and not await wanted():
                raise Abandoned
            said |= await _translate_job(self._engine, job, source, target, glossary, priority)
        return [_assembled(one, said) for one in layouts]


def layout(text: str, source: str, target: str) -> Layout:
    """``text`` cut into pieces of at most some hundred characters, of whole sentences where
    possible, and what is between them."""
    space = "" if target in UNSPACED else " "
    found: Layout = []
    for part in _LINE.split(text.replace("\0", "")):
        body = part.strip()
        if not says(body):
            found.append(part)
            continue
        start = part.index(body)
        found.append(part[:start])
        for number, piece in enumerate(_pieces(body, source)):
            found += [space, Piece(piece)] if number else [Piece(piece)]
        found.append(part[start + len(body) :])
    return found


def _pieces(line: str, language: str) -> list[str]:
    if len(line) <= JOB:
        return [line]
    sentences = sentencex.segment(language, line)  # pyright: ignore[reportAttributeAccessIssue]
    found = [""]
    for sentence in sentences:
        for part in _parts(sentence):
            if len(found[-1]) + len(part) > JOB and found[-1]:
                found.append("")
            found[-1] += part
    return [piece.strip() for piece in found if piece.strip()]


def _parts(sentence: str) -> Iterable[str]:
    while len(sentence) > _LONGEST:
        cut = sentence.rfind(" ", 1, _LONGEST) + 1 or _LONGEST
        yield sentence[:cut]
        sentence = sentence[cut:]
    yield sentence


def _jobs(pieces: Iterable[str], glossary: Sequence[str]) -> Iterator[list[str]]:
    """Pieces that go to the translator together; those with terms alone."""
    job: list[str] = []
    for piece in pieces:
        alone = bool(glossary and term_protection.find(piece, glossary))
        if job and (alone or sum(map(len, job)) + len(piece) > JOB):
            yield job
            job = []
        if alone:
            yield [piece]
        else:
            job.append(piece)
    if job:
        yield job


async def _translate_job(
    engine: Engine, job: list[str], source: str, target: str, glossary: Sequence[str],
    priority: Priority,
) -> dict[str, str | BabbleFishError]:  # fmt: skip
    if len(job) > 1:
        try:
            answers = await engine.translate_together(job, source, target, priority)
            return dict(zip(job, answers, strict=True))
        except BabbleFishError:
            pass  # one of them may be the cause
    said: dict[str, str | BabbleFishError] = {}
    for piece in job:
        try:
            said[piece] = await translations.translate_text(
                engine, piece, source, target, glossary=glossary, priority=priority
            )
        except BabbleFishError as error:
            said[piece] = error
    return said


def _assembled(parts: Layout, said: dict[str, str | BabbleFishError]) -> str | BabbleFishError:
    found = []
    for part in parts:
        piece = said[part.text] if isinstance(part, Piece) else part
        if isinstance(piece, BabbleFishError):
            return piece
        found.append(piece.strip() if isinstance(part, Piece) else piece)
    return "".join(found)


def _name(code: str) -> str:
    return languages.english_name(code)


def named(codes: Iterable[str]) -> str:
    """Languages for a sentence: "English, French or Spanish"."""
    names = [_name(code) for code in codes]
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more: see /languages"
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
