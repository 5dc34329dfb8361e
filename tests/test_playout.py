"""One listener's playout, frame by frame, without a clock."""

from __future__ import annotations

import numpy as np

from rooms.playout import FRAME, FRAME_S, RATE, Playout


def listener(lag_budget=12.0, original_level=0.2):
    states = []
    playout = Playout(
        lambda utterance, state: states.append((utterance, state)),
        lag_budget=lag_budget, original_level=original_level,
    )  # fmt: skip
    return playout, states


def tone(seconds, amplitude=8000, hertz=440):
    t = np.arange(int(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def take(playout, seconds):
    return np.concatenate([playout.next_frame() for _ in range(round(seconds / FRAME_S))])


def test_silence_when_there_is_nothing_to_hear():
    playout, states = listener()
    assert not take(playout, 1.0).any() and states == []


def test_an_utterance_is_played_once_sample_for_sample():
    playout, states = listener()
    speech = tone(1.234)
    playout.open("a", 1.0)
    assert not take(playout, 0.1).any()
    playout.add("a", speech[:30_000], False)
    playout.add("a", speech[30_000:], True)
    heard = take(playout, 2.0)
    assert np.array_equal(heard[: len(speech)], speech) and not heard[len(speech) :].any()
    assert states == [("a", "playing"), ("a", "played")]


def test_a_late_clause_follows_without_loss():
    playout, _ = listener()
    playout.open("a", 1.0)
    playout.add("a", tone(0.5), False)
    first = take(playout, 1.0)
    playout.add("a", tone(0.5), True)
    second = take(playout, 1.0)
    assert np.array_equal(first[: RATE // 2], tone(0.5))
    assert np.array_equal(second[: RATE // 2], tone(0.5))


def test_promise_13_utterances_play_in_the_order_their_speakers_finished():
    playout, states = listener()
    playout.open("early", 1.0)
    playout.open("late", 2.0)
    playout.add("late", tone(0.3), True)
    assert not take(playout, 0.5).any(), "waits for the earlier one"
    playout.add("early", tone(0.3), True)
    take(playout, 2.0)
    assert [s for s in states if s[1] == "playing"] == [("early", "playing"), ("late", "playing")]


def test_an_utterance_that_never_comes_holds_up_nobody_for_long():
    playout, states = listener()
    playout.open("lost", 1.0)
    playout.open("ready", 2.0)
    playout.add("ready", tone(0.3), True)
    take(playout, 2.5)
    assert ("ready", "played") in states
    playout.finish("lost")
    assert states[-1] == ("lost", "skipped")


def test_a_backlog_shortens_pauses_and_asks_for_faster_speech():
    playout, _ = listener()
    assert playout.pace == 1.0
    for i in range(3):
        playout.open(str(i), float(i))
        playout.add(str(i), tone(2.0), True)
    assert playout.pace == 1.25
    heard = take(playout, 6.6)
    silent = (heard.reshape(-1, FRAME) == 0).all(axis=1)
    first_gap = silent[95:125].sum()
    assert 2 <= first_gap <= 5, "60 ms between utterances while behind"
    assert playout.pace == 1.0


def test_promise_8_beyond_the_budget_the_oldest_sound_is_skipped_and_said_so():
    playout, states = listener(lag_budget=3.0)
    playout.open("playing", 0.0)
    playout.add("playing", tone(5.0), True)
    take(playout, 0.5)
    for i in range(1, 4):
        playout.open(f"u{i}", float(i), ended_ago=0.0)
        playout.add(f"u{i}", tone(2.0), True)
    take(playout, 10.0)
    skipped = [u for u, s in states if s == "skipped"]
    played = [u for u, s in states if s == "played"]
    assert skipped == ["u1", "u2"] and played == ["playing", "u3"]
    assert playout.lag == 0.0 and playout.backlog == 0.0


def test_lag_counts_from_the_end_of_the_speech():
    playout, _ = listener()
    playout.open("a", 1.0, ended_ago=0.6)
    playout.add("a", tone(2.0), True)
    playout.open("b", 2.0, ended_ago=0.0)
    take(playout, 1.0)
    assert abs(playout.lag - 0.6) < 0.05, "what is being heard started 0.6 s late"
    playout.add("b", tone(1.0), True)
    assert abs(playout.lag - 1.0) < 0.05, "the next one has waited for a second"


def test_originals_are_full_for_those_who_understand_and_low_for_the_others():
    playout, _ = listener(original_level=0.2)
    voice = tone(2.0)
    levels = {}
    for understood in (True, False):
        out = []
        for i in range(100):
            frame = voice[i * FRAME : (i + 1) * FRAME]
            playout.originals.put("pierre", frame, understood)
            out.append(playout.next_frame())
        levels[understood] = np.abs(np.concatenate(out[50:]).astype(float)).max()
    assert abs(levels[True] - 8000) < 200 and abs(levels[False] - 1600) < 200


def test_originals_duck_further_under_a_translation():
    playout, _ = listener(original_level=0.2)
    playout.open("a", 1.0)
    playout.add("a", np.zeros(RATE, np.int16), True)
    voice, out = tone(1.0), []
    for i in range(50):
        playout.originals.put("pierre", voice[i * FRAME : (i + 1) * FRAME], False)
        out.append(playout.next_frame())
    assert abs(np.abs(np.concatenate(out[25:]).astype(float)).max() - 800) < 100


def test_promise_7_a_listener_who_takes_nothing_holds_a_bounded_amount():
    playout, _ = listener()
    for _ in range(1000):
        playout.originals.put("pierre", tone(FRAME_S), True)
    for i in range(500):
        playout.open(str(i), float(i))
        playout.add(str(i), tone(0.1), True)
    assert playout.originals.waiting <= 50
    assert playout.backlog < 10


def test_what_was_not_heard_before_a_short_break_is_heard_after_it():
    for away, state in ((3.0, "played"), (60.0, "skipped")):
        playout, states = listener()
        playout.open("a", 1.0)
        playout.add("a", tone(1.0), True)
        playout.resume(away)
        take(playout, 2.0)
        assert states[-1] == ("a", state)


def test_two_loud_voices_are_turned_down_rather_than_clipped():
    playout, _ = listener()
    loud = tone(1.0, amplitude=30000)
    peak = 0
    for i in range(50):
        for speaker in ("a", "b"):
            playout.originals.put(speaker, loud[i * FRAME : (i + 1) * FRAME], True)
        peak = max(peak, int(np.abs(playout.next_frame().astype(int)).max()))
    assert 28000 < peak <= 32000


def test_speech_gets_faster_when_much_waits_or_comes_late():
    playout, _ = listener()
    assert playout.pace == 1.0
    playout.open("a", 1.0)
    playout.add("a", tone(3.0), True)
    assert 1.0 < playout.pace < 1.2
    playout.open("b", 2.0)
    playout.add("b", tone(3.0), True)
    assert playout.pace >= 1.2
    late, _ = listener()
    late.open("a", 1.0, ended_ago=5.0)
    late.add("a", tone(0.5), True)
    assert late.pace > 1.0, "synthesised too late: nothing much waits, but it is behind"


def test_a_listener_expects_what_is_open_and_nothing_else():
    playout, _ = listener()
    playout.open("a", 1.0)
    assert playout.expects("a") and not playout.expects("b")
    playout.finish("a")
    assert not playout.expects("a")
