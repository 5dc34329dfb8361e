"""Transcripts that outlive the process, on a real storage, with scripted stages."""

from __future__ import annotations

import asyncio
import time

import pytest

from babblefish.protocol import TranscriptPolicy
from babblefish.settings import Settings
from babblefish.storage.records import Retention
from babblefish.storage.storage import Storage
from rooms.hub import Hub
from tests.meetings import converse, heard, refused, who
from tests.patience import until
from tests.phones import Phone, fake_engine, tone
from tests.stored import contains, said

pytestmark = pytest.mark.asyncio(loop_scope="module")
DAY = 86400.0


async def test_a_transcript_has_who_when_what_and_which_voice(open_hub):
    async with open_hub() as hub:
        room = hub.create("A")
        reader = room.join(**who("Eva", "es"))
        own, read = await converse(room, 400)
        [entry] = await hub.storage.transcript(room.code)
        spoken = entry.spoken
        assert (spoken.speaker_name, spoken.language, spoken.text) == ("Pierre", "fr", own[0].text)
        assert spoken.seconds == pytest.approx(1.0, abs=0.3)
        assert spoken.start + spoken.seconds == pytest.approx(own[0].at)
        english, spanish = entry.translations
        assert (english.text, english.quality, english.voice) == (read[0].text, "basic", "closest")
        assert (spanish.language, spanish.voice) == ("es", "none"), "nobody was there to hear it"
        assert not reader.connected


async def test_a_plain_voice_is_kept_as_neutral(tmp_path):
    async with fake_engine(plain_voice=True, voice_delay=8.0) as engine:
        hub = Hub(Settings(data_dir=tmp_path), engine, Storage(tmp_path))
        await hub.start()
        room = hub.create("A")
        await converse(room, 400)
        [entry] = await hub.storage.transcript(room.code)
        assert [t.voice for t in entry.translations] == ["neutral"]
        await hub.close()


async def test_promise_29_transcripts_are_kept_as_long_as_the_host_says(open_hub):
    now = [0.0]

    async def count(hub, code) -> int:
        return len(await hub.storage.transcript(code))

    async with open_hub() as hub:
        room = hub.create("A")
        policy = room.kept.archive.policy
        assert policy == TranscriptPolicy("until_close"), "the default"
        async with Phone(room.join(**who("Eva", "en"))) as eva:
            await converse(room, 400)
            assert await count(hub, room.code) == 1
            hub.keep_transcript(room.code, Retention("off"))
            assert eva.of(TranscriptPolicy) == [policy, TranscriptPolicy("off")]
            while await count(hub, room.code):
                await asyncio.sleep(0.01)
            await converse(room, 500)
            assert await count(hub, room.code) == 0
            hub.keep_transcript(room.code, Retention("days", 30))
            await converse(room, 600)
            assert await count(hub, room.code) == 1
        await hub.close_room(room.code)
        await until(lambda: [r.code for r in hub.closed_rooms] == [room.code])
        assert await count(hub, room.code) == 1
        other = hub.create("B")
        await converse(other, 400)
        await hub.close_room(other.code)
        while await count(hub, other.code):
            await asyncio.sleep(0.01)
        for bad in (Retention("days", 0), Retention("days", 10**6)):
            assert refused(room.keep, bad) == "setting"
    now[0] = time.time() + 31 * DAY
    async with open_hub(lambda: now[0]) as hub:
        while await count(hub, room.code):
            await asyncio.sleep(0.01)


async def test_deleted_means_deleted(open_hub, tmp_path):
    async with open_hub() as hub:
        room = hub.create("A")
        own, read = await converse(room, 400)
        dan = list(room.members.values())[1]
        needles = own[0].text.encode(), read[0].text.encode()
        await hub.storage.flush()
        assert contains(tmp_path, *needles)
        await hub.delete_transcript(room.code)
        assert contains(tmp_path, *needles) == []
        async with Phone(dan) as phone:
            assert phone.finals == [], "nor does a phone get it again"
        assert [e.act for e in await hub.storage.audit_log()] == ["transcripts_deleted"]
        await converse(room, 500)
        hub.keep_transcript(room.code, Retention("days", 3))
        await hub.close_room(room.code)
        await until(lambda: bool(hub.closed_rooms))
        await hub.delete_transcript(room.code)
        assert hub.closed_rooms == () and await hub.storage.rooms(closed=True) == []
        assert hub.storage.health.dropped == 0


async def test_a_sentence_in_the_air_when_its_transcript_is_deleted_stays_deleted(open_hub):
    async with open_hub() as hub:
        room = hub.create("A")
        pierre, dan = room.join(**who("Pierre", "fr")), room.join(**who("Dan", "en"))
        recorded = []
        record, hub.storage.record = hub.storage.record, recorded.append
        async with Phone(pierre) as speaker, Phone(dan) as listener:
            speaker.say(tone(400, 1.0))
            await speaker.until(lambda: speaker.finals)
            room.forget()
            before = len(recorded)
            await listener.until(lambda: heard(listener) == 1)
            assert len(recorded) == before, "no voice or translation comes after it"
        hub.storage.record = record


async def test_nothing_comes_back_of_a_person_who_was_deleted(open_hub):
    async with open_hub() as hub:
        room = hub.create("A")
        ana = await hub.storage.add_speaker("Ana")
        for number, speaker in ((1, ana.id), (2, None)):
            line = said(number, room=room.code, speaker_id=speaker)
            hub.storage.record(line)
    async with open_hub() as hub:
        archive = hub.rooms[room.code].kept.archive

        def missed() -> list[str]:
            return [caption.text for caption in archive.missed("en", 0, 0, {})]

        await hub.refresh_people()
        assert missed() == ["line 1", "line 2"]
        await hub.storage.delete_speaker(ana.id)
        await hub.refresh_people()
        assert missed() == ["line 2"]
