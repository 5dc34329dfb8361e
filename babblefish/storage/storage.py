"""The storage as rooms and pages use it: async methods, all of them done by one thread of its own.

Two kinds of methods. What a person asked for (enrol, delete, read) is awaited and raises
StorageError with a code and a sentence for them. What a meeting produces (``record``) is handed
over in no time, never raises, and is written in batches; while the storage is in trouble it
waits, and what does not fit any more is counted. ``health`` says how things are. The event loop
never waits for a disk, and no trouble of the storage reaches a meeting.

Every awaited method raises StorageError("busy" | "slow" | "closed") or one of
``trouble.LASTING``; after a deletion also "erasing": done, but its traces are still on the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from babblefish.storage import (
    api_keys,
    audit,
    consents,
    enrolment,
    laptops,
    material,
    rooms,
    speakers,
    transcripts,
)
from babblefish.storage.calls import Calls
from babblefish.storage.database import Database
from babblefish.storage.keeper import KEEP_ASIDE_DAYS, Keeper
from babblefish.storage.outbox import Outbox
from babblefish.storage.records import (
    Actor,
    AuditEntry,
    Clip,
    Consent,
    ConsentForm,
    Embedding,
    LaptopDebt,
    NewClip,
    NewEnrolment,
    Purpose,
    Source,
    Speaker,
    SpokenLine,
    StorageHealth,
    StoredKey,
    StoredLaptop,
    StoredRoom,
    TranscriptEntry,
    TranslatedLine,
)
from babblefish.storage.worker import Worker

T = TypeVar("T")


class Storage(Calls):
    """``data_dir`` is created when it is missing. ``max_calls`` wait at most, ``max_lines`` of
    transcripts. ``busy_seconds``: how long another program's lock is waited for at a time;
    ``retry``: seconds between tries after trouble, first and longest; ``check_seconds``: between
    looks at a database that nobody uses."""

    def __init__(
        self, data_dir: Path, *, clock: Callable[[], float] = time.time, max_calls: int = 200,
        max_lines: int = 5000, busy_seconds: float = 2.0,
        retry: tuple[float, float] = (0.5, 10.0), call_seconds: float = 30.0,
        check_seconds: float = 5.0,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._outbox = Outbox(max_lines)
        database = Database(data_dir, busy_seconds)
        self._keeper = Keeper(database, self._outbox, clock, retry, check_seconds)
        worker = Worker(
            "storage", max_calls, self._keeper.tend, self._keeper.due, self._keeper.close
        )
        super().__init__(self._keeper, worker, call_seconds)

    async def start(self) -> StorageHealth:
        """Open the database, or find out why not; trouble is no reason not to go on."""
        self._worker.start()
        await self._submit(self._keeper.tend)
        return self.health

    async def close(self, timeout: float = 10.0) -> None:
        """Write what waits and let go of the files; gives up on a dead disk after ``timeout``."""
        self._worker.close()
        ended = asyncio.shield(asyncio.wrap_future(self._worker.ended))
        await asyncio.wait([ended], timeout=timeout)

    @property
    def health(self) -> StorageHealth:
        return self._keeper.health

    async def discard_set_aside(self) -> None:
        """Delete damaged databases, and the clips that belonged to them, for good."""
        await self._submit(self._keeper.discard_set_aside)

    # --- meetings -----------------------------------------------------------------------------

    def record(self, item: StoredRoom | SpokenLine | TranslatedLine) -> None:
        """Keep this as the room's policy allows, soon. Never raises, never waits.

        The room comes before its lines, an utterance before its translations; a room that is
        recorded again replaces what was known of it.
        """
        idle = self._outbox.age() is None
        self._outbox.add(item)
        if idle:
            self._worker.wake()

    async def flush(self) -> None:
        """Returns when everything recorded so far is on the disk."""
        await self._read(lambda connection: None)

    async def rooms(self, *, closed: bool = False) -> list[StoredRoom]:
        """Open rooms, the oldest first; with ``closed`` also those of which something is kept."""
        return await self._read(partial(rooms.everything, closed=closed))

    async def room(self, code: str) -> StoredRoom | None:
        return await self._read(partial(rooms.get, code=code))

    async def save_room(self, room: StoredRoom) -> None:
        """Like ``record``, for an admin who waits for it. Raises StorageError("bad_value")."""
        await self._write(partial(rooms.save, room=room))

    async def close_room(self, code: str) -> None:
        """Nobody enters any more; transcripts that are kept until then are deleted."""
        await self._write(partial(transcripts.close_room, now=self._clock(), room=code))

    async def delete_room(self, code: str, actor: Actor = "admin") -> None:
        await self._write(
            partial(transcripts.remove_room, now=self._clock(), room=code, actor=actor)
        )

    async def transcript(
        self, room: str, *, after: int = 0, limit: int = 1000, words: str = "",
        newest: bool = False,
    ) -> list[TranscriptEntry]:  # fmt: skip
        """Entries after sequence number ``after``, in order; only those that contain ``words``;
        the first ``limit`` of them, or the ``newest``."""
        return await self._read(
            partial(
                transcripts.read, room=room, after=after, limit=limit, words=words, newest=newest
            )
        )

    async def last_sequence(self, room: str) -> int:
        """The newest entry's number; 0: there is none."""
        return await self._read(partial(transcripts.last_sequence, room=room))

    async def delete_transcripts(self, room: str, actor: Actor = "admin") -> None:
        await self._write(partial(transcripts.remove, now=self._clock(), room=room, actor=actor))

    async def expire(self, now: float) -> int:
        """Delete what each room's policy does not keep any longer. Says how many utterances."""

        def run(database: Database) -> int:
            database.discard_set_aside(before=now - KEEP_ASIDE_DAYS * 86400)
            with database.begin() as connection:
                return transcripts.expire(connection, now)

        return await self._call(run)

    # --- people -------------------------------------------------------------------------------

    async def add_speaker(
        self, name: str, *, voice: str = "closest", color: int = 0, actor: Actor = "admin"
    ) -> Speaker:
        """Raises StorageError("bad_value") for an empty or very long name."""
        return await self._write(
            partial(
                speakers.add, now=self._clock(), name=name, voice=voice, color=color, actor=actor
            )
        )

    async def enrol(self, new: NewEnrolment, actor: Actor = "admin") -> Speaker:
        """A person with consents, voiceprints and clips: all of it, or nothing whatever happens.
        Raises StorageError("not_found" | "consent" | "bad_value")."""
        return await self._call(partial(enrolment.keep, now=self._clock(), new=new, actor=actor))

    async def speakers(self) -> list[Speaker]:
        return await self._read(speakers.everybody)

    async def speaker(self, speaker: str) -> Speaker:
        """Raises StorageError("not_found")."""
        return await self._read(partial(speakers.get, speaker=speaker))

    async def change_speaker(
        self, speaker: str, *, actor: Actor = "admin", **changes: Any
    ) -> Speaker:
        """Set name, voice, voices or color. Raises StorageError("not_found" | "bad_value")."""
        return await self._write(
            partial(
                speakers.change, now=self._clock(), speaker=speaker, changes=changes, actor=actor
            )
        )

    async def delete_speaker(
        self, speaker: str, *, spoken: speakers.Spoken = "delete", actor: Actor = "admin"
    ) -> None:
        """No byte of name, voiceprints, clips and consents stays in the folder, nor, unless
        ``spoken`` is "anonymise", of what they said. Raises StorageError("not_found")."""
        await self._write(
            partial(speakers.remove, now=self._clock(), speaker=speaker, spoken=spoken, actor=actor)
        )

    async def merge_speakers(self, keep: str, other: str, actor: Actor = "admin") -> Speaker:
        """Two entries are one person. Raises StorageError("not_found" | "bad_value")."""
        return await self._write(
            partial(speakers.merge, now=self._clock(), keep=keep, other=other, actor=actor)
        )

    async def split_speaker(
        self, speaker: str, name: str, *, clips: Sequence[str] = (),
        embeddings: Sequence[str] = (), consents: Sequence[str] = (),
        forms: Sequence[ConsentForm] = (), actor: Actor = "admin",
    ) -> Speaker:  # fmt: skip
        """A new speaker with these of ``speaker``'s clips, embeddings and consents (ids), and
        with new consents. Raises StorageError("not_found" | "consent")."""
        return await self._write(
            partial(
                speakers.split, now=self._clock(), speaker=speaker, name=name, clip_ids=clips,
                embedding_ids=embeddings, consent_ids=consents, forms=forms, actor=actor,
            )
        )  # fmt: skip

    # --- consent and what needs it ------------------------------------------------------------

    async def add_consent(self, speaker: str, form: ConsentForm, actor: Actor = "admin") -> Consent:
        """Raises StorageError("not_found" | "bad_value")."""
        return await self._write(
            partial(consents.give, now=self._clock(), speaker=speaker, form=form, actor=actor)
        )

    async def consents(self, speaker: str) -> list[Consent]:
        """Withdrawn ones too."""
        return await self._read(partial(consents.of, speaker=speaker))

    async def agreed(self, speaker: str) -> frozenset[Purpose]:
        """What this person agrees to now."""
        return await self._read(partial(consents.current, speaker=speaker))

    async def withdraw_consent(
        self, speaker: str, purpose: Purpose, actor: Actor = "admin"
    ) -> None:
        """Deletes what was kept because of it. Raises StorageError("not_found")."""
        await self._write(
            partial(
                consents.withdraw, now=self._clock(), speaker=speaker, purpose=purpose, actor=actor
            )
        )

    async def add_embedding(
        self, speaker: str, encoder: str, vector: np.ndarray, seconds: float, *,
        source: Source = "enrolment", actor: Actor = "admin",
    ) -> Embedding:  # fmt: skip
        """Raises StorageError("consent" | "bad_value")."""
        return await self._write(
            partial(
                material.add_embedding, now=self._clock(), speaker=speaker, encoder=encoder,
                vector=np.array(vector), seconds=seconds, source=source, actor=actor,
            )
        )  # fmt: skip

    async def embeddings(
        self, speaker: str | None = None, encoder: str | None = None
    ) -> list[Embedding]:
        return await self._read(partial(material.list_embeddings, speaker=speaker, encoder=encoder))

    async def delete_embeddings(self, ids: Sequence[str], actor: Actor = "admin") -> None:
        """All of them or none. Raises StorageError("not_found")."""
        await self._write(
            partial(material.remove_embeddings, now=self._clock(), ids=ids, actor=actor)
        )

    async def add_clip(self, speaker: str, clip: NewClip, actor: Actor = "admin") -> Clip:
        """Raises StorageError("consent" | "bad_value")."""
        return await self._call(
            partial(material.add_clip, now=self._clock(), speaker=speaker, new=clip, actor=actor)
        )

    async def clips(self, speaker: str, purpose: Purpose | None = None) -> list[Clip]:
        """With ``purpose``, what may be used for it."""
        return await self._read(partial(material.list_clips, speaker=speaker, purpose=purpose))

    async def clip_audio(self, clip: str) -> bytes:
        """The file. Raises StorageError("not_found" | "clip_damaged")."""
        return await self._call(partial(material.read_clip, clip=clip))

    async def delete_clips(self, ids: Sequence[str], actor: Actor = "admin") -> None:
        """All of them or none. Raises StorageError("not_found")."""
        await self._write(partial(material.remove_clips, now=self._clock(), ids=ids, actor=actor))

    # --- laptops ------------------------------------------------------------------------------

    async def add_laptop(
        self, laptop: StoredLaptop, replaces: Sequence[str] = (), actor: Actor = "admin"
    ) -> None:
        """``replaces``: ids of the same laptop from before. Raises StorageError("bad_value")."""
        await self._write(
            partial(
                laptops.add, now=self._clock(), laptop=laptop, replaces=replaces, actor=actor
            )
        )  # fmt: skip

    async def replace_laptop(self, laptop: str, old: str) -> None:
        """Both are one, and ``laptop`` stays."""
        await self._write(
            partial(
                laptops.replace, now=self._clock(), laptop=laptop, old=old, actor="server"
            )
        )  # fmt: skip

    async def laptops(self) -> list[StoredLaptop]:
        """The oldest first."""
        return await self._read(laptops.everything)

    async def rename_laptop(self, laptop: str, name: str, actor: Actor = "admin") -> None:
        """Raises StorageError("not_found" | "bad_value")."""
        await self._write(
            partial(laptops.rename, now=self._clock(), laptop=laptop, name=name, actor=actor)
        )

    async def delete_laptop(self, laptop: str, actor: Actor = "admin") -> None:
        """Raises StorageError("not_found")."""
        await self._write(partial(laptops.remove, now=self._clock(), laptop=laptop, actor=actor))

    async def owe_forgetting(self, speakers: Sequence[str]) -> None:
        """Every laptop has to forget these people's voices. Deleting them, merging them away and
        withdrawing a consent owe it already."""
        await self._write(partial(laptops.owe, now=self._clock(), speakers=speakers))

    async def laptop_debts(self) -> list[LaptopDebt]:
        """What laptops have not forgotten yet, the oldest first."""
        return await self._read(laptops.owed)

    async def settle_laptop_debts(self, paid: Sequence[LaptopDebt]) -> None:
        await self._write(partial(laptops.settle, paid=paid))

    # --- keys of programs ---------------------------------------------------------------------

    async def add_key(self, key: StoredKey, actor: Actor = "admin") -> None:
        """Raises StorageError("bad_value" | "too_many_keys")."""
        await self._write(partial(api_keys.add, now=self._clock(), key=key, actor=actor))

    async def keys(self) -> list[StoredKey]:
        """The oldest first."""
        return await self._read(api_keys.everything)

    async def keep_keys(self, known: Sequence[StoredKey]) -> list[StoredKey]:
        """As ``keys``, with those of ``known`` that are gone without having been revoked."""
        return await self._write(partial(api_keys.keep, known=known))

    async def delete_key(self, key: str, actor: Actor = "admin") -> None:
        """Raises StorageError("not_found")."""
        await self._write(partial(api_keys.remove, now=self._clock(), key=key, actor=actor))

    async def note_key_use(self, used: Mapping[str, float]) -> None:
        """Key → Unix time of its last use."""
        await self._write(partial(api_keys.note_use, used=dict(used)))

    # --- audit --------------------------------------------------------------------------------

    async def note(self, actor: Actor, act: str, subject: str) -> None:
        """An audit line for an act outside of the storage, such as a download. ``act``: small
        letters and underscores; ``subject``: an id. Raises StorageError("bad_value")."""
        await self._write(
            partial(audit.note, now=self._clock(), actor=actor, act=act, subject=subject)
        )

    async def audit_log(self, limit: int = 200, skip: int = 0) -> list[AuditEntry]:
        """The newest first, without the ``skip`` newest."""
        return await self._read(partial(audit.entries, limit=limit, skip=skip))
