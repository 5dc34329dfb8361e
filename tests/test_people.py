from __future__ import annotations

import numpy as np

from babblefish.storage.storage import Storage
from rooms.people import People
from tests.stored import form, opened, voiceprint


async def _enrolled(storage: Storage, name: str, seed: int) -> str:
    speaker = (await storage.add_speaker(name)).id
    await storage.add_consent(speaker, form("voiceprint"))
    await storage.add_embedding(speaker, "ge2e", voiceprint(seed), 7.0)
    return speaker


async def test_who_agreed_and_has_a_voiceprint_of_this_encoder_is_enrolled(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await _enrolled(storage, "Ana", 1)
        ben = (await storage.add_speaker("Ben")).id
        people = People(storage)
        await people.refresh("ge2e")
        assert set(people.known) == {ana, ben}
        assert [person.id for person in people.enrolled()] == [ana]
        sample = people.enrolled()[0].samples[0]
        assert np.array_equal(sample.voiceprint, voiceprint(1)) and sample.seconds == 7.0

        await people.refresh("another encoder")
        assert people.enrolled() == () and ana in people.known


async def test_consent_withdrawn_and_people_deleted_are_gone_at_the_next_look(tmp_path):
    async with opened(tmp_path) as storage:
        ana, ben = await _enrolled(storage, "Ana", 1), await _enrolled(storage, "Ben", 2)
        people = People(storage)
        await people.refresh("ge2e")
        before = people.version
        await storage.withdraw_consent(ana, "voiceprint")
        await storage.delete_speaker(ben)
        await people.refresh("ge2e")
        assert people.enrolled() == () and set(people.known) == {ana}
        assert people.version > before and people.get(ben) is None


async def test_a_storage_in_trouble_leaves_the_people_that_were_known(tmp_path):
    async with opened(tmp_path) as storage:
        ana = await _enrolled(storage, "Ana", 1)
        people = People(storage)
        await people.refresh("ge2e")
    await people.refresh("ge2e")  # closed by now
    assert ana in people.known


async def test_without_a_storage_nobody_is_known():
    people = People(None)
    await people.refresh("ge2e")
    assert people.enrolled() == () and not people.known
