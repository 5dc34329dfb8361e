"""The segmenter, frame by frame, without audio."""

from __future__ import annotations

import itertools
import random

from babblefish.engine.segmenter import (
    Discarded,
    Draft,
    Ended,
    Paused,
    Resumed,
    Segmenter,
    SegmenterSettings,
    Started,
)

S = SegmenterSettings()
FRAME = S.frame_samples / S.rate


def run(segmenter: Segmenter, *stretches: tuple[float, float]):
    """Push stretches of (probability, seconds); every decision with the second it was made."""
    out = []
    for probability, seconds in stretches:
        for _ in range(round(seconds / FRAME)):
            level = 0.1 * probability + 0.001
            out += [(segmenter.position / S.rate, d) for d in segmenter.push(probability, level)]
    return out


def kinds(decisions):
    return [type(d) for _, d in decisions if not isinstance(d, Draft)]


def test_one_sentence_starts_pauses_and_ends():
    decisions = run(Segmenter(), (0, 1.0), (0.9, 2.0), (0, 2.0))
    assert kinds(decisions) == [Started, Paused, Ended]
    started, ended = decisions[0][1], decisions[-1][1]
    assert started.start <= 1.0 * S.rate - 0.3 * S.rate, "first syllables keep their pre-roll"
    assert abs(ended.voiced_end / S.rate - 3.0) < 2 * FRAME
    assert ended.end > ended.voiced_end
    silence = decisions[-1][0] + FRAME - ended.voiced_end / S.rate
    assert S.endpoint_s <= silence + FRAME / 2 and silence < S.endpoint_s + 3 * FRAME


def test_a_pause_is_reported_early_and_covers_what_is_ended():
    decisions = run(Segmenter(), (0, 0.5), (0.9, 1.5), (0, 2.0))
    at, paused = next((t, d) for t, d in decisions if isinstance(d, Paused))
    ended = decisions[-1][1]
    assert at - 2.0 <= S.pause_s + 2 * FRAME
    assert (paused.start, paused.voiced_end) == (ended.start, ended.voiced_end)


def test_a_complete_sentence_ends_sooner():
    segmenter = Segmenter()
    run(segmenter, (0, 0.5), (0.9, 1.5), (0, 0.2))
    segmenter.hint(complete=True)
    at, ended = run(segmenter, (0, 1.0))[-1]
    assert isinstance(ended, Ended)
    assert at - 2.0 < S.endpoint_complete_s + 3 * FRAME


def test_a_short_pause_inside_a_sentence_does_not_cut_it():
    decisions = run(Segmenter(), (0, 0.5), (0.9, 1.0), (0, 0.35), (0.9, 1.0), (0, 2.0))
    assert kinds(decisions) == [Started, Paused, Resumed, Paused, Ended]
    assert decisions[-1][1].voiced_end / S.rate > 2.7


def test_a_click_is_discarded_and_a_short_word_is_not():
    assert kinds(run(Segmenter(), (0, 0.5), (0.9, 0.1), (0, 1.5))) in ([], [Started, Discarded])
    short = run(Segmenter(), (0, 0.5), (0.9, 0.25), (0, 1.5))
    assert kinds(short) == [Started, Paused, Ended]


def test_promise_24_talk_without_a_pause_is_split_at_the_quietest_moment():
    segmenter = Segmenter()
    talk = [(0.95, 10.0), (0.55, FRAME * 3), (0.95, 50.0), (0, 2.0)]
    ended = [d for _, d in run(segmenter, (0, 0.5), *talk) if isinstance(d, Ended)]
    assert len(ended) >= 5
    assert all(e.forced for e in ended[:-1]) and not ended[-1].forced
    assert abs(ended[0].end / S.rate - 10.55) < 0.15, "split in the dip at 10.5 s"
    assert all((e.end - e.start) / S.rate <= S.max_s + FRAME for e in ended)
    for before, after in itertools.pairwise(ended):
        assert after.start == before.end, "nothing is lost or said twice at a split"
    assert ended[-1].voiced_end / S.rate > 60


def test_drafts_come_early_and_then_regularly():
    drafts = [(t, d) for t, d in run(Segmenter(), (0, 1.0), (0.9, 4.0)) if isinstance(d, Draft)]
    assert drafts[0][0] - 1.0 <= 0.8
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(drafts)]
    assert len(drafts) >= 4 and max(gaps) <= S.draft_every_s + 2 * FRAME


def test_a_speaker_who_was_cut_off_gets_more_patience():
    segmenter = Segmenter()
    halting = [(0.9, 1.0), (0, S.endpoint_s + 0.15)] * 6
    ended = [d for _, d in run(segmenter, (0, 0.5), *halting) if isinstance(d, Ended)]
    assert 1 <= len(ended) <= 3, "after a cut or two, the six stretches stay together"


def test_closing_the_microphone_ends_the_utterance_at_once():
    segmenter = Segmenter()
    run(segmenter, (0, 0.5), (0.9, 1.0))
    (ended,) = segmenter.flush()
    assert isinstance(ended, Ended)
    assert not segmenter.speaking and segmenter.flush() == []


def test_any_input_keeps_ranges_ordered_and_disjoint():
    for seed in range(40):
        rng = random.Random(seed)
        segmenter = Segmenter()
        probability, ended, open_ = 0.0, [], 0
        for _ in range(3000):
            probability = min(1.0, max(0.0, probability + rng.gauss(0, 0.25)))
            for d in segmenter.push(probability, rng.random() * 0.1):
                open_ += isinstance(d, Started)
                if isinstance(d, (Ended, Discarded)):
                    open_ -= 1
                if isinstance(d, Ended):
                    ended.append(d)
                assert open_ in (0, 1)
            assert segmenter.keep_from <= segmenter.position
        for before, after in itertools.pairwise(ended):
            assert before.start < before.end <= after.start


def test_a_voice_that_fell_silent_is_a_pause_even_if_the_model_is_slow_to_let_go():
    segmenter, silent = Segmenter(), None
    for i in range(120):
        talking = i < 60
        probability = 0.9 if i < 75 else 0.0
        for decision in segmenter.push(probability if i > 20 else 0.0, 0.1 if talking else 0.002):
            if isinstance(decision, Paused):
                silent = i
    assert silent is not None and silent <= 60 + S.pause_s / FRAME + 1


def test_no_partial_caption_is_begun_while_a_word_dies_away():
    segmenter = Segmenter()
    decisions = []
    for frame in range(round(4 / FRAME)):
        loud = frame * FRAME < 1.9 or frame * FRAME > 2.4
        decisions += segmenter.push(0.9, 0.1 if loud else 0.02)
    drafts = [d.end / S.rate for d in decisions if isinstance(d, Draft)]
    assert len(drafts) >= 3 and not any(1.95 < at < 2.4 for at in drafts)
    assert any(2.4 <= at < 2.5 for at in drafts), "made up for as soon as the voice is clear"


def decide(*stretches: tuple[float, float, float]):
    """Decisions on stretches of (probability, level, seconds)."""
    segmenter = Segmenter()
    return [
        decision
        for probability, level, seconds in stretches
        for _ in range(round(seconds / FRAME))
        for decision in segmenter.push(probability, level)
    ]


def starts(*stretches: tuple[float, float, float]) -> list[float]:
    """Seconds at which utterances start."""
    return [d.start / S.rate for d in decide(*stretches) if isinstance(d, Started)]


def test_a_quiet_voice_that_is_believed_late_keeps_its_first_words():
    believed = starts((0, 0.0003, 3.0), (0.3, 0.01, 0.2), (0.2, 0.0003, 0.1), (0.3, 0.01, 0.3),
                      (0.8, 0.01, 1.0))  # fmt: skip
    assert len(believed) == 1 and 3.0 - S.pre_roll_s - 3 * FRAME < believed[0] < 3.0 - 0.3


def test_noise_before_a_voice_is_not_taken_for_its_beginning():
    (steady,) = starts((0, 0.02, 3.0), (0.9, 0.1, 1.0))
    (earlier,) = starts((0, 0.0003, 1.0), (0.1, 0.1, 1.0), (0, 0.0003, 1.0), (0.9, 0.1, 1.0))
    assert min(steady, earlier) > 3.0 - S.pre_roll_s - 2 * S.onset_s


def test_no_sound_belongs_to_two_utterances():
    speech, hum = (0.9, 0.1, 1.0), (0.1, 0.02, S.endpoint_s + 0.05)
    decisions = decide((0, 0.0003, 2.0), speech, hum, speech)
    first, second = (d.start for d in decisions if isinstance(d, Started))
    (end,) = (d.end for d in decisions if isinstance(d, Ended))
    assert first < end <= second
