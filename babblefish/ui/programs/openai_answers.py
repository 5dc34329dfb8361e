"""What was said in a recording, in the shapes that programs written for OpenAI's interface expect.

Segments in, answers out. Knows no requests and does no listening.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from dataclasses import asdict
from typing import Any, Literal

from fastapi.responses import Response

from babblefish import languages
from babblefish.ui.programs.listening import Event, Problem, Progress, Segment
from babblefish.ui.subtitles import Cue, subtitles

Format = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "verbose_json": "application/json",
    "diarized_json": "application/json",
    "text": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
}
PROBLEMS = "BabbleFish-Problems"
"""header: how many utterances could not be understood or translated; JSON says which"""


class Collected:
    """Everything that was found so far."""

    def __init__(self, english: bool = False) -> None:
        """english: the words are the translation's."""
        self.segments: list[Segment] = []
        self.problems: list[Problem] = []
        self.seconds = 0.0
        self._english = english

    def add(self, found: Event) -> None:
        match found:
            case Segment():
                self.segments.append(found)
            case Problem():
                self.problems.append(found)
            case Progress():
                self.seconds = max(self.seconds, round(found.seconds_done, 3))

    def words_of(self, segment: Segment) -> str:
        """Where a translation failed, the original: nothing is left out."""
        return segment.translations.get("en", segment.text) if self._english else segment.text

    @property
    def text(self) -> str:
        return " ".join(self.words_of(segment) for segment in self.segments)

    @property
    def languages(self) -> list[str]:
        """Spoken most first."""
        spoken: Counter[str] = Counter()
        for segment in self.segments:
            spoken[segment.language] += round(1000 * (segment.end - segment.start))
        return [language for language, _ in spoken.most_common()]

    def answer(
        self, form: Format, words: bool, segments: bool, headers: dict[str, str]
    ) -> Response:
        """words, segments: whether ``verbose_json`` has them."""
        if self.problems:
            headers = headers | {PROBLEMS: str(len(self.problems))}
        if form in ("text", "srt", "vtt"):
            body = f"{self.text}\n" if form == "text" else subtitles(self._cues(), form)
        else:
            body = json.dumps(self._json(form, words, segments), ensure_ascii=False)
        headers = {"Cache-Control": "no-store", **headers}
        return Response(body, media_type=MEDIA_TYPES[form], headers=headers)

    def _cues(self) -> list[Cue]:
        return [Cue(s.start, s.end, "", self.words_of(s)) for s in self.segments]

    def _json(self, form: Format, words: bool, segments: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {"text": self.text}
        if form == "json":
            if not self._english:
                answer["languages"] = [{"code": code} for code in self.languages]
        elif form == "diarized_json":
            answer |= {"task": "transcribe", "duration": self.seconds}
            answer["segments"] = [diarized(segment) for segment in self.segments]
        else:
            answer |= self._verbose(words, segments)
        answer["usage"] = {"type": "duration", "seconds": math.ceil(self.seconds)}
        return answer | self.problem_field()

    def _verbose(self, words: bool, segments: bool) -> dict[str, Any]:
        spoken = "en" if self._english else (self.languages or ["und"])[0]
        answer: dict[str, Any] = {
            "task": "translate" if self._english else "transcribe",
            "language": languages.english_name(spoken).lower(),
            "duration": self.seconds,
        }
        if segments:
            answer["segments"] = [_segment(s, self.words_of(s)) for s in self.segments]
        if words:
            answer["words"] = [
                {"word": word.text, "start": word.start, "end": word.end}
                for segment in self.segments
                for word in segment.words
            ]
        return answer

    def problem_field(self) -> dict[str, Any]:
        return {"problems": [asdict(problem) for problem in self.problems]} if self.problems else {}


def diarized(segment: Segment) -> dict[str, Any]:
    """A segment with its speaker, as an answer and as an event."""
    return {
        "type": "transcript.text.segment", "id": f"seg_{segment.id}", "start": segment.start,
        "end": segment.end, "text": segment.text, "speaker": _speaker(segment.speaker),
    }  # fmt: skip


def _speaker(name: str) -> str:
    """A letter, as OpenAI has them, for the first 26."""
    number = name.rpartition(" ")[2]
    return chr(64 + int(number)) if number.isdecimal() and 1 <= int(number) <= 26 else name


def _segment(segment: Segment, text: str) -> dict[str, Any]:
    """The fields that OpenAI's has. What nobody knows here says that nothing is wrong: there are
    no numbers of tokens, and what is no speech is no segment."""
    told = text.encode()
    return {
        "id": segment.id, "seek": round(100 * segment.start), "start": segment.start,
        "end": segment.end, "text": text, "tokens": [], "temperature": 0.0,
        "avg_logprob": round(math.log(max(segment.confidence, 1e-4)), 4),
        "compression_ratio": round(len(told) / max(1, len(zlib.compress(told))), 3),
        "no_speech_prob": 0.0,
    }  # fmt: skip
