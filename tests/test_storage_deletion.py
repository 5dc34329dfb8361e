"""Deleted means deleted: no byte of it in any file of the folder, whatever happened on the way."""

from __future__ import annotations

import os
import random
import signal
import textwrap

import pytest
from sqlalchemy import delete

from babblefish.errors import StorageError
from babblefish.storage import transcripts
from babblefish.storage.database import Database
from babblefish.storage.tables import utterances
from tests.patience import until
from tests.stored import (
    NOW,
    clip,
    contains,
    form,
    in_french,
    kept_for,
    opened,
    python,
    room,
    said,
    voiceprint,
)

NAME, WORDING = "Quirina Ødegård", "I, the undersigned, agree to rhubarb."
SPOKEN, TRANSLATED, READ = "my aubergine is late", "mon cornichon est en retard", "zebra prompt"
THEIRS = [NAME.encode(), WORDING.encode(), SPOKEN.encode(), TRANSLATED.encode(), READ.encode()]


async def live(storage, others: int = 40) -> str:
    """A life in the database that moves rows between pages: many people, long transcripts."""
    storage.record(room(retention=kept_for(30), glossary=(NAME, "Kokoro")))
    someone = ""
    for number in range(others):
        name = NAME if number == others // 2 else f"Person {number:04}" + "x" * (number % 90)
        person = await storage.add_speaker(name)
        for purpose in ("voiceprint", "cloning"):
            wording = WORDING if name == NAME else "yes " * (number % 70 + 1)
            await storage.add_consent(person.id, form(purpose, wording, name))
        await storage.add_embedding(person.id, "ge2e", voiceprint(number), 3.0)
        line = {"speaker_id": person.id, "speaker_name": name}
        mine = name == NAME
        storage.record(said(number + 1, SPOKEN if mine else "word " * (number % 200), **line))
        storage.record(in_french(number + 1, TRANSLATED if mine else "mot " * (number % 200)))
        if mine:
            someone = person.id
            await storage.add_clip(person.id, clip(READ))
    await storage.flush()
    return someone


async def test_nothing_of_a_deleted_person_is_left_in_any_file(tmp_path):
    async with opened(tmp_path) as storage:
        someone = await live(storage)
        [made] = await storage.embeddings(someone)
        theirs = [*THEIRS, made.vector]
        found = contains(tmp_path, *theirs)
        assert {text.partition(": ")[2] for text in found} == {repr(n[:20]) for n in theirs}

        await storage.delete_speaker(someone)
        assert contains(tmp_path, *theirs) == []
        assert os.listdir(tmp_path / "clips") == []
        newest = (await storage.audit_log())[0]
        assert (newest.act, newest.subject, newest.at) == ("speaker_deleted", someone, NOW)
        assert len(await storage.speakers()) == 39
        assert len(await storage.transcript("r00m")) == 39
        assert [r.glossary for r in await storage.rooms()] == [("Kokoro",)]
        with pytest.raises(StorageError) as caught:
            await storage.delete_speaker(someone)
        assert caught.value.code == "not_found"
    assert contains(tmp_path, *theirs) == []


async def test_what_was_said_can_stay_without_who_said_it(tmp_path):
    async with opened(tmp_path) as storage:
        someone = await live(storage, 3)
        await storage.delete_speaker(someone, spoken="anonymise")
        storage.record(said(9, "and later", speaker_id=someone, speaker_name=NAME))
        [entry] = await storage.transcript("r00m", words="aubergine")
        assert (entry.spoken.speaker_name, entry.spoken.speaker_id) == ("", None)
        [late] = await storage.transcript("r00m", words="and later")
        assert late.spoken.speaker_name == "", "a deleted name does not come back"
        assert contains(tmp_path, NAME.encode(), WORDING.encode(), READ.encode()) == []
        assert contains(tmp_path, SPOKEN.encode()) != []


@pytest.mark.parametrize("how", ["transcripts", "room", "close", "expire"])
async def test_nothing_of_deleted_transcripts_is_left_in_any_file(tmp_path, how):
    async with opened(tmp_path) as storage:
        storage.record(room(retention=kept_for(1)) if how == "expire" else room())
        for number in range(200):
            storage.record(said(number, f"{SPOKEN} {number} " + "x" * number))
            storage.record(in_french(number, f"{TRANSLATED} {number} " + "y" * number))
        await storage.flush()
        assert contains(tmp_path, SPOKEN.encode(), TRANSLATED.encode()) != []
        match how:
            case "transcripts":
                await storage.delete_transcripts("r00m")
            case "room":
                await storage.delete_room("r00m")
            case "close":
                await storage.close_room("r00m")
            case "expire":
                assert await storage.expire(NOW + 3 * 86400) == 200
        assert contains(tmp_path, SPOKEN.encode(), TRANSLATED.encode()) == []
        assert len(await storage.rooms()) == (how in ("transcripts", "expire"))


def test_no_copy_is_left_of_rows_that_moved_between_pages(tmp_path):
    """SQLite's ``secure_delete`` overwrites a row where it is, not where it once was."""
    for seed in (4, 7):  # in which that matters
        dice = random.Random(seed)
        database = Database(tmp_path / str(seed))
        database.open(NOW)
        for _ in range(40):
            lines = [
                said(n := dice.randrange(300), SPOKEN if n % 9 == 0 else "a" * dice.randrange(1500))
                for _ in range(20)
            ]
            with database.begin() as connection:
                assert transcripts.store(connection, [room(retention=kept_for(1))], lines) == 0
                connection.execute(
                    delete(utterances).where(
                        utterances.c.sequence == dice.randrange(300), utterances.c.text != SPOKEN
                    )
                )
        assert contains(tmp_path, SPOKEN.encode()) != []
        with database.begin() as connection:
            connection.execute(delete(utterances).where(utterances.c.text == SPOKEN))
        database.erase_traces()
        assert contains(tmp_path, SPOKEN.encode()) == []
        database.release()


READER = textwrap.dedent("""
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM speakers").fetchall()
    print("reading", flush=True)
    sys.stdin.readline()
""")


async def test_a_deletion_that_somebody_holds_up_is_finished_by_itself(tmp_path):
    async with opened(tmp_path) as storage:
        someone = await live(storage, 40)
        with python(READER, tmp_path / "babblefish.db") as reader:
            assert reader.stdout.readline() == "reading\n"
            with pytest.raises(StorageError) as caught:
                await storage.delete_speaker(someone)
            assert caught.value.code == "erasing" and storage.health.code == "locked"
            assert someone not in {person.id for person in await storage.speakers()}
            reader.communicate("\n")
        await until(lambda: storage.health.state == "ok")
        assert contains(tmp_path, *THEIRS) == []


KILLED = textwrap.dedent("""
    import asyncio, os, signal, sys
    from pathlib import Path
    from babblefish.storage.database import Database
    from tests.stored import opened
    from tests.test_storage_deletion import live

    async def main():
        async with opened(Path(sys.argv[1])) as storage:
            someone = await live(storage, 40)
            Database.erase_traces = lambda self: os.kill(os.getpid(), signal.SIGKILL)
            await storage.delete_speaker(someone)

    asyncio.run(main())
""")


async def test_a_deletion_that_a_kill_interrupts_is_finished_at_the_next_start(tmp_path):
    with python(KILLED, tmp_path) as child:
        assert child.stdout.read() == ""
    assert child.returncode == -signal.SIGKILL
    assert contains(tmp_path, *THEIRS) != []
    async with opened(tmp_path) as storage:
        assert contains(tmp_path, *THEIRS) == []
        assert len(await storage.speakers()) == 39
