"""Trouble of the database never reaches a meeting, is told in words, and passes by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import textwrap
import time
from pathlib import Path

import pytest

from babblefish.errors import StorageError
from babblefish.storage.database import Database
from tests.patience import until
from tests.stored import clip, contains, form, kept_for, opened, python, room, said

WRITER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from babblefish.storage.storage import Storage
    from tests.stored import clip, form, kept_for, room, said

    async def main():
        storage = Storage(Path(sys.argv[1]))
        await storage.start()
        storage.record(room(retention=kept_for(9)))
        number = 0
        while True:
            for _ in range(20):
                number += 1
                storage.record(said(number, f"line {number} " + "x" * 500))
            await storage.flush()
            person = await storage.add_speaker(f"Person {number}")
            await storage.add_consent(person.id, form("cloning"))
            kept = await storage.add_clip(person.id, clip(f"clip {number}"))
            print(number, person.id, kept.id, flush=True)

    asyncio.run(main())
""")


@pytest.mark.parametrize("rounds", [1, 12])
async def test_what_was_acknowledged_survives_kill_9(tmp_path, rounds):
    child = python(WRITER, tmp_path)
    acknowledged = [child.stdout.readline().split() for _ in range(rounds)]
    os.kill(child.pid, signal.SIGKILL)  # in the middle of the next round
    acknowledged += [line.split() for line in child.stdout.read().splitlines(keepends=True)
                     if line.endswith("\n")]  # fmt: skip
    child.communicate()
    (tmp_path / "clips" / ".part-half-written.wav").write_bytes(b"RIFF")

    async with opened(tmp_path) as storage:
        assert (storage.health.state, storage.health.set_aside) == ("ok", ())
        lines = await storage.transcript("r00m", limit=100_000)
        last = int(acknowledged[-1][0])
        numbers = [entry.spoken.sequence for entry in lines]
        assert numbers[:last] == list(range(1, last + 1)) and len(numbers) % 20 == 0
        people = {person.id for person in await storage.speakers()}
        files = set()
        for number, person, recording in acknowledged:
            assert person in people
            assert await storage.clip_audio(recording) == clip(f"clip {number}").audio
        for person in people:
            files |= {c.file for c in await storage.clips(person)}
        assert set(os.listdir(tmp_path / "clips")) == files
    with sqlite3.connect(tmp_path / "babblefish.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()


async def test_files_without_rows_and_rows_without_files_go_at_the_start(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker("Ana")
        await storage.add_consent(ana.id, form("cloning"))
        gone, kept = [await storage.add_clip(ana.id, clip(text)) for text in ("one", "two")]
    (tmp_path / "clips" / gone.file).unlink()
    (tmp_path / "clips" / "stray.wav").write_bytes(b"RIFF")
    async with opened(tmp_path) as storage:
        assert await storage.clips(ana.id) == [kept]
        assert os.listdir(tmp_path / "clips") == [kept.file]


async def filled(folder: Path) -> None:
    async with opened(folder) as storage:
        storage.record(room(retention=kept_for(9)))
        for number in range(400):
            storage.record(said(number, f"aubergine {number} " * 20))
        ana = await storage.add_speaker("Ana")
        await storage.add_consent(ana.id, form("cloning"))
        await storage.add_clip(ana.id, clip("zebra"))


def overwrite(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for page in range(1, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = os.urandom(200)
    path.write_bytes(data)


DAMAGES = {
    "overwritten": overwrite,
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "not a database": lambda path: path.write_text("Dear diary, " * 4000),
    "deleted": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_set_aside_and_the_admin_told(tmp_path, damage):
    await filled(tmp_path)
    DAMAGES[damage](tmp_path / "babblefish.db")
    async with opened(tmp_path) as storage:
        health = storage.health
        assert (health.state, health.code) == ("ok", "set_aside")
        names = {name.partition("-")[0] for name in health.set_aside}
        assert names == {"clips.corrupt"} | ({"babblefish.db.corrupt"} - {
            "babblefish.db.corrupt" if damage == "deleted" else ""
        })  # fmt: skip
        assert all(name in health.message for name in health.set_aside)
        assert await storage.speakers() == []
        storage.record(room())
        storage.record(said(1))
        assert len(await storage.transcript("r00m")) == 1
        await storage.expire(1_800_000_000.0 + 6 * 86400)
        assert storage.health.set_aside == health.set_aside, "there is time to look at it"
        assert contains(tmp_path, b"zebra") != []
        await storage.expire(1_800_000_000.0 + 8 * 86400)
        assert (storage.health.message, storage.health.set_aside) == ("", ())
        assert contains(tmp_path, b"zebra", b"aubergine 7 ", b"Dear diary") == []


@pytest.mark.parametrize("how", ["discarded", "with a person"])
async def test_what_was_set_aside_goes_when_asked_and_when_somebody_is_deleted(tmp_path, how):
    await filled(tmp_path)
    overwrite(tmp_path / "babblefish.db")
    async with opened(tmp_path) as storage:
        assert storage.health.set_aside
        if how == "discarded":
            await storage.discard_set_aside()
        else:
            await storage.delete_speaker((await storage.add_speaker("Ana")).id)
        assert storage.health.set_aside == () and storage.health.code == ""
        assert contains(tmp_path, b"zebra", b"aubergine 7 ") == []


async def test_damage_while_running_is_noticed_and_survived(tmp_path):
    await filled(tmp_path)
    async with opened(tmp_path) as storage:
        overwrite(tmp_path / "babblefish.db")
        with pytest.raises(StorageError) as caught:
            await storage.transcript("r00m", limit=1000)
        assert caught.value.code == "corrupt"
        storage.record(room())
        storage.record(said(1, "after the damage"))
        await until(lambda: storage.health.state == "ok")
        assert storage.health.code == "set_aside"
        [entry] = await storage.transcript("r00m")
        assert entry.spoken.text == "after the damage"


def checkpointed(folder: Path) -> None:
    """What was written is in the database's file, no longer in its log."""
    with contextlib.closing(sqlite3.connect(folder / "babblefish.db")) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def test_trouble_is_noticed_although_nobody_uses_the_storage(tmp_path, caplog):
    await filled(tmp_path)
    async with opened(tmp_path, check_seconds=0.05) as storage:
        with python(LOCKER, tmp_path / "babblefish.db") as locker:
            assert locker.stdout.readline() == "locked\n"
            await until(lambda: storage.health.code == "locked")
            locker.communicate("\n\n")
        await until(lambda: storage.health.state == "ok")
        assert "Another program holds" in caplog.text and "works again" in caplog.text
        checkpointed(tmp_path)
        overwrite(tmp_path / "babblefish.db")
        await until(lambda: storage.health.code == "set_aside")
        assert storage.health.message in caplog.text
        await storage.discard_set_aside()
        assert storage.health.code == ""
        storage.record(room())
        await storage.flush()


async def test_looking_for_trouble_takes_little_of_the_time(tmp_path, monkeypatch):
    begun = []

    def slow(self):
        begun.append(time.monotonic())
        time.sleep(0.01)

    monkeypatch.setattr(Database, "check", slow)
    async with opened(tmp_path, check_seconds=0.02) as storage:
        await until(lambda: len(begun) == 3)
        assert storage.health.state == "ok"
    assert begun[2] - begun[1] >= 0.4, "a slow look is followed by a long pause"


async def test_a_folder_that_is_deleted_while_running_is_made_again(tmp_path):
    async with opened(tmp_path / "data") as storage:
        await storage.add_speaker("Ana")
        for path in (tmp_path / "data").glob("babblefish.db*"):
            path.unlink()
        storage.record(room())
        storage.record(said(1))
        assert len(await storage.transcript("r00m")) == 1
        assert (tmp_path / "data" / "babblefish.db").exists()


LOCKER = textwrap.dedent("""
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    print("locked", flush=True)
    sys.stdin.readline()
    connection.execute("ROLLBACK")
    print("free", flush=True)
    sys.stdin.readline()
""")


async def test_another_program_that_locks_the_database_holds_up_nobody(tmp_path):
    async with opened(tmp_path) as storage:
        storage.record(room())
        await storage.flush()
        with python(LOCKER, tmp_path / "babblefish.db") as locker:
            assert locker.stdout.readline() == "locked\n"
            storage.record(said(1, "while locked"))
            with pytest.raises(StorageError) as caught:
                await storage.add_speaker("Ana")
            assert caught.value.code == "locked" and "Another program" in caught.value.message
            assert (storage.health.state, storage.health.code) == ("degraded", "locked")
            assert (storage.health.waiting, storage.health.dropped) == (1, 0)
            locker.stdin.write("\n")
            locker.stdin.flush()
            assert locker.stdout.readline() == "free\n"
            await until(lambda: storage.health.state == "ok")
            assert storage.health.waiting == 0
            [entry] = await storage.transcript("r00m")
            assert entry.spoken.text == "while locked"
            await storage.add_speaker("Ana")
            locker.communicate("\n")


async def test_a_database_that_is_locked_at_the_start_is_used_as_soon_as_it_is_free(tmp_path):
    async with opened(tmp_path) as storage:
        await storage.add_speaker("Ana")
    with sqlite3.connect(tmp_path / "babblefish.db") as plain:
        plain.execute("PRAGMA journal_mode = DELETE")  # so that a lock keeps readers out as well
    plain.close()
    with python(LOCKER, tmp_path / "babblefish.db") as locker:
        assert locker.stdout.readline() == "locked\n"
        async with opened(tmp_path) as storage:
            assert storage.health.code == "locked"
            storage.record(room())
            storage.record(said(1))
            locker.stdin.write("\n")
            locker.stdin.flush()
            await until(lambda: storage.health.state == "ok")
            assert len(await storage.transcript("r00m")) == 1
            assert [s.name for s in await storage.speakers()] == ["Ana"]
        locker.communicate("\n")


async def test_two_servers_do_not_share_a_folder(tmp_path):
    async with opened(tmp_path) as first:
        await first.add_speaker("Ana")
        async with opened(tmp_path) as second:
            assert second.health.code == "in_use" and "BABBLEFISH_DATA_DIR" in second.health.message
            with pytest.raises(StorageError):
                await second.speakers()
            await first.close()
            await until(lambda: second.health.state == "ok")
            assert [s.name for s in await second.speakers()] == ["Ana"]
