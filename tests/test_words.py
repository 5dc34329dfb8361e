"""Words and their times, without a model: splitting, paths through attention, pauses, pieces."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.engine import word_alignment, word_splitting, word_timing, words
from babblefish.engine.engine import Engine
from babblefish.engine.job_queue import Priority
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import SPEECH_RATE, Alignment, StageSpec
from babblefish.errors import RecognitionError
from babblefish.protocol import Word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, it's 3.5 %!", ["Hello,", "it's", "3.5 %!"]),
        ("La mer « Jaune » ?", ["La", "mer", "« Jaune » ?"]),
        ("¿Qué? (no) …", ["¿Qué?", "(no) …"]),
        ("— Oui", ["— Oui"]),
        ("会议，九点。", ["会", "议，", "九", "点。"]),
        ("BabbleFishは「ソフトウェア」です", ["BabbleFish", "は", "「ソフトウェア」", "で", "す"]),
        ("เก้าโมง", ["เก้", "า", "โม", "ง"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
        ("… —", []),
        ("", []),
    ],
)
def test_words_are_cut_as_readers_see_them(text, expected):
    assert [text[s.start : s.end] for s in word_splitting.words(text)] == expected


def test_marks_are_not_spoken():
    text = "« Jaune » ?"
    (span,) = word_splitting.words(text)
    assert text[span.spoken_start : span.spoken_end] == "Jaune"


def test_the_path_follows_what_is_looked_at_and_never_goes_back():
    begun = [0, 10, 25, 26, 60]
    attention = np.full((3, 5, 80), 0.001, np.float32)
    for row, (start, end) in enumerate(zip(begun, [*begun[1:], 80], strict=True)):
        attention[:, row, start:end] = 0.1
    attention[0, 1, 70] = 5.0  # one head's outlier
    edges = word_alignment.token_edges(attention)
    assert edges[0] == 0 and (np.diff(edges) >= 0).all()
    assert np.abs(edges - begun).max() <= 2


def test_fewer_steps_than_tokens_still_have_an_order():
    edges = word_alignment.token_edges(np.random.default_rng(0).random((2, 9, 3)))
    assert (np.diff(edges) >= 0).all() and edges.max() < 3


def test_pauses_are_where_nobody_speaks_for_long_enough():
    voiced = np.array([0.1] * 10 + [0.9] * 5 + [0.1] * 2 + [0.9] * 5 + [0.0] * 10)
    first, last = word_timing.pauses(voiced, 1.0)
    assert first == (0.0, pytest.approx(0.32)) and last == (pytest.approx(0.704), 1.0)


def test_words_end_and_begin_where_pauses_do():
    starts, ends = word_timing.at_pauses(
        np.array([0.0, 0.9, 2.0]), np.array([0.8, 1.9, 2.5]), [(0.0, 0.4), (1.1, 1.7)], 2.7
    )
    assert starts == pytest.approx([0.4, 1.7, 2.0]) and ends == pytest.approx([1.1, 1.9, 2.7])
    starts, ends = word_timing.at_pauses(
        np.array([0.0, 1.3]), np.array([1.3, 2.0]), [(1.0, 1.2)], 2.0
    )
    assert (ends[0], starts[1]) == (pytest.approx(1.0), pytest.approx(1.2))


class Script:
    """Answers as told, and remembers what it was asked."""

    def __init__(self, *answers: Alignment | str) -> None:
        self.answers, self.asked = list(answers), []

    async def call(self, method, samples, text, language, whole, *, priority):
        assert method == "align" and priority is Priority.BATCH
        self.asked.append((len(samples) / SPEECH_RATE, text, whole))
        return self.answers.pop(0)


def recording(seconds: float, quiet: tuple[float, ...]) -> np.ndarray:
    sound = np.random.default_rng(2).normal(0, 0.1, int(seconds * SPEECH_RATE)).astype(np.float32)
    for at in quiet:
        sound[int((at - 0.2) * SPEECH_RATE) : int((at + 0.2) * SPEECH_RATE)] *= 0.01
    return sound


async def test_a_long_recording_is_done_in_pieces_that_end_where_it_is_quiet():
    script = Script(
        Alignment((Word("one", 1.0, 2.0, 0.5),), 4),
        Alignment((Word("two", 0.5, 1.0, 0.5), Word("three", 3.0, 4.0, 0.5)), 9),
    )
    found = await words.words(
        script, recording(40.0, (5.0, 23.0)), " one  two\nthree ", "en", Priority.BATCH
    )
    (first, text, whole), (second, rest, ended) = script.asked
    assert first == pytest.approx(23.0, abs=0.1) and first + second == pytest.approx(40.0)
    assert (text, whole, rest, ended) == ("one two three", False, "two three", True)
    assert [w.text for w in found] == ["one", "two", "three"]
    assert [w.start for w in found] == pytest.approx([1.0, first + 0.5, first + 3.0])


async def test_more_text_than_a_piece_can_hold_is_tried_in_shorter_ones():
    nothing, half = Alignment((), 0), Alignment((Word("a", 0.0, 1.0, 0.5),), 2)
    script = Script(nothing, half, nothing, Alignment((Word("b", 0.0, 1.0, 0.5),), 1))
    found = await words.words(script, recording(20.0, ()), "a b", "en", Priority.BATCH)
    assert [w.text for w in found] == ["a", "b"]
    assert [whole for *_, whole in script.asked] == [True, False, False, True]
    script = Script(nothing)
    assert await words.words(script, recording(9.0, ()), "a b", "en", Priority.BATCH) == ()


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        Alignment((Word("a", 2.0, 1.0, 0.5),), 1),
        Alignment((Word("a", 0.0, 99.0, 0.5),), 1),
        Alignment((Word("a", float("nan"), 1.0, 0.5),), 1),
        Alignment((Word("a", 0.0, 1.0, float("nan")),), 1),
        Alignment((Word("a", 0.0, 1.0, 0.5),), 100),
    ],
)
async def test_promise_9_garbage_is_no_word_times(garbage):
    with pytest.raises(RecognitionError) as error:
        await words.words(Script(garbage), recording(2.0, ()), "a", "en", Priority.BATCH)
    assert error.value.code == "bad_output"


def plan(stage: str) -> StagePlan:
    return StagePlan(StageSpec(f"tests.fake_stages:{stage}"))


async def test_the_engine_asks_a_stage_that_can_and_else_has_no_words():
    engine = Engine(
        Profile("words", plan("EnergyVad"), plan("DeafRecogniser"), None, (), plan("ToneEncoder"),
                plan("ToneRecogniser"))
    )  # fmt: skip
    await engine.start()
    try:
        sound = np.zeros(2 * SPEECH_RATE, np.float32)
        sound[SPEECH_RATE // 2 : SPEECH_RATE] = 0.3
        found = await engine.words(sound, "said 500 for", "en")
        assert [w.text for w in found] == ["said", "500", "for"]
        assert (found[0].start, found[-1].end) == pytest.approx((0.5, 1.0), abs=0.01)
        assert engine.times_words("en") and not engine.times_words("de")
        assert await engine.words(sound, "gesagt", "de") == ()
        assert (
            await engine.words(sound, " ", "en") == await engine.words(sound[:0], "a", "en") == ()
        )
    finally:
        await engine.close()
