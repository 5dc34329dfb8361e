"""Who speaks with which voice: every member of a room gets one of their own and keeps it.

Pure bookkeeping over voice names; knows no model. Kokoro has few voices of most languages, so
``KOKORO_VOICES`` adds blends of a native voice with a character from elsewhere;
``bench/results/voices.md`` says how well each is understood and told apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

KOKORO_VOICES: dict[str, tuple[str, ...]] = {
    "en": (
        "af_heart", "am_michael", "bf_emma", "am_fenrir", "af_nicole", "bm_george", "bf_isabella",
        "bm_lewis", "af_kore", "am_onyx",
    ),
    "es": (
        "ef_dora", "em_santa", "ef_dora*0.3+bf_emma*0.7", "em_alex*0.3+bm_george*0.7",
        "ef_dora*0.3+if_sara*0.7", "em_alex", "ef_dora*0.3+af_nicole*0.7",
        "em_alex*0.3+am_onyx*0.7", "em_alex*0.3+im_nicola*0.7",
    ),
    "fr": (
        "ff_siwis", "ff_siwis*0.5+am_onyx*0.5", "ff_siwis*0.4+bf_emma*0.6",
        "ff_siwis*0.4+pm_santa*0.6", "ff_siwis*0.5+af_nicole*0.5", "ff_siwis*0.5+bm_george*0.5",
        "ff_siwis*0.4+if_sara*0.6", "ff_siwis*0.4+em_alex*0.6",
    ),
    "hi": (
        "hf_alpha", "hm_omega", "hf_beta", "hm_psi", "hf_alpha*0.5+af_nicole*0.5",
        "hm_omega*0.5+am_onyx*0.5", "hf_beta*0.5+bf_emma*0.5", "hm_psi*0.5+bm_george*0.5",
    ),
    "it": (
        "if_sara", "im_nicola", "if_sara*0.3+bf_emma*0.7", "im_nicola*0.3+am_fenrir*0.7",
        "if_sara*0.3+af_nicole*0.7", "im_nicola*0.3+bm_george*0.7", "if_sara*0.3+af_kore*0.7",
        "im_nicola*0.3+pm_santa*0.7",
    ),
    "pt": (
        "pf_dora", "pm_santa", "pf_dora*0.3+bf_emma*0.7", "pm_alex*0.3+bm_george*0.7",
        "pf_dora*0.3+if_sara*0.7", "pm_alex", "pf_dora*0.3+af_nicole*0.7",
        "pm_alex*0.3+am_onyx*0.7", "pm_alex*0.3+im_nicola*0.7",
    ),
}  # fmt: skip
"""language → voice names in the order they are given out: native ones and clearly different ones
first, female and male by turns"""


def similar(voice: str, names: Sequence[str]) -> str:
    """One of ``names``, always the same for ``voice``; of the same sex where the names tell, as
    Kokoro's (``af_heart``) and espeak-ng's (``en+f2``) do."""
    sex = voice[1:2] if voice[2:3] == "_" else ""
    fitting = [name for name in names if sex and f"+{sex}" in name] or names
    return fitting[zlib.crc32(voice.encode()) % len(fitting)]


class VoiceBook:
    """Voices of one room's members."""

    def __init__(self) -> None:
        self._voices: dict[tuple[str, str], str] = {}

    def assign(self, member: str, language: str, names: Sequence[str]) -> str:
        """The member's voice in ``language``, one of ``names``; the same at every call."""
        key = (member, language)
        if self._voices.get(key) not in names:
            taken = [v for (_, lang), v in self._voices.items() if lang == language]
            self._voices[key] = min(names, key=lambda name: (taken.count(name), names.index(name)))
        return self._voices[key]

    def release(self, member: str) -> None:
        """Forget a member who left; their voices are free again."""
        self._voices = {key: v for key, v in self._voices.items() if key[0] != member}
