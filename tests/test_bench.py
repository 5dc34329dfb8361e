"""The benchmark's own arithmetic: figures, matching, where a voice ends, what a listener got."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from babblefish.errors import AudioError
from babblefish.protocol import Caption, Speaking, Voicing
from babblefish.settings import Settings
from babblefish.ui.sound import FRAME, SILENT_PACKET, OpusEncoder
from bench import latency, measures, report, sounds
from bench.client import Phone, Recording, _Mouth
from bench.clips import RATE, Clip, speech_range, voiced_bounds
from bench.conversation import Turn, observe
from bench.run import FULL, Bench
from bench.server import Meter, RoomLink

REQUIRED = (
    "speech_end_to_audio_s", "speech_end_to_caption_s", "first_partial_s",
    "baseline_speech_end_to_audio_s", "lost", "doubled", "wer", "chrf", "cpu_percent",
    "peak_rss_mb",
)  # fmt: skip


def tone(seconds: float, level: float = 0.3) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * 220 * t)).astype(np.float32)


def quiet(seconds: float, level: float = 1e-4) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, level, int(seconds * RATE))
    return noise.astype(np.float32)


def clip(transcript: str | None = "one two three four") -> Clip:
    samples = np.concatenate([quiet(0.5), tone(1.0), quiet(0.5)])
    return Clip("clip", "en", samples, transcript, {"es": "uno dos tres"}, (0.5, 1.5))


# --- figures --------------------------------------------------------------------------------


def test_a_summary_of_nothing_is_not_zero():
    assert measures.summary([]) == {"p50": None, "p95": None, "n": 0}
    assert measures.summary([None, None])["p50"] is None


def test_a_summary_leaves_out_what_never_came():
    assert measures.summary([1.0, None, 3.0]) == {"p50": 2.0, "p95": 2.9, "n": 2}


def test_growth_is_per_minute_and_ignores_one_slow_turn():
    times = [0.0, 10.0, 20.0, 30.0, 40.0]
    assert measures.growth_per_minute(times, [1.0, 1.1, 1.2, 1.3, 1.4]) == pytest.approx(0.6)
    assert measures.growth_per_minute(times, [1.0, 1.0, 9.0, 1.0, 1.0]) == 0.0
    assert measures.growth_per_minute([0.0, 1.0], [1.0, 2.0]) is None


def test_a_ratio_needs_both_sides():
    assert measures.ratio(6.0, 2.0) == 3.0
    assert measures.ratio(None, 2.0) is None
    assert measures.ratio(6.0, None) is None


# --- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Today, only platforms 1 and 3!", "en", "today only platforms 1 and 3"),
        ("6 × 10 = 60, not 600,000.", "en", "6 times 10 equals 60 not 600000"),
        ("Mon chiffre : 3 061.", "fr", "mon chiffre 3061"),
        ("L’été, qu'est-ce ?", "fr", "l'été qu'est ce"),
        ("¿12 %?", "es", "12 por ciento"),
        ("  …  ", "en", ""),
    ],
)
def test_words_are_compared_without_punctuation(text, language, expected):
    assert measures.words(text, language) == expected.split()


def test_word_errors_add_up_over_clips():
    errors = measures.word_errors("one two three", "one three") + measures.word_errors("a", "a b")
    assert (errors.errors, errors.of, errors.rate) == (2, 4, 0.5)
    assert measures.word_errors("one two", "").rate == 1.0
    assert measures.WordErrors().rate is None


def test_chrf_of_nothing_is_unknown():
    assert measures.chrf([]) is None
    assert measures.chrf([("the same", "the same")]) == 100.0


def test_a_clip_said_once_is_neither_lost_nor_doubled_nor_cut():
    found = measures.match("one two three four", ["One, two.", "Three four."])
    assert (found.lost, found.doubled, found.cut, found.errors.errors) == (False, False, False, 0)


@pytest.mark.parametrize("captions", [[], [""], ["something else entirely"]])
def test_a_clip_without_its_words_is_lost(captions):
    found = measures.match("one two three four", captions)
    assert found.lost and not found.cut


def test_a_clip_recognised_badly_is_not_lost():
    found = measures.match("un homenaje era necesario", ["uno menachia era necesaria"], "es")
    assert not found.lost and found.errors.errors == 3


def test_a_clip_captioned_twice_is_doubled():
    assert measures.match("one two three four", ["one two three four"] * 2).doubled
    assert measures.match("one two three four", ["one two three", "one two three four"]).doubled


def test_only_a_missing_first_word_is_cut():
    assert measures.match("one two three four", ["two three four"]).cut
    assert not measures.match("one two three four", ["won two three four"]).cut
    assert not measures.match("one two three four", ["one two three"]).cut


# --- where a voice begins and ends ----------------------------------------------------------


def test_the_voice_ends_with_its_last_loud_sample():
    samples = np.concatenate([quiet(0.5), tone(1.0), quiet(0.7)])
    assert voiced_bounds(samples, (0.4, 1.7)) == pytest.approx((0.5, 1.5), abs=0.011)


def test_a_click_outside_the_speech_is_not_voice():
    samples = np.concatenate([quiet(0.5), tone(1.0), quiet(0.7)])
    samples[int(2.0 * RATE) : int(2.0 * RATE) + 200] = 0.5
    assert voiced_bounds(samples, (0.45, 1.6))[1] == pytest.approx(1.5, abs=0.011)


def test_a_noisy_room_is_not_voice():
    samples = np.concatenate([quiet(0.5, 0.01), tone(1.0), quiet(0.7, 0.01)])
    assert voiced_bounds(samples, (0.4, 1.8)) == pytest.approx((0.5, 1.5), abs=0.011)


def test_a_clip_without_speech_has_no_end():
    with pytest.raises(AudioError):
        voiced_bounds(quiet(1.0), (0.0, 0.0))


def test_speech_reaches_from_the_first_frame_to_the_last():
    assert speech_range([0.1, 0.9, 0.2, 0.9, 0.1], 0.1) == pytest.approx((0.1, 0.4))
    assert speech_range([0.1, 0.2]) == (0.0, 0.0)


def test_a_varied_clip_keeps_its_voice_and_is_never_clipped():
    original = clip()
    for seed in range(5):
        varied = original.varied(seed)
        begin = varied.voiced[0]
        assert voiced_bounds(varied.samples, (begin - 0.1, begin + 1.1)) == pytest.approx(
            varied.voiced, abs=0.02
        )
        assert np.abs(varied.samples).max() < 1.0


def test_what_is_sent_is_48_khz_and_starts_silent():
    sent = clip().sent()
    assert sent.dtype == np.int16 and len(sent) == 2 * 48_000 and sent[0] == 0


def test_sounds_without_speech_last_and_stay_in_range():
    for name, sound in sounds.no_speech(2.0).items():
        assert len(sound) == 2 * RATE and np.abs(sound).max() <= 1.0, name
    assert not sounds.no_speech(1.0)["silence"].any()


# --- a phone and what it got ----------------------------------------------------------------


async def test_a_microphone_knows_when_its_first_sample_was_made():
    mouth = _Mouth(hisses=False)
    await mouth.next_frame()
    spoken = mouth.say(np.full(FRAME + 10, 1000, np.int16))
    before = time.monotonic()
    first, second, third = [await mouth.next_frame() for _ in range(3)]
    assert before - 0.02 <= spoken.begun <= before + 0.02
    assert first.all() and second[:10].all() and not second[10:].any() and not third.any()
    assert spoken.finished.is_set()


async def record(parts: list[np.ndarray]) -> Recording:
    """As if each 20 ms frame arrived 20 ms after the one before, from moment 0 on."""
    recording, encoder = Recording(), OpusEncoder()
    for number, part in enumerate(parts):
        packet = SimpleNamespace(timestamp=number * FRAME, _data=encoder.encode(part))
        recording.add(packet)
        recording._packets[-1] = (number * 0.02, number * FRAME, packet._data)
    return recording


def frames(count: int, level: float) -> list[np.ndarray]:
    wave = level * 32767 * np.sin(2 * np.pi * 300 * np.arange(count * FRAME) / 48_000)
    return list(wave.astype(np.int16).reshape(count, FRAME))


async def test_the_first_sound_is_found_to_the_frame():
    recording = await record([*frames(50, 0.0), *frames(50, 0.3), *frames(50, 0.0)])
    assert recording.first_sound(0.0, 10.0) == pytest.approx(1.0, abs=0.03)
    assert recording.first_sound(2.2, 10.0) is None
    assert recording.seconds_audible(0.0, 10.0) == pytest.approx(1.0, abs=0.1)
    assert recording.longest_gap(0.0, 3.5) == pytest.approx(0.52, abs=0.001)
    assert SILENT_PACKET in [data for _, _, data in recording._packets]


def phone(hears: str, member: str) -> Phone:
    made = Phone("http://localhost", RoomLink("code", "token"), "Name", "en", hears)
    made.member = member
    return made


def caption(utterance: str, text: str, ended: float, final: bool = True, **more) -> Caption:
    unix = time.time() - time.monotonic()
    return Caption(
        utterance, "a", "A", 0, text, "es", "ltr", final, original_text="one two three four",
        translated=True, synthetic=True, at=ended + unix, **more,
    )  # fmt: skip


async def turn_of(*events) -> tuple[Turn, Phone]:
    """A clip spoken at moment 0 (voiced from 0.5 to 1.5) and a listener with its events."""
    listener = phone("es", "b")
    listener.events = list(events)
    listener.recording = await record([*frames(120, 0.0), *frames(50, 0.3), *frames(30, 0.0)])
    return Turn(clip(), phone("en", "a"), 0.0, until=6.0), listener


async def test_moments_are_counted_from_the_voice():
    turn, listener = await turn_of(
        (0.6, Speaking("a", True)),
        (1.1, caption("u", "uno", 1.0, final=False)),
        (1.9, Speaking("a", False)),
        (2.1, caption("u", "uno dos tres", 1.5)),
        (2.4, Voicing("u", "playing")),
        (3.4, Voicing("u", "played")),
    )
    seen = observe(turn, listener)
    assert seen.to_partial == pytest.approx(0.6)
    assert seen.to_end == pytest.approx(0.4)
    assert seen.to_caption == pytest.approx(0.6)
    assert seen.to_sound == pytest.approx(0.9, abs=0.03)
    assert seen.texts == ["one two three four"] and seen.translated == ["uno dos tres"]
    live = latency.Live([seen], [seen])
    result = latency.completeness(live, {"clip": "one two three four"})
    assert (result["lost"], result["doubled"], result["cut_first_words"]) == (0, 0, 0)
    assert result["wer"] == 0.0


async def test_a_caption_never_spoken_counts_as_lost_and_a_second_playing_as_doubled():
    silent = observe(*await turn_of((2.1, caption("u", "uno dos tres", 1.5))))
    assert silent.to_sound is None and silent.to_caption == pytest.approx(0.6)
    twice = observe(
        *await turn_of(
            (2.1, caption("u", "uno dos tres", 1.5)),
            (2.4, Voicing("u", "playing")),
            (2.9, Voicing("u", "playing")),
            (3.4, Voicing("u", "played")),
        )
    )
    result = latency.completeness(
        latency.Live([silent, twice], [silent, twice]), {"clip": "one two three four"}
    )
    assert (result["utterances"], result["lost"], result["doubled"]) == (2, 1, 1)


async def test_what_others_say_or_said_later_is_not_this_turn():
    turn, listener = await turn_of(
        (2.1, caption("u", "uno dos tres", 1.5)), (7.5, caption("v", "cuatro", 7.0))
    )
    assert [c.utterance for c in observe(turn, listener).captions] == ["u"]


# --- reports --------------------------------------------------------------------------------


def test_what_was_not_measured_is_null_and_said_so(tmp_path):
    bench = Bench(Settings(weights_dir=tmp_path), FULL)
    bench.figures = {"date": "today", "machine": report.machine()}
    assert bench._attempt("room", lambda: 1 / 0) is None
    bench._sum_up()
    figures = {**bench.figures, "failed": bench.failed}
    for key in REQUIRED:
        assert figures[key] is None or figures[key]["p50"] is None, key
    text = report.table(figures)
    assert "FAILED: room: ZeroDivisionError" in text and "–" in text
    report.write_json(figures, tmp_path / "out" / "bench.json")
    assert (tmp_path / "out" / "bench.json").read_text().count("null") > len(REQUIRED)


def test_the_picture_is_drawn(tmp_path):
    seconds = {"p50": 1.0, "p95": 1.5, "n": 2}
    figures = {
        "date": "today", "machine": report.machine(), "directions": {"fr→en": {}},
        "baseline": {"directions": {"fr→en": seconds}},
    }  # fmt: skip
    turns = [{"direction": "fr→en", "caption": 0.7, "sound": 1.1},
             {"direction": "fr→en", "caption": None, "sound": None}]  # fmt: skip
    report.plot(figures, turns, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


async def test_a_meter_counts_what_a_process_spends():
    meter = Meter(os.getpid())
    try:
        mark = meter.mark()
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        await asyncio.sleep(0)
        usage = meter.since(mark)
    finally:
        meter.close()
    assert usage.cpu_seconds["server"] >= 0.08
    assert usage.peak_rss_mb > 20 and usage.cpu_percent > 0
