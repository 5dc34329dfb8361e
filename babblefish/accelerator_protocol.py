"""The messages between the room server and a laptop that speaks in people's own voices.

The same messages travel over HTTP, where the server calls the laptop, and over the WebSocket
``/ws/tts-accelerator``, which a laptop opens where the server cannot reach it:

* HTTP: a request's body is one message; ``POST /v1/synthesize`` answers with one message a line
  (``application/x-ndjson``). Every request carries ``Authorization: Bearer <secret>``.
* WebSocket: one message a text frame, told apart by ``type``.

This module knows no web framework, no model and no room; laptop and server both import it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from babblefish.errors import TransportError

PROTOCOL_VERSION = 1
MOST_TEXT = 1000
"""characters of one request"""
MOST_CLIP_BYTES = 4_000_000
"""of a reference clip as it travels, base64"""
MOST_AUDIO_BYTES = 16_000_000
"""of one clause as it travels, base64"""
SERVICE_TYPE = "_babblefish._tcp.local."
"""a room server that looks for laptops, in DNS service discovery"""

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,80}$")]
Language = Annotated[str, Field(min_length=2, max_length=12)]
Words = Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


# --- server → laptop ------------------------------------------------------------------------


class PutVoice(_Message):
    """A reference: how somebody sounds. Replaces an earlier one of the same speaker."""

    type: Literal["voice_put"] = "voice_put"
    speaker_id: Identifier
    digest: Identifier
    """``digest_of`` clip and text"""
    text: Words
    """what is said in the clip"""
    language: Language
    clip: Annotated[str, Field(min_length=4, max_length=MOST_CLIP_BYTES)]
    """base64 of int16 little-endian, mono"""
    sample_rate: Annotated[int, Field(ge=8000, le=48000)]


class DeleteVoice(_Message):
    type: Literal["voice_delete"] = "voice_delete"
    speaker_id: Identifier


class Synthesize(_Message):
    """Say ``clauses`` one after the other in the voice of ``speaker_id``."""

    type: Literal["tts_request"] = "tts_request"
    request_id: Identifier
    text: Words
    clauses: Annotated[list[Words], Field(max_length=100)] = []
    """``text`` cut where the server's fast voice cuts it; one result each. Empty: one clause"""
    language: Language
    speaker_id: Identifier
    speaker_name: Annotated[str, Field(max_length=200)] = ""
    reference: Identifier
    """digest of the reference to use; unknown to the laptop: error "unknown_voice" """
    deadline_ms: Annotated[int, Field(ge=0, le=120_000)] = 30_000
    """after this nobody waits for the first clause any more"""


class Cancel(_Message):
    """Nobody waits for this request any more. Over HTTP: the connection is closed."""

    type: Literal["tts_cancel"] = "tts_cancel"
    request_id: Identifier


class AskHealth(_Message):
    type: Literal["health_request"] = "health_request"


# --- laptop → server ------------------------------------------------------------------------


class Health(_Message):
    """What a laptop can do, and how busy it is."""

    type: Literal["health"] = "health"
    protocol: int = PROTOCOL_VERSION
    ready: bool
    """weights loaded and warm"""
    message: Annotated[str, Field(max_length=500)] = ""
    """for people: what it is doing, or why it is not ready"""
    name: Annotated[str, Field(max_length=80)] = ""
    device: Annotated[str, Field(max_length=120)] = ""
    """such as "NVIDIA GeForce RTX 3050 Laptop" or "CPU, 8 cores" """
    languages: Annotated[list[Language], Field(max_length=300)] = []
    """ISO 639-1, those that can be spoken now"""
    memory_used_mb: int | None = None
    """of the accelerator's own memory"""
    memory_total_mb: int | None = None
    waiting: Annotated[int, Field(ge=0)] = 0
    """requests in the queue and at work"""
    expected_wait_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 0.0
    """until a new request would begin"""
    real_time_factor: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    """seconds of work for one second of speech, of late; None before the first request"""
    first_clause_s: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    """from a request's start to its first clause, of late, without waiting"""
    voices: Annotated[int, Field(ge=0)] = 0
    """references in its cache"""


class ClauseSpoken(_Message):
    type: Literal["tts_result"] = "tts_result"
    request_id: Identifier
    speaker_name: str = ""
    clause: Annotated[int, Field(ge=0)]
    """0, 1, 2 … in order"""
    last: bool
    audio: Annotated[str, Field(max_length=MOST_AUDIO_BYTES)]
    """base64 of int16 little-endian, mono"""
    sample_rate: Annotated[int, Field(ge=8000, le=48000)]
    latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """from the request's arrival to this clause"""


class Failed(_Message):
    """A request, or a message over the WebSocket, did not work."""

    type: Literal["error"] = "error"
    request_id: str = ""
    code: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    """"unknown_voice" | "unknown_language" | "busy" | "bad_request" | "bad_reference" |
    "synthesis_failed" | "not_ready" | "refused" | "cancelled" """
    message: Annotated[str, Field(max_length=500)] = ""


class VoiceStored(_Message):
    type: Literal["voice_stored"] = "voice_stored"
    speaker_id: Identifier
    digest: Identifier


class VoiceDeleted(_Message):
    type: Literal["voice_deleted"] = "voice_deleted"
    speaker_id: Identifier
    existed: bool


# --- pairing: laptop → server, over the server's HTTPS --------------------------------------


class Introduction(_Message):
    """What a laptop says of itself: with ``code`` to ``/api/accelerators/pair``, without one to
    ``/api/accelerators/ask``, where the admin is asked."""

    code: Annotated[str, Field(max_length=40)] = ""
    """as the Admin tab shows it; spaces and case do not matter"""
    name: Annotated[str, Field(min_length=1, max_length=80)]
    urls: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=16)] = []
    """https://address:port at which the server may try to call, best first"""
    certificate: Annotated[str, Field(max_length=8000)] = ""
    """PEM of the endpoint's own certificate, which the server pins"""
    health: Health


class Paired(_Message):
    """The answer to a successful introduction. ``secret`` opens the endpoint to the server and
    the server's WebSocket to the laptop; it is shown never again."""

    accelerator_id: Identifier
    secret: Annotated[str, Field(min_length=32, max_length=200)]
    server_name: Annotated[str, Field(max_length=120)] = ""
    reachable: bool
    """whether the server could call one of ``urls``; if not, open the WebSocket"""


class Asked(_Message):
    """The answer to an introduction without a code: ask again with ``ticket`` as a bearer token
    (``GET /api/accelerators/ask``) until the admin has decided."""

    ticket: Annotated[str, Field(min_length=16, max_length=200)]
    number: Annotated[str, Field(min_length=4, max_length=12)]
    """shown by the laptop and beside it in the Admin tab, so that nobody confirms a stranger"""


ToLaptop = PutVoice | DeleteVoice | Synthesize | Cancel | AskHealth
ToServer = Health | ClauseSpoken | Failed | VoiceStored | VoiceDeleted
_TO_LAPTOP: TypeAdapter[ToLaptop] = TypeAdapter(Annotated[ToLaptop, Field(discriminator="type")])
_TO_SERVER: TypeAdapter[ToServer] = TypeAdapter(Annotated[ToServer, Field(discriminator="type")])


def message_for_laptop(text: str | bytes) -> ToLaptop:
    """Raises TransportError("bad_message")."""
    return _parsed(_TO_LAPTOP, text)


def message_for_server(text: str | bytes) -> ToServer:
    """Raises TransportError("bad_message")."""
    return _parsed(_TO_SERVER, text)


def _parsed(adapter: TypeAdapter, text: str | bytes):
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        message = f"This is no message between server and laptop (see {where or 'its JSON'})."
        raise TransportError("bad_message", message) from None


def digest_of(clip: str, text: str, sample_rate: int) -> str:
    """Names a reference by its content. clip: base64, as in ``PutVoice``."""
    whole = f"{sample_rate}\n{text}\n{clip}".encode()
    return hashlib.sha256(whole).hexdigest()[:32]


def encode_audio(samples: np.ndarray) -> str:
    """(n,) float32 in [-1, 1] or int16 → base64 of int16 little-endian."""
    if samples.dtype != np.int16:
        samples = np.round(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
    return base64.b64encode(samples.astype("<i2").tobytes()).decode()


def decode_audio(text: str) -> np.ndarray:
    """base64 → (n,) float32 in [-1, 1]. Raises TransportError("bad_message")."""
    try:
        raw = base64.b64decode(text, validate=True)
        samples = np.frombuffer(raw, "<i2")
    except ValueError as error:
        raise TransportError("bad_message", "The sound is not base64 of 16 bit samples.") from error
    return samples.astype(np.float32) / 32768
