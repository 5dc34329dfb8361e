"""One way to a laptop: what the two of them, https and WebSocket, have in common.

Knows the messages and no network.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol, TypeVar

from babblefish import accelerator_protocol as wire
from babblefish.errors import CloningError

MOST_REPLY_BYTES = 100_000
"""of anything but sound"""
MOST_LINE_BYTES = wire.MOST_AUDIO_BYTES + MOST_REPLY_BYTES
MOST_ANSWER_BYTES = 2 * wire.MOST_AUDIO_BYTES
"""of all clauses of a request"""

_SENTENCES = {
    "unknown_voice": "The laptop does not know this voice.",
    "unknown_language": "The laptop does not speak this language.",
    "busy": "The laptop has too much to do.",
    "not_ready": "The laptop is still getting ready.",
    "refused": "The laptop refuses this server. Remove it here and pair it again.",
    "cancelled": "The laptop gave the request up.",
}


T = TypeVar("T", wire.Health, wire.ClauseSpoken, wire.VoiceStored, wire.VoiceDeleted)


class Transport(Protocol):
    """All methods raise CloningError. None has a time limit of its own but for connecting: whoever
    calls sets one. Cancelling, or closing the iterator, gives the request up at the laptop, too."""

    kind: Literal["https", "websocket"]

    async def health(self) -> wire.Health: ...

    async def put_voice(self, speaker: str, message: bytes) -> wire.VoiceStored:
        """message: a ``PutVoice`` as JSON."""
        ...

    async def delete_voice(self, speaker: str) -> wire.VoiceDeleted: ...

    def synthesize(self, message: wire.Synthesize) -> AsyncGenerator[wire.ClauseSpoken, None]:
        """Clauses as they come, not yet checked."""
        ...


def failure(failed: wire.Failed) -> CloningError:
    """The laptop's own sentence may hold what was to be said; it stays out of errors and logs."""
    sentence = _SENTENCES.get(failed.code, "The laptop could not say this.")
    return CloningError(failed.code, sentence)


def unreachable() -> CloningError:
    return CloningError("unreachable", "The laptop does not answer.")


def no_answer() -> CloningError:
    return CloningError("bad_answer", "What answers there is no laptop of this program.")


def expect(kind: type[T], answer: wire.ToServer) -> T:
    """``answer`` if it is of that kind, else the CloningError that it stands for."""
    if isinstance(answer, kind):
        return answer
    raise failure(answer) if isinstance(answer, wire.Failed) else no_answer()
