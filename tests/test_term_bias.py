"""What a recogniser expects to hear: the tree of terms, and Whisper with it on real speech."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.audio import resample
from babblefish.engine.beam_search import search
from babblefish.engine.kokoro import KokoroSynthesiser
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.engine.term_bias import Expecting, Terms, Weights
from tests import read_aloud, sounds

END, SPACE_A, B, C, SPACE_D, E = range(6)
INSIDE = np.array([False, False, True, True, False, True])
"""token numbers; those that go on with a word"""
GLOSSARY = (
    "Zyrianova", "Kowalczyk", "Okonkwo", "Siobhan", "Thibault", "Mnemosyne", "BabbleFish", "Marek",
    "Szymon", "Xochitl", "Dan", "Anna", "ISO 27001", "PostgreSQL", "Nguyen", "Hassan al-Rashid",
)  # fmt: skip
SAID = [
    ("en", "We use BabbleFish for every meeting with Kowalczyk.", ("BabbleFish", "Kowalczyk")),
    ("en", "Please send the contract to Siobhan before Okonkwo leaves.", ("Siobhan", "Okonkwo")),
    ("fr", "Bonjour, je suis Marek et voici Zyrianova de la comptabilité.", ("Zyrianova",)),
    ("fr", "Hier, Thibault a présenté les résultats de Mnemosyne.", ("Thibault", "Mnemosyne")),
]


def terms(*texts, begins=1.0, continues=2.0):
    return Terms(texts, INSIDE, Weights(begins, continues))


def test_a_term_is_worth_something_from_its_first_token_on():
    found = terms((SPACE_A, B, C))
    assert found.given((SPACE_A,)) == 1.0
    assert found.given((SPACE_A, B)) == 3.0
    assert found.given((SPACE_D, SPACE_A, B, C)) == 5.0
    assert found.worth((SPACE_D,), SPACE_A) == 1.0 and found.worth((SPACE_D,), B) == 0.0


def test_what_only_began_like_a_term_gives_everything_back():
    found = terms((SPACE_A, B, C))
    assert found.given((SPACE_A, B, SPACE_D)) == 0.0
    assert found.given((SPACE_A, B, END)) == 0.0
    assert found.given((SPACE_A, B, SPACE_A, B, C)) == 5.0, "and may begin again"


def test_a_longer_word_that_contains_a_term_is_not_the_term():
    found = terms((SPACE_A, B))
    assert found.given((SPACE_A, B, E)) == 0.0
    assert found.given((SPACE_A, B, SPACE_D)) == found.given((SPACE_A, B, END)) == 3.0


def test_a_term_inside_a_longer_one_keeps_what_it_got():
    found = terms((SPACE_A, B), (SPACE_A, B, SPACE_D, E))
    assert found.given((SPACE_A, B, SPACE_D, SPACE_A)) == 3.0 + 1.0
    assert found.given((SPACE_A, B, SPACE_D, E, END)) == 7.0


def test_saying_a_term_again_is_worth_nothing_or_loops_would_be():
    found = terms((SPACE_A, B), (SPACE_D, E))
    once = found.given((SPACE_A, B))
    assert found.given((SPACE_A, B, SPACE_A, B)) == once
    assert found.given((SPACE_A, B, SPACE_D, E)) == 2 * once


class Scripted:
    """Proposes the three likeliest tokens of a fixed distribution, whatever was said."""

    def __init__(self, rows: int) -> None:
        likely = {SPACE_D: 0.4, SPACE_A: 0.2, END: 0.19, E: 0.15, C: 0.05, B: 0.01}
        self._every = np.tile(np.log([likely[t] for t in range(6)]), (rows, 1))
        self.best_tokens = np.argsort(-self._every, axis=1)[:, :3]
        self.best_scores = np.take_along_axis(self._every, self.best_tokens, 1)

    def scores(self):
        return self._every


class ScriptedWriter:
    def begin(self):
        return Scripted(1)

    def go_on(self, rows, texts):
        return Scripted(len(texts))


def test_an_unlikely_token_that_continues_a_term_is_found():
    expecting = Expecting(ScriptedWriter(), terms((SPACE_A, B), begins=3.0, continues=4.0))
    (found,) = search(expecting, [4], end=END, beam=1)
    assert found.tokens[:2] == [SPACE_A, B]
    (usual,) = search(ScriptedWriter(), [4], end=END, beam=1)
    assert SPACE_A not in usual.tokens


@pytest.fixture(scope="module")
def said(weights_dir):
    kokoro = KokoroSynthesiser(weights_dir)
    found = []
    for language, text, names in SAID:
        voice = kokoro.capabilities.voices[language][0]
        spoken = kokoro.synthesise(text, language, voice, 1.0)
        found.append((language, names, resample(spoken, PLAYOUT_RATE, SPEECH_RATE)))
    return found


def test_uncommon_names_are_heard_where_they_are_expected(whisper, said):
    assert whisper.capabilities.glossary

    def right(glossary: tuple[str, ...], draft: bool = False) -> int:
        texts = [
            whisper.transcribe(s, RecognitionRequest(lang, draft=draft, glossary=glossary)).text
            for lang, _, s in said
        ]
        return sum(
            n in text for text, (_, names, _) in zip(texts, said, strict=True) for n in names
        )

    assert right(()) <= 3
    assert right(GLOSSARY) >= 6, "of seven"
    assert right(GLOSSARY, draft=True) >= 5, "partial captions, too"


def test_names_that_nobody_says_change_nothing(whisper, weights_dir):
    for clip in read_aloud.speech(weights_dir)[:8]:
        if not clip.transcript or clip.seconds > 8:
            continue
        without = whisper.transcribe(clip.samples, RecognitionRequest(clip.language))
        request = RecognitionRequest(clip.language, glossary=GLOSSARY)
        found = whisper.transcribe(clip.samples, request)
        assert not any(term in found.text for term in GLOSSARY), found.text
        assert abs(found.confidence - without.confidence) < 0.1


@pytest.mark.parametrize(("name", "sound"), sounds.non_speech().items())
def test_promise_23_no_expected_name_is_heard_where_nobody_speaks(whisper, name, sound):
    request = RecognitionRequest("en", translate_into=("en",), glossary=GLOSSARY)
    assert whisper.transcribe(sound, request).text == ""
