"""Texts are taken apart into sentences and put together again."""

from __future__ import annotations

from babblefish.engine import sentence_wise
from babblefish.engine.sentence_wise import LONGEST, batches


def translate(texts, source="en", target="fr"):
    """Shouts each sentence; returns what came back, and the sentences."""
    asked = []

    def say(sentences):
        asked.extend(sentences)
        return {sentence: sentence.upper() for sentence in sentences}

    return sentence_wise.translate(texts, source, target, say, words), asked


def words(text):
    return max(len(text.split()), len(text) // 10)


def test_sentences_are_handed_over_once_and_lines_stay_lines():
    texts = ["Good day. Who are you?\n\n…\nGood day.", "", "🎉", "a\0b"]
    said, asked = translate(texts)
    assert said == ["GOOD DAY. WHO ARE YOU?\n\n…\nGOOD DAY.", "", "🎉", "AB"]
    assert sorted(asked) == ["Good day.", "Who are you?", "ab"]


def test_chinese_sentences_are_joined_without_blanks():
    assert translate(["Yes. No."], target="zh")[0] == ["YES.NO."]


def test_a_long_sentence_is_cut_at_marks_and_nothing_is_lost():
    clause = "the house is big, and where is the station"
    sentence = ", ".join([clause] * 40) + "."
    (said,), parts = translate([sentence])
    assert said == sentence.upper()
    assert all(words(part) <= LONGEST for part in parts)
    assert all(part.endswith((",", "station.")) for part in parts)
    unspaced = "".join(f"où{number}" for number in range(400))
    (said,), parts = translate([unspaced])
    assert said.replace(" ", "") == unspaced.upper() and len(parts) > 1


def test_batches_hold_what_is_alike_and_no_more_than_asked():
    found = batches([5, 1, 30, 2, 6, 29], lambda size: size, 60)
    assert found == [[1, 2, 5, 6], [29, 30]]
    assert batches([100], lambda size: size, 60) == [[100]]
    assert batches([], len, 60) == []
