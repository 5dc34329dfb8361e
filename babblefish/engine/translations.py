"""Which way a sentence takes into another language: what the recogniser is asked for, and how its
answer becomes text. Used for partial captions and final ones alike, so that they agree. Knows no
utterance's progress and no voices.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from babblefish.engine import term_protection
from babblefish.engine.job_queue import Priority
from babblefish.engine.routes import Route
from babblefish.engine.stages import RecogniserCapabilities, Recognition, RecognitionRequest
from babblefish.errors import TranslationError
from babblefish.protocol import Utterance

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

_SAME = 0.85
"""similarity from which a "translation" is the original; related languages stay below"""


def request(
    engine: Engine, utterance: Utterance, targets: Iterable[str],
    able: RecogniserCapabilities, draft: bool = False,
) -> RecognitionRequest:  # fmt: skip
    """Asks for speech translation only from the languages that some target needs it for.

    able: of the recogniser that will be asked.
    """
    known = engine.recogniser_capabilities.languages
    declared = utterance.language
    sources = known & {declared} if declared and utterance.language_fixed else known
    sources = sources & set(utterance.among) if utterance.among else sources
    into: dict[str, set[str]] = {}
    for target in targets:
        for source in sources - {target}:
            route = engine.route(source, target)
            if route and route.kind != "text":
                into.setdefault(route.through or target, set()).add(source)
    when = frozenset().union(*into.values()) if into else None
    return RecognitionRequest(
        declared, utterance.language_fixed, tuple(sorted(into)), when, draft=draft,
        glossary=utterance.glossary if able.glossary else (), among=utterance.among,
        context=utterance.context,
    )  # fmt: skip


def spelt(heard: Recognition, glossary: Sequence[str]) -> Recognition:
    """What was heard, with the room's names and terms spelt as they are listed, in the
    recogniser's own translations too."""
    if not glossary:
        return heard
    text = term_protection.spelt(heard.text, glossary)
    said = term_protection.find(text, glossary)
    translations = {
        language: term_protection.repaired(translation, said)
        for language, translation in heard.translations.items()
    }
    return replace(heard, text=text, translations=translations)


async def translate(
    engine: Engine, heard: Recognition, target: str, glossary: Sequence[str], priority: Priority
) -> tuple[str, Route]:
    """What was heard in ``target``, with the terms of ``glossary`` as they are, and the route that
    it took.

    Raises TranslationError("pair" | "bad_output"), WorkerError.
    """
    route = engine.route(heard.language, target)
    if route is None:
        raise TranslationError("pair", "This pair of languages cannot be translated yet.")
    ask = partial(translate_text, engine, glossary=glossary, priority=priority)
    return (await _along(engine, route, heard, target, ask)).strip(), route


async def _along(
    engine: Engine, route: Route, heard: Recognition, target: str,
    ask: Callable[[str, str, str], Awaitable[str]],
) -> str:  # fmt: skip
    """ask: (text, source, target) → translation."""
    if route.kind == "text":
        return await ask(heard.text, heard.language, target)
    pivot = route.through or target
    text = heard.translations.get(pivot)
    if text is None or _is_untranslated(text, heard.text):
        if engine.translates_text(heard.language, target):
            return await ask(heard.text, heard.language, target)
        if text is None:
            raise TranslationError("bad_output", "The recogniser returned no translation.")
    if pivot == target:
        return text
    return await ask(text, pivot, target)


async def translate_text(
    engine: Engine, text: str, source: str, target: str, *, glossary: Sequence[str],
    priority: Priority,
) -> str:  # fmt: skip
    """Text to text, with terms as they are: the translator is asked again if one does not come
    out. Raises TranslationError("pair" | "bad_output"), WorkerError."""
    terms = term_protection.find(text, glossary)
    if not terms or engine.translator is None:
        return await engine.translate(text, source, target, priority)
    stand_ins = engine.translator.capabilities.stand_ins
    plain = None
    if not stand_ins:  # it knows the sentence best as it is
        plain = term_protection.repaired(
            await engine.translate(text, source, target, priority), terms
        )
        if not term_protection.missing(plain, terms):
            return plain
    for words in filter(None, (stand_ins, term_protection.UNKNOWN_WORDS)):
        masked = term_protection.mask(text, terms, words)
        if masked is not None:
            translated = await engine.translate(masked.text, source, target, priority)
            restored = masked.restored(translated)
            if restored is not None:
                return restored
    if plain is None:
        plain = await engine.translate(text, source, target, priority)
    return term_protection.repaired(plain, terms)


def _is_untranslated(text: str, original: str) -> bool:
    """Whether a recogniser asked to translate has merely written down what was said."""
    return difflib.SequenceMatcher(None, text.casefold(), original.casefold()).ratio() > _SAME
