"""Backups: made while a server works, whole or refused, and put back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from babblefish.errors import StorageError
from babblefish.storage.backup import backup, restore
from babblefish.storage.records import NewEnrolment
from babblefish.storage.secret import ServerSecret
from babblefish.storage.storage import Storage
from tests.stored import ROOT, clip, form, opened, room, said


async def enrolled(storage: Storage) -> str:
    """Zoé, with three recordings; her id."""
    recordings = tuple(clip(f"sentence {number}") for number in range(3))
    consents = (form("voiceprint"), form("cloning"))
    return (await storage.enrol(NewEnrolment(consents, (), recordings, "Zoé"))).id


async def test_a_backup_of_a_working_server_is_restored_elsewhere(tmp_path: Path):
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "backups" / "one.tar.gz"
    secret = ServerSecret.load(here)
    (here / "tls").mkdir(parents=True)
    (here / "tls" / "ca.key").write_text("key")
    async with opened(here) as storage:
        zoe = await enrolled(storage)
        storage.record(room())
        storage.record(said(1, "Bonjour."))
        await storage.flush()
        size = await asyncio.to_thread(backup, here, file)
        assert size == file.stat().st_size
        assert file.stat().st_mode & 0o777 == 0o600
        kept = {path.name for path in (here / "clips").iterdir()}
        await storage.delete_speaker(zoe)  # after the backup: not in its files
    assert not list(file.parent.glob(".backup-*"))

    restore(file, there)
    assert {path.name for path in (there / "clips").iterdir()} == kept
    assert ServerSecret.load(there).sign("a", "b") == secret.sign("a", "b"), (
        "old links still open rooms"
    )
    assert (there / "tls" / "ca.key").read_text() == "key"
    assert all(p.stat().st_mode & 0o077 == 0 for p in there.rglob("*"))
    async with opened(there) as storage:
        assert [speaker.name for speaker in await storage.speakers()] == ["Zoé"]
        assert [found.code for found in await storage.rooms()] == ["r00m"]


async def test_backups_while_recordings_come_and_go_are_whole(tmp_path: Path):
    here = tmp_path / "here"
    async with opened(here) as storage:
        someone = await enrolled(storage)
        over = asyncio.Event()

        async def come_and_go() -> None:
            while not over.is_set():
                new = await storage.add_clip(someone, clip("words"))
                await storage.delete_clips([new.id], "admin")

        work = asyncio.create_task(come_and_go())
        try:
            for number in range(5):
                file = tmp_path / f"{number}.tar.gz"
                await asyncio.to_thread(backup, here, file)
                restore(file, tmp_path / str(number))
        finally:
            over.set()
            await work
    for number in range(5):
        async with opened(tmp_path / str(number)) as storage:
            [speaker] = await storage.speakers()
            for found in await storage.clips(speaker.id):
                assert (await storage.clip_audio(found.id)).startswith(b"RIFF")


def test_what_is_no_backup_is_refused_and_leaves_nothing(tmp_path: Path):
    good = tmp_path / "good.tar.gz"
    bad = tmp_path / "bad.tar.gz"
    there = tmp_path / "there"

    async def made() -> None:
        async with opened(tmp_path / "here") as storage:
            await enrolled(storage)

    asyncio.run(made())
    backup(tmp_path / "here", good)
    bad.write_bytes(good.read_bytes()[:-2000])
    outside = tmp_path / "outside.tar.gz"
    with tarfile.open(outside, "w:gz") as archive:
        archive.add(__file__, "../outside.py")
    nothing = tmp_path / "nothing.tar.gz"
    nothing.write_bytes(b"")
    for file in (bad, outside, nothing, tmp_path / "absent.tar.gz"):
        with pytest.raises(StorageError) as refused:
            restore(file, there)
        assert refused.value.code == "no_backup"
        assert {path.name for path in there.iterdir()} <= {"storage.lock"}
    assert not (tmp_path / "outside.py").exists()


async def test_nothing_is_overwritten(tmp_path: Path):
    here, file = tmp_path / "here", tmp_path / "one.tar.gz"
    with pytest.raises(StorageError) as refused:
        backup(here, file)
    assert refused.value.code == "no_data"
    assert not file.exists()
    async with opened(here) as storage:
        await storage.flush()
        backup(here, file)
        with pytest.raises(StorageError) as refused:
            restore(file, here)
        assert refused.value.code == "in_use"
        with pytest.raises(StorageError) as refused:
            backup(here, file)
        assert refused.value.code == "exists"
    with pytest.raises(StorageError) as refused:
        restore(file, here)
    assert refused.value.code == "exists"


def test_the_commands_say_what_they_did(tmp_path: Path):
    asyncio.run(_empty(tmp_path / "here"))
    for folder, command in (("here", "backup"), ("there", "restore")):
        done = subprocess.run(
            [sys.executable, "app.py", command, str(tmp_path / "one.tar.gz")], cwd=ROOT,
            env={"BABBLEFISH_DATA_DIR": str(tmp_path / folder), "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "people's data" in done.stdout or "deleted after that backup" in done.stdout
    assert (tmp_path / "there" / "babblefish.db").is_file()


async def _empty(folder: Path) -> None:
    async with opened(folder) as storage:
        await storage.flush()
