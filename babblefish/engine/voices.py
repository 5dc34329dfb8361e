"""Who speaks with which voice: every member of a room gets one of their own and keeps it.

Bookkeeping over voice names; knows no model, and ``voice_matching.py`` says what is near to whom.
All that is kept of live speech is its average pitch; a voiceprint is only what a caller passes.

Kokoro has few voices of most languages, so ``KOKORO_VOICES`` adds blends of a native voice with a
character from elsewhere; ``bench/results/voices.md`` says how well each is understood and told
apart.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from babblefish.engine import voice_matching
from babblefish.engine.pitch import Pitch, PitchMemory
from babblefish.engine.voice_matching import Person, VoiceTable

KOKORO_VOICES: dict[str, tuple[str, ...]] = {
    "en": (
        "af_heart", "am_michael", "bf_emma", "am_fenrir", "af_nicole", "bm_george", "bf_isabella",
        "bm_lewis", "af_kore", "am_onyx", "bf_alice", "am_puck", "af_sarah", "bm_daniel", "af_nova",
        "am_adam", "bf_lily", "am_liam", "af_aoede", "bm_fable", "af_bella", "am_eric", "af_river",
        "am_echo", "af_sky", "am_santa", "af_jessica", "af_alloy",
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


_BLEND = re.compile(r"(?P<name>[a-z]{2}_[a-z]+)(?:\*(?P<weight>\d*\.?\d+))?")


def similar(voice: str, names: Sequence[str]) -> str:
    """One of ``names``, always the same for ``voice``; of the same sex where the names tell, as
    Kokoro's (``af_heart``) and espeak-ng's (``en+f2``) do."""
    sex = voice[1:2] if voice[2:3] == "_" else ""
    fitting = [name for name in names if sex and f"+{sex}" in name] or names
    return fitting[zlib.crc32(voice.encode()) % len(fitting)]


def blend_parts(voice: str) -> list[tuple[str, float]]:
    """``a_b*0.6+c_d*0.4`` → [("a_b", 0.6), ("c_d", 0.4)], the weights scaled to sum to 1.

    Raises ValueError for what is no voice name.
    """
    matches = [_BLEND.fullmatch(part.strip()) for part in voice.split("+")]
    if not all(matches):
        raise ValueError("not a voice name")
    parts = [(m["name"], float(m["weight"] or 1.0)) for m in matches if m]
    total = sum(weight for _, weight in parts)
    if total <= 0:
        raise ValueError("weights of a blend must not all be zero")
    return [(name, weight / total) for name, weight in parts]


class VoiceBook:
    """Voices of one room's members: the nearest to each, no two the same while there are enough.

    Whoever nothing is known of gets the next of a list. A voice that was given is kept, whoever
    joins; it changes when its owner wishes, and once when more is known about them and another
    voice is nearer by far.
    """

    def __init__(self, known: VoiceTable | None = None) -> None:
        """known: what the voices sound like; the committed table by default."""
        self._known = known
        self._people: dict[str, Person] = {}
        self._heard: dict[str, PitchMemory] = {}
        self._given: dict[tuple[str, str], _Given] = {}

    def describe(self, member: str, person: Person) -> None:
        """What is known about a member from now on; ``Person()`` forgets it again."""
        self._people[member] = person

    def hear(self, member: str, measured: Pitch) -> None:
        """How high a member spoke. What ``describe`` says goes before it."""
        self._heard.setdefault(member, PitchMemory()).add(measured)

    def assign(self, member: str, language: str, names: Sequence[str]) -> str:
        """The member's voice in ``language``: one of ``names``, or a blend of theirs that the
        member has chosen. The same at every call, but for what the class says."""
        person, given = self._person(member), self._given.get((member, language))
        wish = _wish(person, language, names)
        if given and given.wish == wish and is_sayable(given.voice, names):
            if _evidence(person) <= given.evidence:
                return given.voice
        else:
            given = None
        voice = wish if wish and wish != _NEUTRAL else self._nearest(member, language, names)
        if given and not self._is_worth_changing(person, language, given.voice, voice):
            voice = given.voice
        self._given[member, language] = _Given(voice, wish, _evidence(person))
        return voice

    def taken(self, language: str) -> dict[str, str]:
        """member → the voice that they have been given."""
        return {who: given.voice for (who, lang), given in self._given.items() if lang == language}

    def release(self, member: str) -> None:
        """Forget a member who left; their voices are free again."""
        self._people.pop(member, None)
        self._heard.pop(member, None)
        self._given = {key: given for key, given in self._given.items() if key[0] != member}

    @property
    def _table(self) -> VoiceTable:
        return self._known or voice_matching.table()

    def _person(self, member: str) -> Person:
        person = self._people.get(member, Person())
        heard = self._heard.get(member)
        measured = heard.pitch if heard else None
        if person.pitch is None and measured and measured.seconds >= ENOUGH_PITCH_SECONDS:
            return replace(person, pitch=measured.hertz)
        return person

    def _nearest(self, member: str, language: str, names: Sequence[str]) -> str:
        """As if everybody who has no voice yet got theirs now: nobody takes the one that somebody
        else needs more."""
        taken = self.taken(language)
        waiting = {
            other: person
            for other in self._people | self._heard
            if other != member
            and other not in taken
            and voice_matching.is_known(person := self._person(other))
        }
        person = self._person(member)
        others = [voice for who, voice in taken.items() if who != member]
        before = "" if person.neutral else person.remembered.get(language, "")
        if before not in others and is_sayable(before, names):
            return before
        people = [person, *waiting.values()]
        return voice_matching.match(people, language, names, others, self._table)[0]

    def _is_worth_changing(self, person: Person, language: str, now: str, new: str) -> bool:
        if person.remembered.get(language) == new:
            return True
        far, near = (
            voice_matching.distance(person, language, voice, self._table) for voice in (now, new)
        )
        return far - near > _WORTH_CHANGING


@dataclass(frozen=True, slots=True)
class _Given:
    voice: str
    wish: str | None
    """of the member, when it was given"""
    evidence: int


_NEUTRAL = "neutral"
ENOUGH_PITCH_SECONDS = 1.0
"""of voiced speech: the pitch of a shorter one may be that of a single word"""
_WORTH_CHANGING = 0.5
"""by how much another voice must be nearer for a voice heard already to change, in units of
``voice_matching.distance``: four semitones, or another person's timbre"""


def _wish(person: Person, language: str, names: Sequence[str]) -> str | None:
    """A voice, ``_NEUTRAL`` or none; none too for a voice that cannot be had here."""
    if person.neutral:
        return _NEUTRAL
    chosen = person.chosen.get(language)
    return chosen if chosen and is_sayable(chosen, names) else None


def _evidence(person: Person) -> int:
    """How much a voice is chosen by, more for more."""
    return sum(
        weight
        for weight, found in (
            (1, person.pitch), (2, person.voiceprint is not None), (4, person.remembered),
        )
        if found
    )  # fmt: skip


def is_sayable(voice: str, names: Sequence[str]) -> bool:
    """Whether ``voice`` is one of ``names`` or a blend of what they are made of."""
    if voice in names:
        return True
    try:
        known = {part for name in names for part, _ in blend_parts(name)}
        return all(part in known for part, _ in blend_parts(voice))
    except ValueError:
        return False
