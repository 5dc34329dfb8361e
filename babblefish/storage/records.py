"""What the storage takes and gives: frozen dataclasses, no database objects.

Times are Unix seconds. Ids are random and say nothing about a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Purpose = Literal["voiceprint", "cloning", "passive_collection"]
"""what a person can consent to"""
Source = Literal["enrolment", "meeting", "upload"]
"""where a recording comes from; ``meeting`` was collected in passing"""
Actor = Literal["admin", "self", "server"]
"""who did something: a part that somebody plays, never a name, so that it may stay forever"""
VoiceKind = Literal["none", "neutral", "closest", "cloned"]
"""which voice said a translation; ``none``: it was only read"""


def required_consents(purpose: Purpose, source: Source) -> frozenset[Purpose]:
    """What a person must have agreed to before something is kept for ``purpose``."""
    if source == "meeting":
        return frozenset((purpose, "passive_collection"))
    return frozenset((purpose,))


@dataclass(frozen=True, slots=True)
class Speaker:
    id: str
    name: str
    voice: str
    """"closest", "neutral", or the voices that the person chose: "en:af_heart fr:ff_siwis" """
    voices: Mapping[str, str]
    """language → voice that was found closest, kept so that it is the same in every meeting"""
    color: int
    """index into the palette of room.css"""
    created: float


@dataclass(frozen=True, slots=True)
class ConsentForm:
    """What a person agrees to, word for word."""

    purpose: Purpose
    given_by: str
    wording: str
    version: str
    language: str
    """of ``wording``"""


@dataclass(frozen=True, slots=True)
class Consent:
    id: str
    speaker: str
    form: ConsentForm
    given: float
    withdrawn: float | None = None


@dataclass(frozen=True, slots=True)
class Embedding:
    id: str
    speaker: str
    encoder: str
    """voiceprints of different encoders cannot be compared"""
    vector: bytes
    """float32, little-endian"""
    seconds: float
    """of speech that it was made from"""
    source: Source
    made: float

    @property
    def array(self) -> np.ndarray:
        """shape (n,), float32"""
        return np.frombuffer(self.vector, "<f4")


@dataclass(frozen=True, slots=True)
class NewClip:
    audio: bytes
    """a whole file, such as WAV"""
    seconds: float
    text: str
    language: str
    source: Source
    purpose: Purpose = "cloning"
    quality: Mapping[str, float] = field(default_factory=dict)
    """figures by name, such as {"snr_db": 31.0}"""
    suffix: str = ".wav"


@dataclass(frozen=True, slots=True, eq=False)
class NewEmbedding:
    encoder: str
    vector: np.ndarray
    """(n,) finite"""
    seconds: float
    """of speech"""
    source: Source = "enrolment"


@dataclass(frozen=True, slots=True, eq=False)
class NewEnrolment:
    """Everything that is kept when somebody has recorded their voice: all of it or nothing."""

    forms: tuple[ConsentForm, ...]
    embeddings: tuple[NewEmbedding, ...] = ()
    clips: tuple[NewClip, ...] = ()
    name: str = ""
    color: int = 0
    voice: str = "closest"
    speaker: str | None = None
    """somebody who is stored already, and keeps name, color and voice; None: somebody new"""
    replace: bool = False
    """of somebody stored: what they recorded before on purpose goes"""


@dataclass(frozen=True, slots=True)
class Clip:
    id: str
    speaker: str
    file: str
    """name in the clips folder, made by the server"""
    seconds: float
    text: str
    language: str
    source: Source
    purpose: Purpose
    quality: Mapping[str, float]
    sha256: str
    size: int
    """bytes"""
    made: float


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a room's transcripts are kept."""

    kind: Literal["off", "until_close", "days"] = "until_close"
    days: int = 0


@dataclass(frozen=True, slots=True)
class TokenHash:
    """A link that opens a room; the link itself is not kept."""

    sha256: str
    expires: float


@dataclass(frozen=True, slots=True)
class StoredRoom:
    code: str
    name: str
    preset: str
    created: float
    tokens: tuple[TokenHash, ...] = ()
    expires: float | None = None
    """when the room closes by itself; None: it stays"""
    closed: float | None = None
    locked: bool = False
    retention: Retention = Retention()
    glossary: tuple[str, ...] = ()
    settings: Mapping[str, float | bool | str] = field(default_factory=dict)
    """what the host changed in this room"""


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """One utterance of a room's transcript, as it was said."""

    room: str
    utterance: str
    sequence: int
    """order in the room"""
    speaker_name: str
    language: str
    text: str
    start: float
    seconds: float = 0.0
    speaker_id: str | None = None
    """None: nobody whose voice is known"""


@dataclass(frozen=True, slots=True)
class TranslatedLine:
    """``utterance`` in another language. A later one for the same language replaces it."""

    room: str
    utterance: str
    language: str
    text: str
    quality: str = "good"
    voice: VoiceKind = "none"

    @property
    def synthetic(self) -> bool:
        """A synthetic voice said it to somebody."""
        return self.voice != "none"

    @property
    def own_voice(self) -> bool:
        """That voice was a copy of the speaker's own, for some of it at least."""
        return self.voice == "cloned"


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    spoken: SpokenLine
    translations: tuple[TranslatedLine, ...]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """That something was done with personal data; never with what content."""

    at: float
    actor: Actor
    act: str
    subject: str
    """id of the speaker, clip or room"""


@dataclass(frozen=True, slots=True)
class StoredLaptop:
    """A paired laptop that speaks in people's own voices. Its secret is kept nowhere."""

    id: str
    """random; a laptop that is paired anew gets another one"""
    name: str
    urls: tuple[str, ...]
    """at which it may be called, best first"""
    certificate: str
    """PEM, which the server pins"""
    paired: float


@dataclass(frozen=True, slots=True)
class LaptopDebt:
    """A laptop has to forget somebody's voice, and has not said yet that it did."""

    laptop: str
    speaker: str


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A program's key: enough to recognise it, never the key itself."""

    id: str
    """8 hexadecimal digits; the key begins with them"""
    name: str
    sha256: str
    """of the whole key"""
    scopes: frozenset[str]
    per_minute: int
    """requests"""
    connections: int
    """that it may have open at once"""
    made: float
    used: float | None = None
    """last time, within a minute; None: never"""


@dataclass(frozen=True, slots=True)
class StorageHealth:
    """For the admin's screen."""

    state: Literal["ok", "degraded"]
    code: str = ""
    message: str = ""
    """what is wrong and what to do; also set while a damaged database lies set aside"""
    waiting: int = 0
    """transcript lines that are not on disk yet"""
    dropped: int = 0
    """transcript lines that were lost"""
    set_aside: tuple[str, ...] = ()
    """names of damaged files that the admin may look at or discard"""
