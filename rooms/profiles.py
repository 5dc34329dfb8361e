"""What is done with known people: recognised by their key, given voices, renamed, merged, split,
deleted. Keeps the rooms they are in true to the storage.

A key opens one person's own voice data and nothing else: no room, no other person, no rights in a
meeting; nor does a voiceprint. Knows no pages; who may call what is decided by its callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from babblefish.engine.voice_matching import Person, unit
from babblefish.errors import RoomError, StorageError
from babblefish.storage.records import Actor, ConsentForm, Purpose, Speaker
from rooms import voice_choice
from rooms.names import clean_name

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from babblefish.storage.storage import Storage
    from rooms.hub import Hub
    from rooms.member import Member
    from rooms.people import KnownPerson

log = logging.getLogger(__name__)

_KEY = "person"
"""what the server's secret signs"""


class Profiles:
    """For the event loop. Methods that change something raise StorageError, "no_storage" where
    nothing is kept."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub, self._engine = hub, engine
        self._remembering: set[asyncio.Task] = set()
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        await asyncio.gather(*self._remembering, return_exceptions=True)

    @property
    def _storage(self) -> Storage:
        if self._hub.storage is None:
            raise StorageError("no_storage", "This server keeps nothing about people.")
        return self._hub.storage

    # --- keys ---------------------------------------------------------------------------------

    def key(self, speaker: str) -> str:
        """What a phone keeps to be known in the next meeting."""
        return f"{speaker}.{self._hub.secret.sign(_KEY, speaker)}"

    def recognise(self, key: str | None) -> str | None:
        """Whose key this is; None for a wrong one, and for somebody who was deleted."""
        speaker, dot, signature = (key or "").partition(".")
        if not dot or not self._hub.secret.verify(_KEY, speaker, signature):
            return None
        return speaker if self._hub.people.get(speaker) else None

    # --- people in rooms ----------------------------------------------------------------------

    def seat(self, member: Member, speaker: str | None) -> None:
        """From now on the phone's owner is this person, or nobody known."""
        known = self._hub.people.get(speaker)
        member.speaker = speaker if known else None
        if known:
            member.chosen_voice = known.speaker.voice
        self.describe(member)

    def describe(self, member: Member) -> None:
        """Tell the room by what to choose this member's voice."""
        known = self._hub.people.get(member.speaker)
        wish = Person(
            chosen=voice_choice.by_language(member.chosen_voice),
            neutral=voice_choice.is_neutral(member.chosen_voice),
        )
        if known is not None:
            encoder = self._engine.speaker_encoder.capabilities.name
            wish = replace(
                wish, remembered=known.speaker.voices, voiceprint=_voiceprint(known),
                encoder=encoder,
            )  # fmt: skip
        member.room.conversation.describe(member, wish)

    def members(self, speaker: str) -> Iterable[Member]:
        """Where this person sits now."""
        for room in list(self._hub.rooms.values()):
            yield from [m for m in room.members.values() if m.speaker == speaker]

    async def _changed(self, *speakers: str, became: str | None = None) -> None:
        """These people are different now; became: they are somebody else now."""
        await self._hub.refresh_people()
        for speaker in speakers:
            for member in list(self.members(speaker)):
                self.seat(member, became or speaker)

    def voice_found(self, member: Member, language: str, voice: str) -> None:
        """A room gave ``voice`` to a member: a known person gets it in the next meeting too."""
        known = self._hub.people.get(member.speaker)
        if known is None or voice_choice.is_neutral(member.chosen_voice):
            return
        if "voiceprint" not in known.agreed or known.speaker.voices.get(language) == voice:
            return
        if language in voice_choice.by_language(member.chosen_voice):
            return
        if next(iter(self.members(known.speaker.id)), None) is not member:
            return  # on two phones at once: the first one counts
        task = asyncio.create_task(
            self._remember(known.speaker.id, language, voice), name="remember a voice"
        )
        self._remembering.add(task)
        task.add_done_callback(self._remembering.discard)

    async def _remember(self, speaker: str, language: str, voice: str) -> None:
        async with self._one_at_a_time:
            known = self._hub.people.get(speaker)
            if known is None or known.speaker.voices.get(language) == voice:
                return
            voices = {**known.speaker.voices, language: voice}
            with contextlib.suppress(StorageError):  # found anew in the next meeting
                await self._storage.change_speaker(speaker, voices=voices, actor="server")
                await self._hub.refresh_people()

    # --- changes ------------------------------------------------------------------------------

    async def choose_voice(
        self, member: Member, voice: str, language: str, actor: Actor = "self"
    ) -> None:
        """What this member's translations are spoken with. Raises RoomError("voice")."""
        self._check_voice(voice, language)
        choice = voice_choice.choose(member.chosen_voice, voice, language)
        member.chosen_voice = choice  # heard at once, whatever becomes of the storage
        self.describe(member)
        if member.speaker is not None:
            await self._storage.change_speaker(member.speaker, voice=choice, actor=actor)
            await self._changed(member.speaker)

    def _check_voice(self, voice: str, language: str) -> None:
        general = voice == voice_choice.CLOSEST or (voice == voice_choice.NEUTRAL and not language)
        if not general and voice not in self._engine.voices(language):
            raise RoomError("voice", "There is no such voice for this language. Choose another.")

    async def rename(self, speaker: str, name: str, actor: Actor) -> None:
        """Raises RoomError("bad_name")."""
        await self._storage.change_speaker(speaker, name=clean_name(name), actor=actor)
        await self._changed(speaker)

    async def withdraw(self, speaker: str, purpose: Purpose, actor: Actor) -> None:
        """They do not agree to ``purpose`` any more: what was kept for it goes."""
        try:
            await self._storage.withdraw_consent(speaker, purpose, actor)
        except StorageError as error:
            if error.code == "erasing":  # it is done, but for the disk
                self._silence(speaker, purpose)
                await self._changed(speaker)
            raise
        self._silence(speaker, purpose)
        if purpose == "voiceprint":  # the voices were found by it
            await self._storage.change_speaker(speaker, voices={}, actor=actor)
        await self._changed(speaker)

    def _silence(self, speaker: str, purpose: Purpose) -> None:
        if purpose in ("cloning", "passive_collection"):
            self._hub.laptops.forget(speaker)

    async def delete(self, speaker: str, actor: Actor) -> None:
        """Everything about them, what they said in stored meetings too."""
        try:
            await self._storage.delete_speaker(speaker, actor=actor)
        except StorageError as error:
            if error.code == "erasing":
                await self._gone(speaker)
            raise
        await self._gone(speaker)

    async def _gone(self, speaker: str) -> None:
        self._hub.enrolments.cancel_for(speaker)
        self._hub.laptops.forget(speaker)
        sitting = list(self.members(speaker))
        await self._hub.refresh_people()
        for member in sitting:
            member.chosen_voice = voice_choice.CLOSEST
            self.seat(member, None)

    async def merge(self, keep: str, other: str, actor: Actor) -> None:
        """Two entries are one person, who keeps ``keep``'s name."""
        await self._storage.merge_speakers(keep, other, actor)
        self._hub.laptops.forget(other)
        self._hub.enrolments.cancel_for(other)
        await self._changed(keep)
        await self._changed(other, became=keep)

    async def split(
        self, speaker: str, name: str, *, clips: Sequence[str], embeddings: Sequence[str],
        forms: Sequence[ConsentForm], actor: Actor,
    ) -> Speaker:  # fmt: skip
        """These recordings are somebody else's, who agrees to ``forms``. Raises
        RoomError("bad_name" | "nothing_chosen")."""
        if not clips and not embeddings:
            raise RoomError("nothing_chosen", "Choose the recordings that are somebody else's.")
        made = await self._storage.split_speaker(
            speaker, clean_name(name), clips=clips, embeddings=embeddings, forms=forms, actor=actor
        )
        if clips:
            self._hub.laptops.forget(speaker)
        await self._changed(speaker)
        return made


def _voiceprint(known: KnownPerson) -> np.ndarray | None:
    """One of all samples, of length 1; None without consent to one."""
    if "voiceprint" not in known.agreed or not known.samples:
        return None
    prints = np.stack([sample.voiceprint for sample in known.samples])
    return unit(prints.T @ np.array([s.seconds * s.quality for s in known.samples]))
