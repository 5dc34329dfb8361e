"""The messages of BabbleFish: what the engine yields and what travels to and from a phone.

Two families, both plain dataclasses:

* engine messages (``Utterance`` … ``Trace``) stay inside the machine and may carry audio arrays;
* events (``Welcome`` … ``Leave``) are JSON on a phone's data channel, in the envelope of
  ``envelope.py``.

This module knows no engine, room or web framework, and imports neither torch nor gradio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

Quality = Literal["good", "basic"]
"""``good``: the best this profile knows. ``basic``: readable, often rough; said so on screen."""

ClosedReason = Literal["room_closed", "left", "removed", "replaced"]

# --- engine messages ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Audio:
    """Mono sound."""

    samples: np.ndarray
    """shape (n,), float32 in [-1, 1]"""
    rate: int
    """Hertz"""

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech of one speaker, as the segmenter cut it."""

    id: str
    member: str
    """id of the participant (or file channel) whose microphone it came from"""
    audio: Audio
    """16 kHz"""
    start: float
    """seconds of received audio at the first sample"""
    end: float
    """seconds of received audio at the last voiced sample"""
    language: str | None = None
    """language the speaker declared (ISO 639-1), None when open"""
    language_fixed: bool = False
    """True: ``language`` is an order, not a prior for identification"""
    glossary: tuple[str, ...] = ()
    """names and terms that may be said, spelt as they are to be written"""
    among: tuple[str, ...] = ()
    """the only languages that may be spoken; empty: any"""
    context: str = ""
    """text said just before, or written the way this is to be written"""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a transcript, and when it was said."""

    text: str
    """as in the transcript, marks that belong to it included, no space around it"""
    start: float
    """seconds"""
    end: float
    confidence: float
    """0..1"""


@dataclass(frozen=True, slots=True)
class Transcript:
    utterance: str
    text: str
    """empty: nothing intelligible was said"""
    language: str
    language_probability: float = 1.0
    confidence: float = 1.0
    """mean token probability, 0..1"""
    final: bool = True


@dataclass(frozen=True, slots=True)
class Translation:
    utterance: str
    language: str
    text: str
    quality: Quality = "good"
    final: bool = True


@dataclass(frozen=True, slots=True)
class Speech:
    """One synthesised clause of an utterance, in order."""

    utterance: str
    language: str
    clause: int
    """0, 1, 2 …"""
    text: str
    audio: Audio
    """48 kHz"""
    voice: str
    last: bool
    """True on the final clause of this utterance in this language"""
    plain: bool = False
    """said by a plain voice in place of the one that was wanted"""
    own_voice: bool = False
    """said in a copy of the speaker's own voice"""
    replaces: bool = False
    """this clause was given before, in another voice: instead of what was not heard of it yet"""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something went wrong with one utterance; the meeting goes on."""

    utterance: str | None
    code: str
    message: str
    stage: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Where the time of one utterance went."""

    utterance: str
    stages_ms: dict[str, float]
    """stage name → milliseconds spent, waiting in queues included"""


EngineMessage = Transcript | Translation | Speech | Notice | Trace


# --- events: server → phone -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """A participant as the others see them. Not an event of its own."""

    id: str
    name: str
    speaks: str | None
    """ISO 639-1, None: detected"""
    hears: str
    color: int
    """index into the palette of room.css, 0..11"""
    microphone: bool
    connected: bool
    may_speak: bool = True
    """False: the host lets only presenters be heard, and this is none"""
    also: str | None = None
    """language of a second person at the same phone, each of whom hears the other in their own:
    the first one's is ``hears``; None: nobody shares it"""
    also_color: int = 0
    """the second person's"""


@dataclass(frozen=True, slots=True)
class Welcome:
    """First event on every connection, new or resumed."""

    type: ClassVar[str] = "welcome"
    member: str
    room_name: str
    last_seq: int
    """sequence number of the newest final caption of the room"""


@dataclass(frozen=True, slots=True)
class Roster:
    type: ClassVar[str] = "roster"
    people: list[Person]
    locked: bool = False


@dataclass(frozen=True, slots=True)
class TranscriptPolicy:
    """How long what is said in this room is kept; sent on every connection and on every change."""

    type: ClassVar[str] = "transcript_policy"
    kept: Literal["off", "until_close", "days"]
    days: int = 0


@dataclass(frozen=True, slots=True)
class Speaking:
    type: ClassVar[str] = "speaking"
    member: str
    active: bool


@dataclass(frozen=True, slots=True)
class Caption:
    """What someone said, in the listener's language. A partial of the same ``utterance``
    replaces the one before it; the final (``seq`` > 0) replaces them all and never changes."""

    type: ClassVar[str] = "caption"
    utterance: str
    member: str
    name: str
    """speaker's name, with " · 2" when several people share the microphone; where the speaker is
    not ``known``, the name of whose phone it is"""
    color: int
    text: str
    language: str
    """language of ``text``"""
    direction: Literal["ltr", "rtl"]
    final: bool
    seq: int = 0
    """increases with every final of the room; 0 on partials"""
    original_text: str = ""
    original_language: str = ""
    original_direction: Literal["ltr", "rtl"] = "ltr"
    quality: Quality = "good"
    translated: bool = False
    synthetic: bool = False
    """a synthetic voice speaks it to this listener"""
    own_voice: bool = False
    """that voice was a copy of the speaker's own, for some of it at least; what is only about to
    be heard is told by ``Voicing``"""
    at: float = 0.0
    """Unix time of the end of the utterance"""
    known: bool = True
    """False: nobody can say who of the people at this phone spoke"""


@dataclass(frozen=True, slots=True)
class Retract:
    """The partial caption of ``utterance`` turned out to be no speech: remove it."""

    type: ClassVar[str] = "retract"
    utterance: str


@dataclass(frozen=True, slots=True)
class Voicing:
    """This listener's playout state of one utterance."""

    type: ClassVar[str] = "voicing"
    utterance: str
    state: Literal["playing", "played", "skipped"]
    """``skipped``: caption only, the sound was dropped to catch up"""
    own_voice: bool = False
    """while ``playing``: a copy of the speaker's own voice is heard; sent again when it changes"""


@dataclass(frozen=True, slots=True)
class Lag:
    type: ClassVar[str] = "lag"
    seconds: float
    """how far the translation this listener hears is behind; 0 when caught up"""


@dataclass(frozen=True, slots=True)
class Warn:
    """A notice for people: ``code`` is stable, ``message`` is English and names the fix."""

    type: ClassVar[str] = "warn"
    code: str
    message: str
    utterance: str | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The room or this membership ended; do not reconnect."""

    type: ClassVar[str] = "closed"
    reason: ClosedReason


@dataclass(frozen=True, slots=True)
class Pong:
    type: ClassVar[str] = "pong"
    id: int


# --- events: phone → server -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resume:
    """First event a phone sends: everything final after ``after`` is sent again."""

    type: ClassVar[str] = "resume"
    after: int = 0


@dataclass(frozen=True, slots=True)
class Configure:
    """Change one's own name or languages; None leaves a field as it is."""

    type: ClassVar[str] = "configure"
    name: str | None = None
    speaks: str | None = None
    """ISO 639-1, or "auto" """
    hears: str | None = None
    also: str | None = None
    """language of a second person at this phone, "": there is none"""


@dataclass(frozen=True, slots=True)
class Microphone:
    type: ClassVar[str] = "microphone"
    on: bool


@dataclass(frozen=True, slots=True)
class OriginalLevel:
    """Loudness of original voices this listener does not understand."""

    type: ClassVar[str] = "original_level"
    level: float
    """0..1"""


@dataclass(frozen=True, slots=True)
class Ping:
    type: ClassVar[str] = "ping"
    id: int


@dataclass(frozen=True, slots=True)
class Leave:
    type: ClassVar[str] = "leave"


ServerEvent = (
    Welcome | Roster | TranscriptPolicy | Speaking | Caption | Retract | Voicing | Lag | Warn
    | Closed | Pong
)  # fmt: skip
ClientEvent = Resume | Configure | Microphone | OriginalLevel | Ping | Leave
