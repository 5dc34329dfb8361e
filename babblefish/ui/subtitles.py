"""Transcripts as JSON, SRT and WebVTT files. Whatever was said is inert in all of them."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


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


@dataclass(frozen=True, slots=True)
class Cue:
    """One line of a file of subtitles."""

    start: float
    """seconds"""
    end: float
    speaker: str
    """empty: not shown"""
    text: str


def subtitles(cues: Iterable[Cue], kind: Literal["srt", "vtt", "txt"]) -> str:
    """A whole file."""
    texts = ((cue, _shown(cue)) for cue in cues)
    if kind == "txt":
        return "".join(f"{text}\n" for _, text in texts)
    comma, inert = (",", srt_text) if kind == "srt" else (".", vtt_text)
    blocks = ["WEBVTT\n"] if kind == "vtt" else []
    for number, (cue, text) in enumerate(texts, 1):
        end = max(cue.end, cue.start + 0.1)
        times = f"{stamp(cue.start, comma)} --> {stamp(end, comma)}"
        blocks.append((f"{number}\n" if kind == "srt" else "") + f"{times}\n{inert(text)}\n")
    return "\n".join(blocks)


def _shown(cue: Cue) -> str:
    text = isolated(one_line(cue.text))
    return f"{isolated(one_line(cue.speaker))}: {text}" if cue.speaker else text


def write(lines: Sequence[Line], path: Path, language: str | None = None) -> None:
    """``lines`` to ``path``, whose suffix is .json, .srt or .vtt."""
    if path.suffix == ".json":
        text = json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=1) + "\n"
    else:
        cues = (Cue(line.start, line.end, line.speaker, line.text(language)) for line in lines)
        text = subtitles(cues, "srt" if path.suffix == ".srt" else "vtt")
    path.write_text(text, encoding="utf-8")


def stamp(seconds: float, comma: str = ".") -> str:
    """``hh:mm:ss.mmm``"""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{comma}{rest % 1000:03}"


def one_line(text: str) -> str:
    """``text`` without line breaks, control characters and marks that turn the direction of
    what stands around it."""
    kept = (c for c in " ".join(text.split()) if unicodedata.category(c) not in ("Cc", "Cs"))
    return _TURNS.sub("", "".join(kept)).strip()


def isolated(text: str) -> str:
    """``text`` such that, if any of it runs from right to left, it does not move its neighbours."""
    if any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text):
        return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"
    return text


def vtt_text(text: str) -> str:
    """One line of a WebVTT cue: no tag, and no ``-->``, which would start a new cue."""
    return html.escape(text, quote=False)


def srt_text(text: str) -> str:
    """One line of an SRT cue. The format knows no escapes, but players take tags, and codes that
    begin with a backslash: their signs are replaced by ones that look alike."""
    return text.replace("-->", "→").translate(_NO_TAGS)


_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_NO_TAGS = str.maketrans({"<": "‹", ">": "›", "\\": "⧵"})
