"""Enrolment: agree, record, save; scripted stages in real worker processes, a real storage."""

from __future__ import annotations

import asyncio
import errno

import numpy as np
import pytest
import pytest_asyncio

from babblefish.engine.consent_texts import consent_text
from babblefish.errors import BabbleFishError, RoomError, StorageError
from babblefish.settings import Settings
from babblefish.storage import files
from babblefish.storage.storage import Storage
from rooms import enrolment as module
from rooms.hub import Hub
from tests.patience import PATIENCE
from tests.sound_files import voice
from tests.stored import QUICK, contains

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = voice(7.0, seed=3)
STRANGER = voice(7.0, 2400.0, seed=3)
RATE = 16_000


@pytest_asyncio.fixture(loop_scope="module")
async def hub(engine, tmp_path):
    hub = Hub(Settings(data_dir=tmp_path), engine, Storage(tmp_path, **QUICK))
    await hub.start()
    yield hub
    await hub.close()


def begin(hub: Hub, purposes=("voiceprint", "cloning"), **more):
    return hub.enrolments.begin(
        name="Ana Ž.", language="fr", given_by="Ana, on her phone", purposes=purposes, **more
    )


async def read_all(hub: Hub, enrolment, samples: np.ndarray = PROMPT) -> None:
    for name in module.PROMPTS:
        take = await hub.enrolments.take(enrolment, name, samples)
        assert take.quality.good, take.quality


async def test_three_prompts_make_a_known_person(hub, tmp_path):
    enrolment = begin(hub)
    assert len(enrolment.prompts.sentences) == 3 and not enrolment.complete
    await read_all(hub, enrolment)
    speaker = await hub.enrolments.save(enrolment)
    assert (speaker.name, speaker.voice) == ("Ana Ž.", "closest")
    known = hub.people.get(speaker.id)
    assert known.agreed == {"voiceprint", "cloning"} and len(known.samples) == 3
    assert [person.id for person in hub.people.enrolled()] == [speaker.id]
    given = await hub.storage.consents(speaker.id)
    words = consent_text("fr")
    assert {c.form.purpose for c in given} == {"voiceprint", "cloning"}
    for consent in given:
        form = consent.form
        assert (form.wording, form.version) == (words.wording, str(words.version))
        assert (form.language, form.given_by) == ("fr", "Ana, on her phone")
    clips = await hub.storage.clips(speaker.id, "cloning")
    assert [clip.text for clip in clips] == list(enrolment.prompts.sentences)
    assert all(c.language == "fr" and c.source == "enrolment" for c in clips)
    assert all(4 < c.seconds <= 7 for c in clips)
    assert all(3 < c.quality["speech_seconds"] < c.seconds for c in clips)
    assert (await hub.storage.clip_audio(clips[0].id)).startswith(b"RIFF")
    assert len(hub.enrolments) == 0


async def test_promise_25_without_consent_nothing_is_recorded_or_kept(hub, tmp_path):
    for purposes in ((), ("cloning",), ("voiceprint", "everything")):
        with pytest.raises(RoomError) as error:
            begin(hub, purposes)
        assert error.value.code == "consent"
    enrolment = begin(hub, ("voiceprint",))
    await read_all(hub, enrolment)
    speaker = await hub.enrolments.save(enrolment)
    assert await hub.storage.clips(speaker.id) == []
    assert list((tmp_path / "clips").iterdir()) == []
    assert len(await hub.storage.embeddings(speaker.id)) == 3


async def test_an_upload_stands_for_the_prompts_and_its_words_are_found(hub):
    enrolment = begin(hub)
    short = await hub.enrolments.take(enrolment, "upload", voice(7.0))
    assert [fault.code for fault in short.quality.faults] == ["too_short"]
    assert "longer recording" in short.quality.faults[0].message
    assert "Read" not in short.quality.faults[0].message and not enrolment.complete
    await hub.enrolments.take(enrolment, "upload", voice(28.0))
    assert enrolment.complete
    speaker = await hub.enrolments.save(enrolment)
    clips = await hub.storage.clips(speaker.id)
    assert len(clips) >= 3 and all(clip.seconds <= 12.5 for clip in clips)
    assert all(clip.text.startswith("said 200") and clip.source == "upload" for clip in clips)
    prints = await hub.storage.embeddings(speaker.id)
    assert [p.source for p in prints] == ["upload"] and 10 < prints[0].seconds <= 20


@pytest.mark.parametrize(
    ("samples", "code", "words"),
    [
        (np.zeros(RATE * 5, np.float32), "silent", "Nothing was recorded"),
        (voice(2.0), "too_short", "Too short"),
        (np.clip(PROMPT * 30, -0.9, 0.9), "clipped", "Too loud"),
        (PROMPT + np.random.default_rng(1).normal(0, 0.05, len(PROMPT)), "noisy", "Too noisy"),
        (np.concatenate([PROMPT, STRANGER]), "two_voices", "Two voices"),
    ],
)
async def test_what_is_wrong_is_said_in_words_and_nothing_bad_is_saved(hub, samples, code, words):
    enrolment = begin(hub)
    await read_all(hub, enrolment)
    take = await hub.enrolments.take(enrolment, "2", samples.astype(np.float32))
    faults = {fault.code: fault.message for fault in take.quality.faults}
    assert words in faults[code]
    with pytest.raises(RoomError) as error:
        await hub.enrolments.save(enrolment)
    assert error.value.code == "incomplete" and hub.people.known == {}
    await hub.enrolments.take(enrolment, "2", PROMPT)
    await hub.enrolments.take(enrolment, "upload", samples.astype(np.float32))  # not needed
    saved = await hub.enrolments.save(enrolment)
    assert len(hub.people.get(saved.id).samples) == 3


async def test_a_take_is_played_back_as_it_was_recorded(hub):
    from io import BytesIO

    import soundfile

    enrolment = begin(hub)
    await hub.enrolments.take(enrolment, "1", PROMPT)
    samples, rate = soundfile.read(BytesIO(enrolment.audio("1")), dtype="float32")
    assert rate == RATE and np.abs(samples - PROMPT).max() < 1e-4
    with pytest.raises(RoomError):
        enrolment.audio("2")


async def test_a_failure_half_way_leaves_nobody_half_enrolled(hub, tmp_path, monkeypatch):
    enrolment = begin(hub)
    await read_all(hub, enrolment)
    write, calls = files.write_new, []

    def full_at_the_third(folder, data, suffix):
        calls.append(suffix)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(folder, data, suffix)

    monkeypatch.setattr(files, "write_new", full_at_the_third)
    with pytest.raises(StorageError) as error:
        await hub.enrolments.save(enrolment)
    assert error.value.code == "full"
    monkeypatch.undo()
    assert await _eventually(hub.storage.speakers) == []
    assert list((tmp_path / "clips").iterdir()) == []
    assert await hub.storage.embeddings() == []
    speaker = await hub.enrolments.save(enrolment)  # nothing was lost: save again
    assert len(await hub.storage.clips(speaker.id)) == 3


async def _eventually(call):
    """Until the storage has got over its trouble."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await call()
            except StorageError:
                await asyncio.sleep(0.02)


async def test_cancelled_and_forgotten_enrolments_leave_nothing(hub, tmp_path):
    enrolment = begin(hub)
    await read_all(hub, enrolment)
    hub.enrolments.cancel(enrolment.id)
    assert enrolment.takes == {} and len(hub.enrolments) == 0
    for late in (
        lambda: hub.enrolments.take(enrolment, "1", PROMPT),
        lambda: hub.enrolments.save(enrolment),
    ):
        with pytest.raises(RoomError) as error:
            await late()
        assert error.value.code == "enrolment"
    assert enrolment.takes == {} and await hub.storage.speakers() == []
    assert contains(tmp_path, b"Ana", PROMPT[:100].tobytes()) == []


async def test_an_enrolment_left_alone_is_forgotten(hub, engine):
    brief = module.Enrolments(hub, engine, lifetime=0.05)
    enrolment = brief.begin(
        name="Ana", language="en", given_by="Ana", purposes=["voiceprint"], owner="m1"
    )
    assert brief.of("m1") is enrolment
    async with asyncio.timeout(PATIENCE):
        while len(brief):
            await asyncio.sleep(0.01)
    with pytest.raises(RoomError):
        brief.get(enrolment.id)


async def test_who_leaves_takes_their_recordings_along(hub):
    room = hub.create("A")
    member = room.join(name="Ana", speaks="en", hears="en", microphone=True)
    enrolment, admins = begin(hub, owner=member.id), begin(hub)
    await hub.enrolments.take(enrolment, "1", PROMPT)
    room.leave(member, "left")
    async with asyncio.timeout(PATIENCE):
        while len(hub.enrolments) > 1:
            await asyncio.sleep(0.05)
    assert enrolment.takes == {} and hub.enrolments.get(admins.id) is admins


async def test_one_each_and_a_bounded_number(hub, monkeypatch):
    first = begin(hub, owner="m1")
    second = begin(hub, owner="m1")
    assert hub.enrolments.of("m1") is second and first.id != second.id
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    begin(hub, owner="m2")
    with pytest.raises(RoomError) as error:
        begin(hub, owner="m3")
    assert error.value.code == "too_many_enrolments"
    begin(hub, owner="m2")


async def test_recording_anew_replaces_or_adds(hub):
    enrolment = begin(hub)
    await read_all(hub, enrolment)
    ana = (await hub.enrolments.save(enrolment)).id
    old = {clip.id for clip in await hub.storage.clips(ana)}
    again = begin(hub, speaker=ana)
    await read_all(hub, again, voice(7.0, seed=2))
    assert (await hub.enrolments.save(again)).id == ana
    new = {clip.id for clip in await hub.storage.clips(ana)}
    assert len(new) == 3 and not old & new and len(hub.people.get(ana).samples) == 3
    more = begin(hub, speaker=ana, replace=False)
    await read_all(hub, more)
    await hub.enrolments.save(more)
    assert len(hub.people.get(ana).samples) == 6
    with pytest.raises(RoomError) as error:
        begin(hub, speaker="nobody")
    assert error.value.code == "unknown_person"


async def test_a_meeting_can_be_listened_to_in_place_of_prompts(hub):
    assert not begin(hub, ("voiceprint", "passive_collection")).complete
    enrolment = begin(hub, ("voiceprint", "cloning", "passive_collection"))
    assert enrolment.complete
    speaker = await hub.enrolments.save(enrolment)
    assert hub.people.get(speaker.id).agreed == enrolment.purposes
    assert hub.people.enrolled() == ()


async def test_refusals_in_words(hub, engine):
    enrolment = begin(hub)
    for name, samples, code in (
        ("4", PROMPT, "take"),
        ("1", np.zeros(31 * RATE, np.float32), "too_long"),
        ("1", np.array([np.nan] * RATE, np.float32), "bad_audio"),
        ("1", np.zeros(0, np.float32), "bad_audio"),
    ):
        with pytest.raises(BabbleFishError) as error:
            await hub.enrolments.take(enrolment, name, samples)
        assert error.value.code == code and error.value.message
    for wrong in ({"name": " "}, {"language": "no language"}):
        values = {"name": "Ana", "language": "en"} | wrong
        with pytest.raises(RoomError):
            hub.enrolments.begin(given_by="Ana", purposes=["voiceprint"], **values)
    bare = Hub(Settings(), engine)
    with pytest.raises(StorageError) as error:
        begin(bare)
    assert error.value.code == "no_storage"
