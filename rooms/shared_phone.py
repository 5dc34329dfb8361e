"""Two people at one phone: which of them spoke, and how each of them sounds.

They speak different languages, so the language of a sentence says whose it most likely is. Where
both voices are known well, they say it better: people try the other's language. Knows no room and
keeps no sound.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from babblefish.engine.identification import OWNER, UNKNOWN, Identity
from babblefish.engine.pitch import Pitch
from babblefish.engine.voice_matching import Person
from babblefish.engine.voices import VoiceBook

FIRST, SECOND = OWNER, OWNER + 1
"""numbers of the two, as of voices at one microphone: who speaks the phone's first language, and
the other"""
_SURE = 2
"""utterances in one language more than in the other from which a voice is known to be one's"""
_MOST_UTTERANCES = 16
"""whose pitch waits for their language"""


class Two:
    """Of one phone, whose languages are told with each call, as they may change."""

    def __init__(self) -> None:
        self.knows_owner = False
        """the first of the two is somebody whose voice and wishes the server knows"""
        self._said: dict[int, Counter[str]] = defaultdict(Counter)
        """voice → how often it spoke which language"""
        self._pitches: dict[str, Pitch] = {}
        self._heard: set[int] = set()
        """of the two, whose pitch was measured"""

    @property
    def _known(self) -> set[int]:
        return self._heard | ({FIRST} if self.knows_owner else set())

    def speaker(self, identity: Identity, language: str, pair: tuple[str, str]) -> int:
        """FIRST or SECOND, for an utterance in ``language`` by who ``identity`` says."""
        whose = {voice: self._whose(voice, pair) for voice in self._said}
        by_language = SECOND if language == pair[1] else FIRST
        if identity.person is not None or not {FIRST, SECOND} <= set(whose.values()):
            return by_language  # one voice alone may be both of theirs
        found = whose.get(identity.voice)
        return by_language if found is None else found

    def _whose(self, voice: int, pair: tuple[str, str]) -> int | None:
        lead = self._said[voice][pair[0]] - self._said[voice][pair[1]]
        if abs(lead) < _SURE:
            return None
        return FIRST if lead > 0 else SECOND

    def heard(self, identity: Identity, language: str) -> None:
        """Once for each utterance, after ``speaker`` was asked."""
        if identity.person is None and identity.voice != UNKNOWN:
            self._said[identity.voice][language] += 1

    # --- how they sound -----------------------------------------------------------------------

    def pitched(self, member: str, utterance: str, pitch: Pitch, voices: VoiceBook) -> None:
        """How high somebody spoke, before it is known which of the two it was: as long as nothing
        is known of one of them, their voice is chosen as if it was they."""
        self._pitches[utterance] = pitch
        while len(self._pitches) > _MOST_UTTERANCES:
            self._pitches.pop(next(iter(self._pitches)))
        for number in {FIRST, SECOND} - self._known:
            voices.release(voice_key(member, number))
            voices.describe(voice_key(member, number), Person(pitch=pitch.hertz))

    def spoke(self, member: str, utterance: str, number: int, voices: VoiceBook) -> None:
        """It was this one of the two."""
        pitch = self._pitches.pop(utterance, None)
        if pitch is None:
            return
        key = voice_key(member, number)
        if number not in self._known:
            voices.describe(key, Person())  # what is heard counts from now on
        self._heard.add(number)
        voices.hear(key, pitch)


def voice_key(member: str, number: int) -> str:
    """Under which one of the two has their voices in the room's ``VoiceBook``."""
    return member if number == FIRST else f"{member}/2"
