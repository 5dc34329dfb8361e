"""``app.py file`` with scripted stages: timeline, subtitles, bad input."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import soundfile
import webvtt

from babblefish.errors import AudioError, BabbleFishError, RoomError
from babblefish.ui.files import interpret_file
from babblefish.ui.media import AudioReader
from tests.phones import seconds_at, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def recording(tmp_path):
    """Tones at 1 s, 4 s and 8 s; 11 s in all; stereo at 44.1 kHz in an .ogg file."""
    path = tmp_path / "in.ogg"
    samples = np.zeros(11 * 48000)
    for start, hertz, seconds in ((1, 400, 1.0), (4, 700, 2.0), (8, 400, 1.0)):
        sound = tone(hertz, seconds) / 32768
        samples[start * 48000 : start * 48000 + len(sound)] = sound
    soundfile.write(path, np.stack([samples, samples], axis=1), 48000)
    return path


async def interpret(engine, path, out, source="fr", targets=("en", "es", "fr")):
    lines, progress = [], []
    result = await interpret_file(
        engine, path, source, targets, out, lines.append, lambda *p: progress.append(p)
    )
    return result, [json.loads(line) for line in lines], progress


async def test_each_utterance_is_placed_on_the_inputs_timeline(engine, recording, tmp_path):
    out = tmp_path / "out"
    _, lines, progress = await interpret(engine, recording, out)
    assert [round(line["start"] + 0.35) for line in lines] == [1, 4, 8]
    assert set(lines[0]) == {
        "start", "end", "speaker", "language", "transcript", "translations", "voices", "stages_ms",
    }  # fmt: skip
    assert lines[0]["language"] == "fr" and lines[0]["transcript"].startswith("said 400")
    assert lines[0]["translations"]["es"].startswith("[es] said 400")
    assert lines[0]["voices"]["en"].startswith("en-")
    assert progress[-1][0] == pytest.approx(11, abs=0.2)
    assert progress[-1][1] == pytest.approx(11, abs=0.2)
    for language in ("en", "es", "fr"):
        samples, rate = soundfile.read(out / f"{language}.wav", dtype="int16")
        assert rate == 48000 and len(samples) / rate == pytest.approx(11, abs=0.6)
        assert not samples[: rate // 2].any() and samples[int(1.2 * rate) : 2 * rate].any()
    samples, _ = soundfile.read(out / "fr.wav", dtype="int16")
    assert seconds_at(samples, 700) == pytest.approx(2.0, abs=0.3), "own language: the original"
    assert json.loads((out / "transcript.json").read_text()) == lines
    assert webvtt.from_srt(str(out / "en.srt"))[0].text.startswith("Speaker 1: [en]")
    assert len(webvtt.read(str(out / "transcript.vtt"))) == 3


async def test_speakers_in_a_file_are_told_apart(engine, tmp_path):
    path = tmp_path / "two.wav"
    gap = np.zeros(48000, np.int16)
    parts = [gap, tone(400, 2), gap, tone(3000, 2), gap, tone(400, 2), gap]
    soundfile.write(path, np.concatenate(parts), 48000)
    _, lines, _ = await interpret(engine, path, tmp_path / "out", targets=("en",))
    assert [line["speaker"] for line in lines] == ["Speaker 1", "Speaker 2", "Speaker 1"]


async def test_promise_21_files_that_are_no_recording_get_a_clear_error(engine, tmp_path):
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 16000)
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=d=0.2", tmp_path / "v.mp4"],
        check=True,
    )
    codes = {}
    for name in ("missing.wav", "text.wav", "empty.wav", "nothing.wav", "v.mp4"):
        with pytest.raises(AudioError) as error:
            await interpret(engine, tmp_path / name, tmp_path / "out")
        assert error.value.message
        codes[name] = error.value.code
    assert codes["missing.wav"] == "file_missing" and codes["v.mp4"] == "no_audio"


async def test_promise_21_odd_but_real_recordings_are_read(engine, tmp_path):
    many = np.stack([tone(400, 1.0) / 32768] * 32, axis=1)
    soundfile.write(tmp_path / "many.wav", many, 48000)
    broken = (tone(400, 2.0) / 32768).astype(np.float32)
    broken[::7], broken[::11] = np.nan, np.inf
    soundfile.write(tmp_path / "nan.wav", broken, 48000, subtype="FLOAT")
    whole = (tmp_path / "many.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    for name in ("many.wav", "nan.wav", "cut.wav"):
        with AudioReader(tmp_path / name, 16000) as reader:
            for chunk in reader.chunks():
                assert chunk.ndim == 1 and np.isfinite(chunk).all() and np.abs(chunk).max() <= 1


async def test_languages_are_checked_before_any_work(engine, recording, tmp_path):
    for source, targets in (("xx!", ["en"]), ("pl", ["en"]), ("fr", ["de"]), (None, ["pl"])):
        with pytest.raises(BabbleFishError):
            await interpret(engine, recording, tmp_path / "out", source, targets)
    with pytest.raises(RoomError, match="Possible: en, es, fr"):
        await interpret(engine, recording, tmp_path / "out", "fr", ["de"])
    assert not (tmp_path / "out").exists()
