"""``app.py file``: the room's engine on an audio file, and what it makes of it in a folder.

How a recording is interpreted is ``recorded.py``'s business.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from babblefish.audio import resample
from babblefish.engine.engine import Engine
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE
from babblefish.ui.media import AudioReader, TimelineWriter
from babblefish.ui.recorded import Heard, Said, Wanted, check_languages, interpreted
from babblefish.ui.subtitles import Line, write


class FileResult:
    """Collects the lines of one file, and writes its sound as it comes."""

    def __init__(self, targets: Sequence[str], out: Path, report: Callable[[str], None]) -> None:
        self.lines: list[Line] = []
        self.problems: list[str] = []
        self._report = report
        out.mkdir(parents=True, exist_ok=True)
        self._writers = {t: TimelineWriter(out / f"{t}.wav", PLAYOUT_RATE) for t in targets}

    def close(self, seconds: float) -> None:
        for writer in self._writers.values():
            writer.close(seconds)

    def add(self, said: Said) -> None:
        utterance, spoken = said.utterance, said.transcript
        for notice in said.notices:
            self.problems.append(f"{utterance.start:.1f} s: {notice.message}")
        if spoken is None or not spoken.text:
            return
        line = Line(
            round(utterance.start, 3), round(utterance.end, 3), said.speaker, spoken.language,
            spoken.text, said.translations, said.voices, said.stages_ms or {},
        )  # fmt: skip
        self.lines.append(line)
        self._report(json.dumps(asdict(line), ensure_ascii=False))
        for target, writer in self._writers.items():
            sound = said.sound.get(target)
            if target == spoken.language:
                sound = [resample(utterance.audio.samples, SPEECH_RATE, PLAYOUT_RATE)]
            if sound:
                writer.add(utterance.start, np.concatenate(sound))


async def interpret_file(
    engine: Engine, path: Path, source: str | None, targets: Sequence[str], out: Path,
    report: Callable[[str], None], progress: Callable[[float, float | None], None],
) -> FileResult:  # fmt: skip
    """Interpret ``path`` into ``out``/<lang>.wav and ``out``/transcript.{json,srt,vtt}.

    report gets one JSON line per utterance, progress (seconds done, seconds in all if known).
    Raises BabbleFishError for files and languages that cannot be served.
    """
    source, targets = check_languages(engine, source, targets)
    with AudioReader(path, SPEECH_RATE) as reader:
        result = FileResult(targets, out, report)
        done = 0.0
        try:
            wanted = Wanted(source, tuple(targets), aloud=True)
            async for event in interpreted(engine, _pieces(reader), wanted):
                if isinstance(event, Heard):
                    done = event.seconds
                    progress(done, reader.seconds)
                else:
                    result.add(event)
        finally:
            result.close(done)
    for suffix in ("json", "srt", "vtt"):
        write(result.lines, out / f"transcript.{suffix}")
    for target in targets:
        for suffix in ("srt", "vtt"):
            write(result.lines, out / f"{target}.{suffix}", target)
    return result


async def _pieces(reader: AudioReader) -> AsyncIterator[np.ndarray]:
    for piece in reader.chunks():
        yield piece
