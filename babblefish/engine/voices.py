"""Who speaks with which voice: every member of a room gets one of their own and keeps it.

Pure bookkeeping over voice names; knows no model. ``KOKORO_VOICES`` lists the voices that were
found intelligible and distinct.
"""

from __future__ import annotations

from collections.abc import Sequence

KOKORO_VOICES: dict[str, tuple[str, ...]] = {
    "en": ("af_heart", "am_michael", "bf_emma", "bm_george", "af_bella", "am_fenrir", "am_puck"),
    "es": ("ef_dora", "em_alex", "em_santa"),
    "fr": ("ff_siwis",),
    "hi": ("hf_alpha", "hm_omega", "hf_beta", "hm_psi"),
    "it": ("if_sara", "im_nicola"),
    "pt": ("pf_dora", "pm_alex", "pm_santa"),
}
"""language → voice names, best first"""


class VoiceBook:
    """Voices of one room's members."""

    def __init__(self) -> None:
        self._voices: dict[tuple[str, str], str] = {}

    def assign(
        self, member: str, language: str, names: Sequence[str], pitch_hz: float | None = None
    ) -> str:
        """The member's voice in ``language``, one of ``names``; the same at every call."""
        key = (member, language)
        if self._voices.get(key) not in names:
            taken = [v for (_, lang), v in self._voices.items() if lang == language]
            self._voices[key] = min(names, key=lambda name: (taken.count(name), names.index(name)))
        return self._voices[key]

    def release(self, member: str) -> None:
        """Forget a member who left; their voices are free again."""
        self._voices = {key: v for key, v in self._voices.items() if key[0] != member}
