"""What travels over ``/ws/client``: the configuration that comes first, the messages, and the
header of binary sound. docs/programs.md says what each means.

Knows no connection and no room.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from babblefish.audio import resample, wav_file
from babblefish.errors import TransportError
from babblefish.protocol import Caption, Word
from babblefish.ui.access import TOKEN

INPUT_RATE = 16_000
"""Hertz of the sound that programs send, int16 mono"""
SOUND_RATE = 48_000
"""Hertz of the sound in rooms"""
MOST_TEXT = 8192
"""characters of one message from a program"""

CLIP, OWN_VOICE_CLIP, FRAME = 1, 2, 3
"""kinds of binary sound: that of a ``result``, of an ``f5_result``, and what is heard now"""
_HEADER = struct.Struct("<BBHI")
"""kind, 0, rate in Hertz, number"""

Output = Literal["clips", "stream", "text"]
Message = dict[str, Any]


class Config(BaseModel):
    """The first message of a program."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["config"]
    room: str = Field(min_length=1, max_length=32)
    """the code in the room's link"""
    token: str = Field("", pattern=rf"^({TOKEN.pattern})?$")
    """that of the link; not needed with ``key``"""
    key: str = Field("", pattern=rf"^({TOKEN.pattern})?$")
    """of one's own seat, from ``welcome``: to come back as the same participant"""
    name: str = Field(min_length=1, max_length=200)
    language: str = Field("auto", max_length=35)
    """that is spoken here"""
    target: str = Field(min_length=1, max_length=35)
    """in which the others are heard here"""
    microphone: bool = True
    """False: listens only"""
    output: Output = "clips"
    audio: Literal["base64", "binary"] = "base64"
    """how clips travel"""
    sample_rate: Literal[8000, 16000, 24000, 48000] | None = None
    """of the sound that is sent here; None: 24000 for clips, 48000 for a stream"""
    words: bool = True
    """the words of ``final``, with times"""
    room_events: bool = False
    """also everything that the room's phones are told"""
    original_level: Annotated[float, Field(ge=0, le=1)] | None = None
    """of original voices in a stream; None: as the room has it"""
    after: int = Field(0, ge=0)
    """with ``key``: what was said since this ``after`` is told again"""

    @property
    def rate(self) -> int:
        return self.sample_rate or (48_000 if self.output == "stream" else 24_000)


def read_config(text: str) -> Config:
    """Raises TransportError("config") that names the field."""
    if len(text) > MOST_TEXT:
        raise TransportError("config", f"A message is at most {MOST_TEXT} characters long.")
    try:
        config = Config.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "The first message"
        raise TransportError(
            "config",
            f"{place}: {first['msg']}. The first message is JSON: "
            '{"type": "config", "room", "token", "name", "language", "target", …}.',
        ) from error
    if not (config.token or config.key):
        raise TransportError(
            "room_token", "token: give what stands behind “#t=” in the room's link."
        )
    return config


def to_text(message: Mapping[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def words_of(words: tuple[Word, ...], shift: float) -> list[Message]:
    """shift: seconds to add to their times."""
    return [
        {
            "word": word.text, "start": round(word.start + shift, 3),
            "end": round(word.end + shift, 3), "confidence": round(word.confidence, 3),
        }
        for word in words
    ]  # fmt: skip


def result(caption: Caption, *, missed: bool, now: float) -> Message:
    """What somebody said, without sound. now: Unix time."""
    return {
        "type": "result",
        "speaker_name": caption.name,
        "translation": caption.text,
        "tts_audio": None,
        "tts_voice": None,
        "has_f5_pending": False,
        "latency_ms": max(0, round(1000 * (now - caption.at))),
        "own_voice": caption.own_voice,
        "utterance": caption.utterance,
        "speaker": caption.member,
        "speaker_known": caption.known,
        "language": caption.language,
        "translated": caption.translated,
        "quality": caption.quality,
        "original": caption.original_text,
        "original_language": caption.original_language,
        "missed": missed,
        "seq": caption.seq,
    }


def own_voice_result(name: str, utterance: str, now: float) -> Message:
    """Somebody's words once more, without sound. now: Unix time."""
    return {
        "type": "f5_result", "speaker_name": name, "tts_audio": None, "tts_voice": None,
        "timestamp": round(now, 3), "utterance": utterance,
    }  # fmt: skip


def binary_sound(kind: int, rate: int, number: int, samples: np.ndarray) -> bytes:
    """samples: int16 (n,)."""
    return _HEADER.pack(kind, 0, rate, number & 0xFFFFFFFF) + samples.astype("<i2").tobytes()


def at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    """int16 (n,) at SOUND_RATE → float32 at ``rate``. Takes some milliseconds."""
    return resample(samples.astype(np.float32) / 32768, SOUND_RATE, rate)


def base64_wav(samples: np.ndarray, rate: int) -> str:
    """samples: as from ``at_rate``."""
    return base64.b64encode(wav_file(samples, rate)).decode()
