"""Transcripts as JSON, SRT and WebVTT files. Whatever was said is inert in all of them."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import webvtt


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance as a file shows it; also the JSON object that ``app.py file`` prints."""

    start: float
    """seconds"""
    end: float
    speaker: str
    language: str
    transcript: str
    translations: dict[str, str]
    voices: dict[str, str]
    stages_ms: dict[str, float]

    def text(self, language: str | None = None) -> str:
        """The original, or the translation into ``language`` (the original where none exists)."""
        return self.translations.get(language or "", self.transcript)


def write(lines: Sequence[Line], path: Path, language: str | None = None) -> None:
    """``lines`` to ``path``, whose suffix is .json, .srt or .vtt."""
    if path.suffix == ".json":
        text = json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=1)
        path.write_text(text + "\n", encoding="utf-8")
        return
    document = webvtt.WebVTT()
    vtt = path.suffix == ".vtt"
    for line in lines:
        name = line.speaker if not vtt else html.escape(line.speaker, quote=False)
        body = line.text(language)
        # "-->" would start a new cue in either format
        body = html.escape(body, quote=False) if vtt else body.replace("-->", "→")
        name = name.replace("-->", "→")
        document.captions.append(
            webvtt.Caption(_stamp(line.start), _stamp(max(line.end, line.start + 0.1)),
                           " ".join(f"{name}: {body}".split()))
        )  # fmt: skip
    (document.save if vtt else document.save_as_srt)(str(path))


def _stamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
