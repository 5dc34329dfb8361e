"""``app.py file``: the room's engine on an audio file.

The file is a member that talks as fast as it can be interpreted; this module is its audience.
Nothing is kept in memory but the text and the sound of utterances that are being worked on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from babblefish.audio import resample
from babblefish.engine.engine import Engine
from babblefish.engine.identification import UNKNOWN, Identity
from babblefish.engine.pitch import Pitch
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE
from babblefish.engine.voices import VoiceBook
from babblefish.errors import RoomError
from babblefish.languages import english_name, normalise
from babblefish.protocol import (
    EngineMessage,
    Notice,
    Speech,
    Trace,
    Transcript,
    Translation,
    Utterance,
)
from babblefish.ui.media import AudioReader, TimelineWriter
from babblefish.ui.subtitles import Line, write
from rooms.audience import Saying
from rooms.collection import Spoken
from rooms.own_words import Cleaned
from rooms.people import People
from rooms.session import Session

_AHEAD_FRAMES = 100
_AHEAD_UTTERANCES = 3


@dataclass(slots=True)
class _Open:
    """An utterance on its way through the engine."""

    utterance: Utterance
    voice: int = 0
    transcript: Transcript | None = None
    translations: dict[str, str] = field(default_factory=dict)
    voices: dict[str, str] = field(default_factory=dict)
    sound: dict[str, list[np.ndarray]] = field(default_factory=dict)
    stages_ms: dict[str, float] | None = None
    """None until the engine is done with it"""


class FileAudience:
    """Implements ``rooms.session.Audience`` for one file."""

    def __init__(
        self, engine: Engine, source: str | None, targets: Sequence[str], out: Path,
        report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.people = People(None)
        self.lines: list[Line] = []
        self.problems: list[str] = []
        self._source, self._targets = source, targets
        self._engine, self._report = engine, report
        self._voices = VoiceBook()
        self._open: dict[str, _Open] = {}
        """in the order in which they began, which is the order in which they are written"""
        out.mkdir(parents=True, exist_ok=True)
        self._writers = {t: TimelineWriter(out / f"{t}.wav", PLAYOUT_RATE) for t in targets}

    def close(self, seconds: float) -> None:
        for writer in self._writers.values():
            writer.close(seconds)

    def owner(self, member: str) -> None:
        """Nobody's microphone."""

    def spoken_language(self, member: str) -> str | None:
        return self._source

    def among(self, member: str) -> tuple[str, ...]:
        return ()

    def glossary(self, member: str) -> tuple[str, ...]:
        return ()

    def targets(self, member: str) -> Mapping[str, str | None]:
        return {target: self._voice(member, target) for target in self._targets}

    def heard(self, member: str, utterance: str, pitch: Pitch) -> None:
        self._voices.hear(member, pitch)

    def _voice(self, member: str, language: str) -> str | None:
        names = self._engine.voices(language)
        return self._voices.assign(member, language, names) if names else None

    def pace(self, utterance: str, language: str) -> float:
        return 1.0

    def own_voice(self, utterance: Utterance, saying: Saying) -> None:
        """Nobody of a file can have agreed to it."""

    def speaking(self, member: str, active: bool) -> None:
        """Files show nothing live."""

    def draft(self, transcript: Transcript, translations: list[Translation], member: str) -> None:
        """Files have no partial captions."""

    def retract(self, utterance: str) -> None:
        """Nor can they take one back."""

    def begin(self, utterance: Utterance, waited: float) -> None:
        self._open[utterance.id] = _Open(utterance)

    async def without_own_words(self, utterance: Utterance) -> Cleaned:
        return Cleaned(utterance)  # a file has no loudspeaker

    def publish(self, utterance: Utterance, message: EngineMessage, identity: Identity) -> None:
        entry = self._open[utterance.id]
        entry.voice = identity.voice
        match message:
            case Transcript():
                entry.transcript = message
            case Translation():
                entry.translations[message.language] = message.text
            case Speech():
                entry.voices[message.language] = message.voice
                entry.sound.setdefault(message.language, []).append(message.audio.samples)
            case Notice():
                self.problems.append(f"{utterance.start:.1f} s: {message.message}")
            case Trace():
                entry.stages_ms = dict(message.stages_ms)
                self._write_finished()

    def finished(self, spoken: Spoken) -> None:
        """Nothing of a file is kept."""

    def _write_finished(self) -> None:
        while self._open:
            entry = next(iter(self._open.values()))
            if entry.stages_ms is None:
                return
            del self._open[entry.utterance.id]
            if entry.transcript is not None and entry.transcript.text:
                self._write(entry, entry.transcript, entry.stages_ms)

    def _write(self, entry: _Open, spoken: Transcript, stages_ms: dict[str, float]) -> None:
        utterance = entry.utterance
        speaker = "Unknown" if entry.voice == UNKNOWN else f"Speaker {entry.voice + 1}"
        line = Line(
            round(utterance.start, 3), round(utterance.end, 3), speaker,
            spoken.language, spoken.text, entry.translations, entry.voices, stages_ms,
        )  # fmt: skip
        self.lines.append(line)
        self._report(json.dumps(asdict(line), ensure_ascii=False))
        for target, writer in self._writers.items():
            sound = entry.sound.get(target)
            if target == spoken.language:
                sound = [resample(utterance.audio.samples, SPEECH_RATE, PLAYOUT_RATE)]
            if sound:
                writer.add(utterance.start, np.concatenate(sound))


def check_languages(
    engine: Engine, source: str | None, targets: Sequence[str]
) -> tuple[str | None, list[str]]:
    """Codes as the program knows them. Raises RoomError("language" | "pair") naming the fix."""
    wanted = list(dict.fromkeys(normalise(target) for target in targets))
    spoken = normalise(source) if source else None
    if spoken and spoken not in engine.recogniser_capabilities.languages:
        raise RoomError("language", f"{english_name(spoken)} cannot be recognised by this profile.")
    for target in wanted:
        served = engine.hearing(target) if spoken is None else engine.pair(spoken, target)
        if served is None:
            heard = ", ".join(o.code for o in engine.languages() if o.hear)
            raise RoomError(
                "pair",
                f"{english_name(target)} cannot be translated into here. Possible: {heard}.",
            )
    return spoken, wanted


async def interpret_file(
    engine: Engine, path: Path, source: str | None, targets: Sequence[str], out: Path,
    report: Callable[[str], None], progress: Callable[[float, float | None], None],
) -> FileAudience:  # fmt: skip
    """Interpret ``path`` into ``out``/<lang>.wav and ``out``/transcript.{json,srt,vtt}.

    report gets one JSON line per utterance, progress (seconds done, seconds in all if known).
    Raises BabbleFishError for files and languages that cannot be served.
    """
    source, targets = check_languages(engine, source, targets)
    with AudioReader(path, SPEECH_RATE) as reader:
        audience = FileAudience(engine, source, targets, out, report)
        session = Session("file", engine, audience, eager=False, language_fixed=source is not None)
        worker = asyncio.create_task(session.run(), name="file session")
        done = 0.0
        try:
            for chunk in reader.chunks():
                session.hear(chunk)
                done += len(chunk) / SPEECH_RATE
                progress(done, reader.seconds)
                await session.until(_AHEAD_FRAMES, _AHEAD_UTTERANCES)
            session.hear(np.zeros(SPEECH_RATE, np.float32))  # silence ends the last utterance
            session.flush()
            await session.until(0, 0)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            audience.close(done)
    for suffix in ("json", "srt", "vtt"):
        write(audience.lines, out / f"transcript.{suffix}")
    for target in targets:
        for suffix in ("srt", "vtt"):
            write(audience.lines, out / f"{target}.{suffix}", target)
    return audience
