"""Which way a sentence takes, and what is said about its quality."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babblefish.engine.apertium import ApertiumTranslator
from babblefish.engine.routes import Route, plan
from babblefish.engine.stages import RecogniserCapabilities, TranslatorCapabilities

RECOGNISER = RecogniserCapabilities(
    frozenset({"en", "es", "fr", "it", "pt", "de", "pl"}), frozenset({"en"}), 30.0
)
TRANSLATOR = TranslatorCapabilities(
    {("es", "en"): "basic", ("en", "es"): "basic", ("fr", "es"): "basic", ("es", "pt"): "good"}
)
RESULTS = Path(__file__).parents[1] / "bench" / "results" / "translation_routes.json"


@pytest.mark.parametrize(
    ("source", "target", "route"),
    [
        ("fr", "fr", Route("text", "good")),
        ("es", "en", Route("speech", "basic")),
        ("de", "en", Route("speech", "basic")),
        ("en", "es", Route("text", "basic")),
        ("fr", "es", Route("text", "basic")),
        ("es", "pt", Route("text", "good")),
        ("de", "es", Route("speech", "basic", through="en")),
        ("en", "de", None),
        ("de", "fr", None),
        ("tlh", "en", None),
    ],
)
def test_the_way_of_a_pair(source, target, route):
    assert plan(source, target, RECOGNISER, TRANSLATOR) == route


def test_without_a_text_translator_only_english_can_be_reached():
    assert plan("fr", "en", RECOGNISER, None) == Route("speech", "basic")
    assert plan("fr", "es", RECOGNISER, None) is None
    deaf = RecogniserCapabilities(RECOGNISER.languages, frozenset(), 30.0)
    assert plan("de", "es", deaf, TRANSLATOR) is None


def test_a_good_way_wins_over_a_basic_one():
    neural = TranslatorCapabilities({("es", "en"): "good", ("de", "fr"): "good"})
    assert plan("es", "en", RECOGNISER, neural) == Route("text", "good")
    assert plan("de", "fr", RECOGNISER, neural) == Route("text", "good")
    assert plan("fr", "en", RECOGNISER, neural) == Route("speech", "basic")
    heard = RecogniserCapabilities(RECOGNISER.languages, frozenset({"en", "pl"}), 30.0, "good")
    assert plan("es", "en", heard, neural) == Route("speech", "good"), "one encoding serves all"
    assert plan("de", "pl", heard, TRANSLATOR) == Route("speech", "good")


def test_routes_follow_the_committed_measurement():
    translator = ApertiumTranslator(warm=()).capabilities
    for row in json.loads(RESULTS.read_text()):
        text, speech = row["text_of_transcript"], row["speech"]
        route = plan(row["source"], row["target"], RECOGNISER, translator)
        if text is None and speech is None:
            assert route is None, row
        elif text is not None and speech is not None:
            assert route.kind == ("text" if text > speech else "speech"), row
