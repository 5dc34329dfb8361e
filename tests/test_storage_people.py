"""People in the storage: round trips, consent that is enforced, merging and splitting."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest

from babblefish.errors import StorageError
from tests.stored import NOW, clip, form, opened, room, said, voiceprint


async def test_a_person_comes_back_as_stored(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker(" Ana ", voice="neutral", color=3)
        await storage.change_speaker(ana.id, voices={"fr": "ff_siwis"}, voice="closest")
        given = await storage.add_consent(ana.id, form("voiceprint", "Ja, gern.", "Ana"))
        await storage.add_consent(ana.id, form("cloning"))
        made = await storage.add_embedding(ana.id, "ge2e", voiceprint(1), 3.5)
        kept = await storage.add_clip(ana.id, clip("Zażółć gęślą jaźń"))
    async with opened(tmp_path) as storage:
        [stored] = await storage.speakers()
        assert (stored.name, stored.voice, stored.color, stored.created) == (
            "Ana", "closest", 3, NOW,
        )  # fmt: skip
        assert stored.voices == {"fr": "ff_siwis"}
        assert (await storage.consents(ana.id))[0] == given
        assert await storage.embeddings(encoder="ge2e") == [made]
        assert await storage.embeddings(encoder="pyannote") == []
        assert (made.array == voiceprint(1)).all()
        assert await storage.clips(ana.id) == [kept]
        assert await storage.clip_audio(kept.id) == clip("Zażółć gęślą jaźń").audio
        assert kept.quality == {"snr_db": 30.5} and "Ana" not in kept.file
        acts = [entry.act for entry in await storage.audit_log()]
        assert acts == [
            "clip_added", "embedding_added", "consent_given_cloning", "consent_given_voiceprint",
            "speaker_added",
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "lone \ud800 surrogate"])
async def test_a_name_that_cannot_be_kept_is_refused(tmp_path, name):
    async with opened(tmp_path) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.add_speaker(name)
        assert caught.value.code == "bad_value"
        assert storage.health.state == "ok" and await storage.speakers() == []


async def test_nothing_is_kept_of_a_voice_without_consent(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker("Ana")
        passing = clip(source="meeting")

        async def refused(coroutine) -> str:
            with pytest.raises(StorageError) as caught:
                await coroutine
            assert caught.value.code == "consent"
            return caught.value.message

        assert "voiceprint" in await refused(
            storage.add_embedding(ana.id, "ge2e", voiceprint(1), 3.0)
        )
        await refused(storage.add_clip(ana.id, clip()))
        await storage.add_consent(ana.id, form("voiceprint"))
        await storage.add_embedding(ana.id, "ge2e", voiceprint(1), 3.0)
        await refused(storage.add_clip(ana.id, clip()))
        await storage.add_consent(ana.id, form("cloning"))
        await storage.add_clip(ana.id, clip())
        assert "during meetings" in await refused(storage.add_clip(ana.id, passing))
        await refused(storage.add_embedding(ana.id, "ge2e", voiceprint(2), 3.0, source="meeting"))
        await storage.add_consent(ana.id, form("passive_collection"))
        await storage.add_clip(ana.id, passing)
        assert len(os.listdir(tmp_path / "clips")) == 2
        await refused(storage.add_embedding("nobody", "ge2e", voiceprint(1), 3.0))


async def test_withdrawing_a_consent_deletes_what_it_allowed_and_nothing_else(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker("Ana")
        for purpose in ("voiceprint", "cloning", "passive_collection"):
            await storage.add_consent(ana.id, form(purpose))
        enrolled = await storage.add_embedding(ana.id, "ge2e", voiceprint(1), 3.0)
        await storage.add_embedding(ana.id, "ge2e", voiceprint(2), 3.0, source="meeting")
        read_aloud = await storage.add_clip(ana.id, clip("read aloud"))
        checked = await storage.add_clip(ana.id, clip("checked", purpose="voiceprint"))
        await storage.add_clip(ana.id, clip("overheard", source="meeting"))

        await storage.withdraw_consent(ana.id, "passive_collection")
        assert await storage.clips(ana.id) == [read_aloud, checked]
        assert await storage.embeddings(ana.id) == [enrolled]
        assert await storage.agreed(ana.id) == {"voiceprint", "cloning"}

        await storage.withdraw_consent(ana.id, "cloning")
        assert await storage.clips(ana.id) == [checked]
        assert os.listdir(tmp_path / "clips") == [checked.file]
        await storage.withdraw_consent(ana.id, "voiceprint")
        assert await storage.clips(ana.id) == [] == await storage.embeddings()
        assert [c.withdrawn for c in await storage.consents(ana.id)] == [NOW] * 3
        with pytest.raises(StorageError, match="no such consent"):
            await storage.withdraw_consent(ana.id, "cloning")


async def test_two_entries_that_are_one_person_become_one(tmp_path):
    async with opened(tmp_path) as storage:
        ana, anna = await storage.add_speaker("Ana"), await storage.add_speaker("Ana B")
        for person in (ana, anna):
            await storage.add_consent(person.id, form("voiceprint"))
            await storage.add_embedding(person.id, "ge2e", voiceprint(1), 3.0)
        await storage.add_consent(anna.id, form("cloning"))
        await storage.add_clip(anna.id, clip())
        storage.record(room())
        storage.record(said(1, speaker_id=anna.id, speaker_name="Ana B"))

        await storage.merge_speakers(ana.id, anna.id)
        assert [s.name for s in await storage.speakers()] == ["Ana"]
        assert len(await storage.embeddings(ana.id)) == 2 and len(await storage.clips(ana.id)) == 1
        [entry] = await storage.transcript("r00m")
        assert (entry.spoken.speaker_id, entry.spoken.speaker_name) == (ana.id, "Ana")
        with pytest.raises(StorageError) as caught:
            await storage.merge_speakers(ana.id, ana.id)
        assert caught.value.code == "bad_value"


async def test_splitting_needs_the_consent_of_whose_voice_it_is(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker("Ana")
        theirs = await storage.add_consent(ana.id, form("voiceprint"))
        await storage.add_consent(ana.id, form("cloning"))
        one = await storage.add_embedding(ana.id, "ge2e", voiceprint(1), 3.0)
        other = await storage.add_embedding(ana.id, "ge2e", voiceprint(2), 3.0)
        recording = await storage.add_clip(ana.id, clip())
        moved = {"clips": [recording.id], "embeddings": [other.id]}

        for consents in (
            {}, {"consents": [theirs.id]}, {"forms": [form("cloning")]},
            {"forms": [form("cloning")], "consents": [theirs.id]},  # the first one keeps none
        ):  # fmt: skip
            with pytest.raises(StorageError) as caught:
                await storage.split_speaker(ana.id, "Bo", **moved, **consents)
            assert caught.value.code == "consent"
        assert len(await storage.speakers()) == 1, "a refused split leaves nobody behind"
        assert len(await storage.embeddings(ana.id)) == 2

        bo = await storage.split_speaker(
            ana.id, "Bo", **moved, forms=[form("cloning"), form("voiceprint")]
        )
        assert [e.id for e in await storage.embeddings(ana.id)] == [one.id]
        assert [e.id for e in await storage.embeddings(bo.id)] == [other.id]
        assert await storage.clips(ana.id) == []
        assert [c.id for c in await storage.clips(bo.id)] == [recording.id]
        with pytest.raises(StorageError) as caught:
            await storage.split_speaker(ana.id, "Cy", clips=[recording.id])
        assert caught.value.code == "not_found"


async def test_bad_recordings_and_voiceprints_are_refused(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker("Ana")
        for purpose in ("voiceprint", "cloning"):
            await storage.add_consent(ana.id, form(purpose))
        for bad in ({"audio": b""}, {"suffix": "/../x"}, {"audio": bytes(17 * 1024**2)},
                    {"source": "elsewhere"}, {"seconds": float("nan")}):  # fmt: skip
            with pytest.raises(StorageError) as caught:
                await storage.add_clip(ana.id, clip(**bad))
            assert caught.value.code == "bad_value"
        for vector in (np.full(4, np.nan), np.ones((2, 2)), np.ones(0)):
            with pytest.raises(StorageError) as caught:
                await storage.add_embedding(ana.id, "ge2e", vector, 3.0)
            assert caught.value.code == "bad_value"
        assert os.listdir(tmp_path / "clips") == [] and storage.health.state == "ok"


async def test_a_clip_that_changed_on_disk_is_not_given_out(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker("Ana")
        await storage.add_consent(ana.id, form("cloning"))
        kept = await storage.add_clip(ana.id, clip())
        (tmp_path / "clips" / kept.file).write_bytes(b"something else")
        with pytest.raises(StorageError) as caught:
            await storage.clip_audio(kept.id)
        assert caught.value.code == "clip_damaged"


async def test_only_the_owner_may_read_the_folder(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    async with opened(folder) as storage:
        ana = await storage.add_speaker("Ana")
        await storage.add_consent(ana.id, form("cloning"))
        await storage.add_clip(ana.id, clip())
        found = {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert {path.name for path in found} >= {"babblefish.db", "babblefish.db-wal", "clips"}
    assert {path.name: oct(mode) for path, mode in found.items() if mode & 0o077} == {}


@pytest.mark.parametrize("act, subject", [("renamed to Ana", "x"), ("export", "Ana Müller")])
async def test_an_audit_line_has_no_room_for_content(tmp_path, act, subject):
    async with opened(tmp_path) as storage:
        with pytest.raises(StorageError):
            await storage.note("admin", act, subject)
        await storage.note("admin", "transcript_exported", "r00m")
        assert [e.subject for e in await storage.audit_log()] == ["r00m"]
