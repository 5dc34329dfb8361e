"""What is said in one room, on its way to the transcript; and what phones missed of it.

Nothing here waits or raises: a storage in trouble costs lines of the transcript, never a meeting.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from babblefish.errors import RoomError
from babblefish.languages import direction
from babblefish.protocol import Caption, Quality, Transcript, TranscriptPolicy, Utterance
from babblefish.storage.records import (
    Retention,
    SpokenLine,
    TranscriptEntry,
    TranslatedLine,
    VoiceKind,
)
from babblefish.storage.storage import Storage

MOST_DAYS = 3650
_SLACK = 200
"""captions of one moment that a phone may have read in another order than they are stored in;
those that it knows already it leaves out itself"""


_MOST_UNHEARD = 100
"""utterances that may be waiting to be heard"""


@dataclass(frozen=True, slots=True)
class Face:
    """How somebody who is in the room now looks on screen."""

    member: str
    color: int


class Archive:
    """Keeps what ``retention`` allows. ``past``: what was said before the server started."""

    def __init__(
        self, storage: Storage | None, code: str, retention: Retention | None = None,
        past: Sequence[TranscriptEntry] = (), first_seq: int = 0,
    ) -> None:  # fmt: skip
        """first_seq: captions of this process have higher numbers; those of ``past`` do not."""
        self._storage, self._code = storage, code
        self.retention = retention or Retention()
        if storage is None:
            self.retention = Retention("off")
        self._past = tuple(past)
        self.first_seq = first_seq
        self._open: dict[str, dict[str, TranslatedLine]] = {}
        """utterances that are being translated, spoken and heard"""
        self._done: deque[str] = deque()
        """those of them that are not translated any more"""

    @property
    def policy(self) -> TranscriptPolicy:
        """What phones are told."""
        return TranscriptPolicy(self.retention.kind, self.retention.days)

    def keep(self, retention: Retention) -> None:
        """From now on. Raises RoomError("setting")."""
        if retention.kind == "days" and not 1 <= retention.days <= MOST_DAYS:
            raise RoomError("setting", f"Transcripts are kept for 1 to {MOST_DAYS} days.")
        if self._storage is None and retention.kind != "off":
            raise RoomError("setting", "This server keeps no transcripts.")
        self.retention = retention
        if retention.kind == "off":
            self.forget()

    def forget(self) -> None:
        """The transcript is deleted: nothing of it comes back, nor the rest of a sentence."""
        self._past = ()
        self._open.clear()
        self._done.clear()

    def forget_all_but(self, speakers: Container[str]) -> None:
        """Somebody was deleted: what enrolled people said is sent again only if they are among
        ``speakers`` (ids)."""
        self._past = tuple(
            entry for entry in self._past
            if entry.spoken.speaker_id is None or entry.spoken.speaker_id in speakers
        )  # fmt: skip
        while self._done:
            self._open.pop(self._done.popleft(), None)

    # --- what is said -----------------------------------------------------------------------

    def spoken(
        self, utterance: Utterance, name: str, sequence: int, said: Transcript, end: float,
        speaker: str | None = None,
    ) -> None:  # fmt: skip
        """end: Unix time. speaker: id of the enrolled person, None: nobody whose voice is known."""
        if self._storage is None or self.retention.kind == "off":
            return
        seconds = max(0.0, utterance.end - utterance.start)
        self._open[utterance.id] = {}
        self._storage.record(
            SpokenLine(
                self._code, utterance.id, sequence, name, said.language, said.text, end - seconds,
                seconds, speaker,
            )
        )  # fmt: skip

    def translated(self, utterance: str, language: str, text: str, quality: Quality) -> None:
        self._record(TranslatedLine(self._code, utterance, language, text, quality))

    def voiced(self, utterance: str, language: str, voice: VoiceKind) -> None:
        """A synthetic voice says the translation to somebody."""
        line = self._open.get(utterance, {}).get(language)
        if line is not None and line.voice not in (voice, "cloned"):
            self._record(replace(line, voice=voice))

    def done(self, utterance: str) -> None:
        """It is interpreted; some of it may still be about to be heard."""
        if utterance in self._open:
            self._done.append(utterance)
        while len(self._done) > _MOST_UNHEARD:
            self._open.pop(self._done.popleft(), None)

    def _record(self, line: TranslatedLine) -> None:
        if self._storage is not None and line.utterance in self._open:
            self._open[line.utterance][line.language] = line
            self._storage.record(line)

    # --- what was said before the server started --------------------------------------------

    def missed(
        self, hears: str, after: int, since: int, faces: Mapping[str, Face]
    ) -> list[Caption]:
        """For a listener of ``hears`` who has read up to ``after`` and came at ``since``.

        faces: name → somebody who is here.
        """
        if after > self.first_seq:
            return []
        return [
            _caption(entry, hears, faces)
            for entry in self._past
            if entry.spoken.sequence > max(after - _SLACK if after else 0, since)
        ]


def _caption(entry: TranscriptEntry, hears: str, faces: Mapping[str, Face]) -> Caption:
    said = entry.spoken
    found = next((t for t in entry.translations if t.language == hears), None)
    name = said.speaker_name
    face = (
        faces.get(name)
        or faces.get(name.partition(" · ")[0])
        or Face("", zlib.crc32(name.encode()) % 12)
    )
    language = found.language if found else said.language
    return Caption(
        said.utterance, face.member, name, face.color, found.text if found else said.text,
        language, direction(language), True, said.sequence, said.text if found else "",
        said.language, direction(said.language), _quality(found), found is not None,
        found is not None and found.synthetic, found is not None and found.own_voice,
        said.start + said.seconds,
    )  # fmt: skip


def _quality(line: TranslatedLine | None) -> Quality:
    return "basic" if line is not None and line.quality == "basic" else "good"
