"""Clauses spoken before their sentence is over, with scripted stages in real worker processes."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from babblefish.engine import clauses
from babblefish.protocol import Speech, Translation
from tests.patience import until
from tests.test_engine import process, utterance

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPOKEN = "[en] said 400 for 10"
"""what the scripted stages make of a second of 400 Hz"""


def partial(text: str) -> Translation:
    return Translation("u", "en", text, "basic", final=False)


async def foreseen(engine, text: str, voice: str | None = "en-1", pace: float = 1.0):
    foresight = engine.foresight(lambda language: pace)
    foresight.expect(partial(text), {"en": voice})
    return foresight


async def all_made(foresight) -> None:
    """Everything foreseen so far is spoken, or has failed."""
    guesses = [guess for group in foresight._foreseen.values() for guess in group]
    await until(lambda: all(guess.speech.done() for guess in guesses))


def calls(engine) -> int:
    return engine.synthesisers[0].stats.calls


async def spoken(engine, foresight, voice="en-1"):
    """Clauses spoken, and how many of them had to be synthesised for it."""
    before = calls(engine)
    messages = await process(engine, utterance(), {"en": voice}, foresight=foresight)
    return [m for m in messages if isinstance(m, Speech)], calls(engine) - before


async def test_a_foreseen_clause_is_not_synthesised_again_and_sounds_the_same(engine):
    plain, _ = await spoken(engine, None)
    foresight = await foreseen(engine, SPOKEN + " and on")
    first = clauses.split(SPOKEN + " and on", "en")[0].text
    await all_made(foresight)
    heard, made = await spoken(engine, foresight)
    assert heard[0].text == first and made == len(heard) - 1
    assert " ".join(s.text for s in heard) == " ".join(s.text for s in plain) == SPOKEN
    assert [s.clause for s in heard] == list(range(len(heard))) and heard[-1].last
    length = sum(len(s.audio.samples) for s in heard)
    assert abs(length - sum(len(s.audio.samples) for s in plain)) < 48000 * 0.3


async def test_one_still_being_made_is_waited_for(engine):
    foresight = await foreseen(engine, SPOKEN + " and on")
    before = calls(engine)
    heard, _ = await spoken(engine, foresight)
    assert calls(engine) - before == len(heard), "one of the calls is the foreseen one"


@pytest.mark.parametrize(
    "text, voice",
    [
        ("Something else was expected here", "en-1"),
        ("[en] saidings 400 for 10 and on", "en-1"),
        (SPOKEN + " and on", "en-2"),
    ],
    ids=["other words", "part of a word", "other voice"],
)
async def test_what_was_not_foreseen_is_never_heard(engine, text, voice):
    foresight = await foreseen(engine, text, voice)
    await all_made(foresight)
    heard, made = await spoken(engine, foresight)
    assert made == len(heard) and " ".join(s.text for s in heard) == SPOKEN


async def test_a_foreseen_clause_that_failed_is_said_after_all(engine, monkeypatch):
    monkeypatch.setattr(clauses, "FIRST_SECONDS", 1.5)
    # 6500 makes the scripted voice return what is no speech, and now is in the first clause
    foresight = engine.foresight(lambda language: 1.0)
    foresight.expect(partial("[en] said 6500 for a good while longer"), {"en": "en-1"})
    await all_made(foresight)
    found = foresight.find("[en] said 6500 for a good while longer", "en", "en-1")
    assert found is not None and not np.isfinite(found[0].speech.result()).all()
    messages = await process(engine, utterance(6500), {"en": "en-1"}, foresight=foresight)
    assert [m.code for m in messages if hasattr(m, "code")] == ["bad_output"]


async def test_a_text_that_is_hardly_a_clause_is_foreseen_up_to_its_last_word(engine):
    foresight = await foreseen(engine, "Very good nonsense.")
    await all_made(foresight)
    found = foresight.find("Very good something else altogether", "en", "en-1")
    assert found is not None and found[0].text == "Very good"


async def test_nothing_is_foreseen_for_readers_short_drafts_and_busy_voices(engine):
    before = calls(engine)
    await foreseen(engine, SPOKEN + " and on", voice=None)
    await foreseen(engine, "said")
    busy = asyncio.create_task(
        engine.synthesisers[0].call("synthesise", "being said", "en", "en-0", 1.0)
    )
    await asyncio.sleep(0)
    assert not engine.synthesisers[0].idle
    await foreseen(engine, SPOKEN + " and on")
    await busy
    await asyncio.sleep(0.1)
    assert calls(engine) - before == 1


async def test_the_guesses_for_one_utterance_are_bounded(engine):
    before = calls(engine)
    foresight = engine.foresight(lambda language: 1.0)
    for number in range(10):
        text = f"Number {number} begins in another way each time"
        foresight.expect(partial(text), {"en": "en-1"})
        foresight.expect(partial(text), {"en": "en-1"})
        await all_made(foresight)
    assert calls(engine) - before == 3


async def test_a_guess_that_proved_wrong_is_given_up(engine):
    """One that is right is kept, for the next attempt at the same utterance too."""
    right, wrong = SPOKEN + " and on", "Something else was expected here"
    foresight = await foreseen(engine, wrong)
    (guess,) = foresight._foreseen["en"]
    assert foresight.find(right, "en", "en-1") is None
    await asyncio.sleep(0)
    assert guess.given_up
    assert foresight.find(wrong, "en", "en-1") is None, "it was given up"
    await until(lambda: engine.synthesisers[0].idle)
    foresight.expect(partial(right), {"en": "en-1"})
    await all_made(foresight)
    assert foresight.find(wrong, "en", "en-1") is None
    found = foresight.find(right, "en", "en-1")
    assert found is not None and len(found[0].speech.result()), "finished ones cost nothing"


async def test_a_text_is_cut_after_its_given_first_clause():
    text = "The two others are located at the edge of the sea zone, far from here."
    parts = clauses.split_after(text, "The two others", "en")
    assert parts[0].text == "The two others" and len(parts) > 1
    assert " ".join(p.text for p in parts) == text
    assert clauses.split_after(text, "The two other", "en") == []
    assert clauses.split_after(text, "Two others", "en") == []
    assert [p.text for p in clauses.split_after("Yes.", "Yes.", "en")] == ["Yes."]
