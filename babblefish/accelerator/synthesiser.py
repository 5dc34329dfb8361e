"""What the laptop's outside needs of the one who speaks: an interface, no model.

``synthesis.Synthesiser`` is the real one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from babblefish.accelerator_protocol import (
    ClauseSpoken,
    Health,
    PutVoice,
    Synthesize,
    VoiceDeleted,
    VoiceStored,
)


class Speaks(Protocol):
    async def start(self) -> None:
        """Begin to load."""
        ...

    async def ready(self) -> None:
        """Wait until it can speak. Raises BabbleFishError that names the fix."""
        ...

    async def close(self) -> None: ...

    def health(self) -> Health: ...

    async def put_voice(self, voice: PutVoice) -> VoiceStored:
        """Raises SynthesisError, code as in ``Failed``."""
        ...

    async def delete_voice(self, speaker_id: str) -> VoiceDeleted: ...

    def speak(self, request: Synthesize) -> AsyncGenerator[ClauseSpoken]:
        """Clause by clause; closing it cancels. Raises SynthesisError, code as in ``Failed``."""
        ...
