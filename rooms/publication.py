"""Turns engine messages about utterances into captions and sound for each listener.

One ``Publication`` per utterance; the room's ``CaptionLog`` numbers final captions, so that a
phone that lost its connection gets what it missed. Knows members only as listeners.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace

from babblefish.audio import to_int16
from babblefish.engine.identification import Identity
from babblefish.languages import direction
from babblefish.protocol import (
    Caption,
    EngineMessage,
    Notice,
    Quality,
    Retract,
    Speech,
    Trace,
    Transcript,
    Translation,
    Utterance,
    Warn,
)
from rooms.archive import Archive
from rooms.attribution import Label
from rooms.ears import Ear
from rooms.member import Member
from rooms.voices_heard import HeardVoice, VoicesHeard

_MAX_CAPTIONS = 4000
"""final captions kept for phones that come back"""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One utterance in the host's live trace."""

    utterance: str
    at: float
    """Unix time of its end"""
    speaker: str
    language: str
    targets: tuple[str, ...]
    audio_s: float
    stages_ms: dict[str, float]
    total_ms: float | None
    """last voiced sample → first translated audio ready, None when nothing was spoken"""
    outcome: str
    """"spoken", "spoken plainly" (the own voice was too late or failed), "captioned", "empty", or
    the code of what went wrong"""
    voices: tuple[HeardVoice, ...] = ()
    """in which it was heard, in that order; also what was heard after it was interpreted"""


@dataclass(frozen=True, slots=True)
class _Entry:
    audience: str
    """language of the listeners, or "member:<id>" for what the speaker reads"""
    caption: Caption
    speaker: str | None
    """id of the known person whose words they are"""


class CaptionLog:
    """Final captions in the order in which they were published."""

    def __init__(self, last_seq: int = 0) -> None:
        self.last_seq = last_seq
        self._entries: deque[_Entry] = deque(maxlen=_MAX_CAPTIONS)

    def add(self, audience: str, caption: Caption, speaker: str | None = None) -> Caption:
        self.last_seq += 1
        numbered = replace(caption, seq=self.last_seq)
        self._entries.append(_Entry(audience, numbered, speaker))
        return numbered

    def own_voice(self, utterance: str, language: str) -> None:
        """The listeners of ``language`` hear it in the speaker's own voice."""
        for number, entry in enumerate(self._entries):
            if entry.audience == language and entry.caption.utterance == utterance:
                caption = replace(entry.caption, own_voice=True)
                self._entries[number] = replace(entry, caption=caption)

    def clear(self) -> None:
        """Forget what was said; numbers go on."""
        self._entries.clear()

    def forget_all_but(self, speakers: Container[str]) -> None:
        """Known people's words stay only where they are among ``speakers`` (ids)."""
        kept = [e for e in self._entries if e.speaker is None or e.speaker in speakers]
        self._entries = deque(kept, maxlen=_MAX_CAPTIONS)

    def since(self, member: Member, after: int) -> list[Caption]:
        """What ``member`` should have read after sequence number ``after``."""
        wanted = {f"member:{member.id}", *(ear.hears for ear in member.ears)}
        translations = {ear.hears for ear in member.ears} if member.pair else set()
        return [
            entry.caption
            for entry in self._entries
            if entry.caption.seq > max(after, member.first_seq)
            and entry.audience in wanted
            and (
                entry.caption.member != member.id
                or entry.audience.startswith("member:")
                or (entry.caption.translated and entry.audience in translations)
            )
        ]


class Publication:
    """One utterance on its way to everybody in the room."""

    def __init__(
        self,
        utterance: Utterance,
        speaker: Member,
        listeners: Callable[[], Iterable[Member]],
        captions: CaptionLog,
        archive: Archive,
        voices: VoicesHeard,
        order: float,
        waited: float,
    ) -> None:
        self._utterance, self._speaker = utterance, speaker
        self._listeners, self._captions, self._archive = listeners, captions, archive
        self._order, self._waited, self._voices = order, waited, voices
        voices.begin(utterance.id, waited)
        self._begun = time.perf_counter()
        self._at = time.time() - waited
        self._transcript: Transcript | None = None
        self.speaker = speaker
        """whose phone it was said into"""
        self.label = Label(speaker.name, speaker.color)
        """who said it, as it is shown; before the first message, a guess"""
        self.identity: Identity | None = None
        """who said it, as it was settled with the transcript"""
        self._spoken: Mapping[str, str | None] = {}
        """as in ``open``"""
        self._opened: set[str] = set()
        """ids of listeners whose playout expects sound"""
        self._captioned: set[str] = set()
        """languages whose final caption is out"""
        self._first_audio: float | None = None
        self._plainly = False
        self._problem = ""

    def open(self, spoken: dict[str, str | None]) -> None:
        """Keep a place in the playout of everybody who will hear this utterance."""
        self._spoken = spoken
        for listener in self._others():
            if listener.hears != self._speaker.speaks:
                self._expect_if_audible(listener)

    def _expect_if_audible(self, listener: Ear) -> None:
        if self._spoken.get(listener.hears) and listener.audible:
            self._expect(listener)

    def _expect(self, listener: Ear) -> None:
        self._opened.add(listener.id)
        listener.playout.open(self._utterance.id, self._order, self.behind)

    @property
    def behind(self) -> float:
        """Seconds since the last voiced sample."""
        return self._waited + time.perf_counter() - self._begun

    def is_awaited(self, language: str) -> bool:
        """Whether anybody who was to hear this in ``language`` still is."""
        to_hear = [m for m in self._others() if m.hears == language and m.id in self._opened]
        return not to_hear or any(m.playout.expects(self._utterance.id) for m in to_hear)

    def _others(self) -> list[Ear]:
        spoken = self._transcript.language if self._transcript else None
        ears = (ear for member in self._listeners() for ear in member.ears)
        return [ear for ear in ears if ear.is_told(self._speaker, spoken)]

    def publish(self, message: EngineMessage, label: Label) -> TraceRow | None:
        """Act on one message; the Trace, which comes last, is answered with the trace's row."""
        self.label = label
        match message:
            case Transcript():
                self._on_transcript(message)
            case Translation():
                self._caption(message.language, message.text, message.quality, translated=True)
            case Speech():
                self._on_speech(message)
            case Notice():
                self._on_notice(message)
            case Trace():
                return self._on_trace(message)
        return None

    def _number(self, audience: str, caption: Caption) -> Caption:
        return self._captions.add(audience, caption, self.label.speaker_id)

    def _on_transcript(self, transcript: Transcript) -> None:
        if not transcript.text:
            self._retract()
            return
        self._transcript = transcript
        self._speaker.heard_language = transcript.language
        own = self._make(transcript.language, transcript.text, "good", False, "")
        own = self._number(f"member:{self._speaker.id}", own)
        self._speaker.send(own)
        self._archive.spoken(
            self._utterance, self.label.text, own.seq, transcript, self._at, self.label.speaker_id
        )
        self._caption(transcript.language, transcript.text, "good", translated=False)
        for listener in self._others():
            if listener.hears == transcript.language:
                self._close_playout(listener)
            elif listener.id not in self._opened:  # its language was not the one expected
                self._expect_if_audible(listener)

    def _caption(self, language: str, text: str, quality: Quality, translated: bool) -> None:
        """A final caption for the listeners of ``language``."""
        if language in self._captioned:
            return
        self._captioned.add(language)
        if translated:
            self._archive.translated(self._utterance.id, language, text, quality)
        listeners = [m for m in self._others() if m.hears == language]
        synthetic = any(m.id in self._opened for m in listeners) and translated
        caption = self._make(language, text, quality, synthetic, self._original_of(language))
        caption = self._number(language, replace(caption, translated=translated))
        for listener in listeners:
            listener.send(caption)

    def _original_of(self, language: str) -> str:
        spoken = self._transcript
        return spoken.text if spoken and spoken.language != language else ""

    def _make(
        self, language: str, text: str, quality: Quality, synthetic: bool, original: str
    ) -> Caption:
        spoken = self._transcript.language if self._transcript else language
        return Caption(
            self._utterance.id, self._speaker.id, self.label.name,
            self.label.color, text, language, direction(language), True, 0,
            original, spoken, direction(spoken), quality, False, synthetic, False, self._at,
            self.label.known,
        )  # fmt: skip

    def _on_speech(self, speech: Speech) -> None:
        samples = to_int16(speech.audio.samples)
        self._plainly |= speech.plain
        if self._first_audio is None:
            self._first_audio = self.behind
        for listener in self._others():
            if listener.hears != speech.language or not listener.audible:
                continue
            if speech.replaces:
                listener.playout.replace(self._utterance.id, speech.clause, samples, speech.voice)
                continue
            if listener.id not in self._opened:
                if speech.clause:
                    continue  # came in the middle: the caption has it
                self._expect(listener)
            listener.playout.add(
                self._utterance.id, samples, speech.last, speech.clause, speech.own_voice,
                speech.voice,
            )  # fmt: skip
            if not speech.own_voice:  # of that, only what is heard: see ``VoicesHeard``
                voice = "neutral" if speech.plain else "closest"
                self._archive.voiced(self._utterance.id, speech.language, voice)

    def _on_notice(self, notice: Notice) -> None:
        self._problem = notice.code
        warning = Warn(notice.code, notice.message, self._utterance.id)
        if notice.language is None:
            for member in self._listeners():
                member.send(warning)
            self._retract()
            return
        if self._transcript and notice.language not in self._captioned:
            # nothing is lost: who cannot have the translation reads the original
            self._caption_original(self._transcript, notice.language)
        for listener in self._others():
            if listener.hears == notice.language:
                listener.send(warning)
                self._close_playout(listener)

    def _caption_original(self, spoken: Transcript, language: str) -> None:
        self._captioned.add(language)
        caption = self._make(spoken.language, spoken.text, "good", False, "")
        caption = self._number(language, caption)
        for listener in self._others():
            if listener.hears == language:
                listener.send(caption)

    def _close_playout(self, listener: Ear) -> None:
        if listener.id in self._opened:
            listener.playout.finish(self._utterance.id)

    def _retract(self) -> None:
        for member in self._listeners():
            member.send(Retract(self._utterance.id))
        for listener in self._others():
            self._close_playout(listener)

    def _on_trace(self, trace: Trace) -> TraceRow:
        self._archive.done(self._utterance.id)
        for listener in self._others():
            self._close_playout(listener)
        spoken = self._transcript
        outcome = "spoken plainly" if self._plainly else "spoken"
        if self._first_audio is None:
            outcome = "captioned"
        if spoken is None:
            outcome = "empty"
        total = None if self._first_audio is None else round(self._first_audio * 1000, 1)
        language = spoken.language if spoken else ""
        return TraceRow(
            self._utterance.id, self._at, self.label.text, language,
            tuple(sorted(self._captioned - {language})), self._utterance.audio.seconds,
            {"endpoint": round(self._waited * 1000, 1), **trace.stages_ms}, total,
            self._problem or outcome, self._voices.of(self._utterance.id),
        )  # fmt: skip
