"""Files that leave the program: subtitles and timelines."""

from __future__ import annotations

import json

import pytest
import soundfile
import webvtt

from babblefish.ui.media import TimelineWriter
from babblefish.ui.subtitles import Line, write
from tests.phones import seconds_at, tone


def test_promise_22_subtitles_keep_markup_and_arrows_inert(tmp_path):
    evil = "<script>alert(1)</script> --> 00:00:01.000\n\n\u202e& -->"
    line = Line(0.0, 1.0, "<b>Eve --> x", "en", evil, {}, {}, {})
    for suffix in ("srt", "vtt", "json"):
        write([line], tmp_path / f"t.{suffix}")
    assert "<script>" not in (tmp_path / "t.vtt").read_text()
    assert len(webvtt.read(str(tmp_path / "t.vtt"))) == 1
    assert len(webvtt.from_srt(str(tmp_path / "t.srt"))) == 1
    assert (tmp_path / "t.srt").read_text().count("-->") == 1
    assert json.loads((tmp_path / "t.json").read_text())[0]["transcript"] == evil


def test_the_timeline_pads_with_silence_and_never_overlaps(tmp_path):
    writer = TimelineWriter(tmp_path / "t.wav", 48000)
    writer.add(0.5, tone(400, 1.0) / 32768)
    writer.add(1.0, tone(700, 1.0) / 32768)
    writer.close(4.0)
    samples, _ = soundfile.read(tmp_path / "t.wav", dtype="int16")
    assert len(samples) == 4 * 48000 and not samples[:24000].any()
    assert seconds_at(samples, 400) == pytest.approx(1, abs=0.2)
    assert seconds_at(samples, 700) == pytest.approx(1, abs=0.2)
