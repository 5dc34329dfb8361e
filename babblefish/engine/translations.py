"""Which way a sentence takes into another language: what the recogniser is asked for, and how its
answer becomes text. Used for partial captions and final ones alike, so that they agree. Knows no
utterance's progress and no voices.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from babblefish.engine.routes import Route
from babblefish.engine.stages import Recognition, RecognitionRequest
from babblefish.engine.workers import Priority
from babblefish.errors import TranslationError
from babblefish.protocol import Utterance

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine

_SAME = 0.85
"""similarity from which a "translation" is the original; related languages stay below"""


def request(
    engine: Engine, utterance: Utterance, targets: Iterable[str], draft: bool = False
) -> RecognitionRequest:
    """Asks for speech translation only from the languages that some target needs it for."""
    known = engine.recogniser_capabilities.languages
    declared = utterance.language
    sources = known & {declared} if declared and utterance.language_fixed else known
    into: dict[str, set[str]] = {}
    for target in targets:
        for source in sources - {target}:
            route = engine.route(source, target)
            if route and route.kind != "text":
                into.setdefault(route.through or target, set()).add(source)
    when = frozenset().union(*into.values()) if into else None
    return RecognitionRequest(
        declared, utterance.language_fixed, tuple(sorted(into)), when, draft=draft
    )


async def translate(
    engine: Engine, heard: Recognition, target: str, priority: Priority
) -> tuple[str, Route]:
    """What was heard in ``target``, and the route that it took.

    Raises TranslationError("pair" | "bad_output"), WorkerError.
    """
    route = engine.route(heard.language, target)
    if route is None:
        raise TranslationError("pair", "This pair of languages cannot be translated yet.")
    return (await _along(engine, route, heard, target, priority)).strip(), route


async def _along(
    engine: Engine, route: Route, heard: Recognition, target: str, priority: Priority
) -> str:
    if route.kind == "text":
        return await engine.translate(heard.text, heard.language, target, priority)
    pivot = route.through or target
    text = heard.translations.get(pivot)
    if text is None or _is_untranslated(text, heard.text):
        if engine.translates_text(heard.language, target):
            return await engine.translate(heard.text, heard.language, target, priority)
        if text is None:
            raise TranslationError("bad_output", "The recogniser returned no translation.")
    if pivot == target:
        return text
    return await engine.translate(text, pivot, target, priority)


def _is_untranslated(text: str, original: str) -> bool:
    """Whether a recogniser asked to translate has merely written down what was said."""
    return difflib.SequenceMatcher(None, text.casefold(), original.casefold()).ratio() > _SAME
