"""Transcripts of rooms as TXT, SRT, WebVTT and JSON: entries in, text out, piece by piece.

Pure functions of what is stored. Whatever was said, and whoever said it, is inert in all of them;
what a synthetic voice said is marked as such.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from babblefish.languages import english_name
from babblefish.storage.records import TranscriptEntry, TranslatedLine
from babblefish.ui.subtitles import isolated, one_line, srt_text, stamp, vtt_text

Format = Literal["txt", "srt", "vtt", "json"]
ORIGINAL = "original"
"""as ``language``: what was said, untranslated"""
_SHORTEST_CUE_S = 0.8


@dataclass(frozen=True, slots=True)
class Heading:
    room: str
    made: float
    """Unix time"""
    start: float
    """Unix time at which the first words of the transcript begin: zero of subtitles"""
    language: str = ""
    """a code: only the translation into it, or what was said where there is none; "original";
    empty: everything"""


@dataclass(frozen=True, slots=True)
class _Wording:
    text: str
    marks: tuple[str, ...] = ()

    @property
    def marked(self) -> str:
        return self.text + (f" ({', '.join(self.marks)})" if self.marks else "")


class Sheet(ABC):
    """A file of one format: ``head``, then ``body`` of every page of entries, then ``tail``."""

    media_type = "text/plain; charset=utf-8"

    def __init__(self, heading: Heading) -> None:
        self.heading = heading
        self._count = 0

    @abstractmethod
    def head(self) -> str: ...

    def body(self, entries: Sequence[TranscriptEntry]) -> str:
        parts = []
        for entry in entries:
            self._count += 1
            parts.append(self._entry(entry))
        return "".join(parts)

    def tail(self) -> str:
        return ""

    @abstractmethod
    def _entry(self, entry: TranscriptEntry) -> str: ...


class TextSheet(Sheet):
    def head(self) -> str:
        made = datetime.fromtimestamp(self.heading.made).astimezone()
        return (
            f"{_name(self.heading.room)}\n"
            f"Transcript of {made:%Y-%m-%d %H:%M}, made by BabbleFish. Times are {made:UTC%z}.\n"
            "Translations are made by a machine. (synthetic voice): people heard it from a "
            "computer's voice. (own voice, synthetic): a computer imitated the speaker's voice.\n\n"
        )

    def _entry(self, entry: TranscriptEntry) -> str:
        first, *more = wordings(entry, self.heading.language)
        at = datetime.fromtimestamp(entry.spoken.start).astimezone()
        name = _name(entry.spoken.speaker_name)
        text = f"[{at:%Y-%m-%d %H:%M:%S}] {name}: {isolated(one_line(first.marked))}\n"
        return text + "".join(f"    {isolated(one_line(line.marked))}\n" for line in more)


class SubtitleSheet(Sheet):
    """SRT; what differs in WebVTT is in WebVttSheet."""

    comma = ","

    def head(self) -> str:
        return ""

    def _entry(self, entry: TranscriptEntry) -> str:
        begin = max(0.0, entry.spoken.start - self.heading.start)
        end = begin + max(entry.spoken.seconds, _SHORTEST_CUE_S)
        first, *more = wordings(entry, self.heading.language)
        lines = [f"{_name(entry.spoken.speaker_name)}: {isolated(one_line(first.marked))}"]
        lines += [isolated(one_line(line.marked)) for line in more]
        times = f"{stamp(begin, self.comma)} --> {stamp(end, self.comma)}"
        return f"{self._count}\n{times}\n" + "\n".join(map(self._inert, lines)) + "\n\n"

    def _inert(self, text: str) -> str:
        return srt_text(text)


class WebVttSheet(SubtitleSheet):
    media_type = "text/vtt; charset=utf-8"
    comma = "."

    def head(self) -> str:
        return (
            "WEBVTT\n\nNOTE Made by BabbleFish. Translations are made by a machine; (synthetic "
            "voice) marks what a computer's voice said, (own voice, synthetic) what a computer "
            "said in an imitation of the speaker's voice.\n\n"
        )

    def _inert(self, text: str) -> str:
        return vtt_text(text)


class JsonSheet(Sheet):
    """Texts exactly as they are stored."""

    media_type = "application/json"

    def head(self) -> str:
        about = {"room": self.heading.room, "made": _iso(self.heading.made)}
        return json.dumps(about, ensure_ascii=False)[:-1] + ', "entries": [\n'

    def _entry(self, entry: TranscriptEntry) -> str:
        spoken, language = entry.spoken, self.heading.language
        wanted = [t for t in entry.translations if language in ("", t.language)]
        body = {
            "number": self._count, "start": _iso(spoken.start),
            "seconds": round(spoken.seconds, 3), "speaker": spoken.speaker_name,
            "language": spoken.language, "text": spoken.text,
            "translations": {
                t.language: {
                    "text": t.text, "quality": t.quality, "voice": t.voice,
                    "synthetic_voice": t.synthetic, "own_voice": t.own_voice,
                }
                for t in wanted
            },
        }  # fmt: skip
        return ("" if self._count == 1 else ",\n") + json.dumps(body, ensure_ascii=False)

    def tail(self) -> str:
        return "\n]}\n"


SHEETS: dict[Format, type[Sheet]] = {
    "txt": TextSheet, "srt": SubtitleSheet, "vtt": WebVttSheet, "json": JsonSheet,
}  # fmt: skip


def wordings(entry: TranscriptEntry, language: str) -> list[_Wording]:
    """What is shown of ``entry``, at least one line. language: see ``Heading``."""
    spoken = entry.spoken
    if language == "":
        translations = [
            _Wording(f"{english_name(t.language)}: {t.text}", _marks(t)) for t in entry.translations
        ]
        return [_Wording(spoken.text), *translations]
    found = next((t for t in entry.translations if t.language == language), None)
    if found is not None:
        return [_Wording(found.text, _marks(found))]
    untranslated = language not in (ORIGINAL, spoken.language)
    return [_Wording(spoken.text, (english_name(spoken.language),) if untranslated else ())]


def _marks(line: TranslatedLine) -> tuple[str, ...]:
    voice = "own voice, synthetic" if line.own_voice else "synthetic voice"
    marks = (voice, line.synthetic), ("basic translation", line.quality == "basic")
    return tuple(mark for mark, true in marks if true)


def _name(name: str) -> str:
    return isolated(one_line(name)) or "Unknown"


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
