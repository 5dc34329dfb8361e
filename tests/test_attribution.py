"""Who is shown as the speaker: a name and a colour, and nothing more."""

from __future__ import annotations

import numpy as np
import pytest
import pytest_asyncio

from babblefish.audio import resample, rms, to_int16
from babblefish.engine.engine import Engine
from babblefish.engine.identification import OWNER, UNKNOWN, Identity
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, StageSpec
from babblefish.settings import Settings, load_settings
from rooms.attribution import label, speaker_of
from rooms.hub import Hub
from tests import read_aloud
from tests.phones import Phone, fake_profile, join
from tests.stored import form, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def people(weights_dir) -> list[list[np.ndarray]]:
    """Of three people, pieces of 3 s of what they say."""
    found: dict[str, list[np.ndarray]] = {}
    size = 3 * SPEECH_RATE
    for clip in read_aloud.speech(weights_dir):
        if clip.speaker and clip.speaker != "bf_emma":
            for start in range(0, len(clip.samples) - size + 1, size):
                found.setdefault(clip.speaker, []).append(clip.samples[start : start + size])
    return [pieces for pieces in found.values() if len(pieces) > 1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(weights_dir):
    """Scripted stages that hear anything; voices are told apart by the real network."""
    scripted = fake_profile()
    options = {"weights_dir": str(load_settings().weights_dir)}
    encoder = StagePlan(StageSpec("babblefish.engine.speakers:Ge2eEncoder", options), nice=0)
    engine = Engine(
        Profile("real voices", scripted.vad, scripted.recogniser, scripted.translator,
                scripted.synthesisers, encoder, None)
    )  # fmt: skip
    await engine.start()
    yield engine
    await engine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def hub(engine, tmp_path):
    async with opened(tmp_path) as storage:
        hub = Hub(Settings(), engine, storage)
        yield hub
        for code in list(hub.rooms):
            await hub.close_room(code)


async def enrol(hub: Hub, name: str, color: int, pieces: list[np.ndarray]) -> str:
    able = hub._engine.speaker_encoder.capabilities
    speaker = await hub.storage.add_speaker(name, color=color)
    await hub.storage.add_consent(speaker.id, form("voiceprint"))
    for piece in pieces:
        print_ = await hub._engine.embed(piece)
        await hub.storage.add_embedding(speaker.id, able.name, print_, 3.0)
    await hub.refresh_people()
    return speaker.id


def said(piece: np.ndarray) -> np.ndarray:
    return to_int16(resample(piece, SPEECH_RATE, PLAYOUT_RATE))


async def captions(reader: Phone, count: int):
    await reader.until(lambda: len(reader.finals) >= count, 60)
    return [(c.name, c.color, c.known) for c in reader.finals]


async def test_who_walks_to_another_phone_keeps_name_and_colour(hub, people):
    ana, ben = people[0], people[1]
    id_ = await enrol(hub, "Ana", 7, ana[:-1])
    room = hub.create("Stand-up")
    async with (
        Phone(join(room, "Annie", "fr")) as hers,
        Phone(join(room, "Ben", "fr")) as his,
        Phone(join(room, "Dan", "en")) as dan,
    ):
        his.say(said(ben[0]))
        assert await captions(dan, 1) == [("Ben", his.member.color, True)]
        his.say(said(ana[-1]))
        assert (await captions(dan, 2))[1] == ("Ana", 7, True), "as she is stored"
        assert room.conversation.traces[-1].speaker == "Ana"
        hers.member.speaker = id_
        his.say(said(ana[-1]))
        assert (await captions(dan, 3))[2] == ("Annie", hers.member.color, True), "as in the room"
        hers.say(said(ana[-1]))
        assert (await captions(dan, 4))[3] == ("Annie", hers.member.color, True)
        assert his.member.key != hers.member.key and his.member.speaker is None
        assert (his.member.name, his.member.hears) == ("Ben", "fr"), "a voice changes nothing else"


async def test_promise_27_below_the_threshold_it_says_unknown(hub, people):
    ana, ben = people[0], people[1]
    await enrol(hub, "Ana", 7, ana[:-1])
    await enrol(hub, "Ben", 8, ben[:-1])
    # at once, equally loud: nobody can say whose words these are
    both = 0.05 * (ana[-1] / rms(ana[-1]) + ben[-1] / rms(ben[-1]))
    room = hub.create("Stand-up")
    async with Phone(join(room, "Eva", "fr")) as eva, Phone(join(room, "Dan", "en")) as dan:
        eva.say(said(both))
        ((name, _, known),) = await captions(dan, 1)
        assert (name, known) == ("Eva", False)
        assert room.conversation.traces[-1].speaker == "Unknown"


async def test_who_is_deleted_is_not_named_any_more(hub, people):
    ana = people[0]
    id_ = await enrol(hub, "Ana", 7, ana[:-1])
    room = hub.create("Stand-up")
    async with Phone(join(room, "Eva", "fr")) as eva, Phone(join(room, "Dan", "en")) as dan:
        eva.say(said(ana[-1]))
        assert (await captions(dan, 1))[0][0] == "Ana"
        await hub.storage.delete_speaker(id_)
        await hub.refresh_people()
        eva.say(said(ana[-1]))
        assert (await captions(dan, 2))[1] == ("Eva", eva.member.color, True)


async def test_labels(hub, people):
    id_ = await enrol(hub, "Ana", 7, people[0][:1])
    room = hub.create("Stand-up")
    eva, dan = join(room, "Eva", "fr"), join(room, "Dan", "en")

    def shown(identity: Identity):
        found = label(eva, identity, hub.people, room.members.values())
        return found.name, found.color, found.known, found.speaker_id, found.text

    assert shown(Identity(None, OWNER, 1, 1)) == ("Eva", eva.color, True, None, "Eva")
    assert shown(Identity(None, 1, 1, 1)) == ("Eva · 2", eva.color, True, None, "Eva · 2")
    assert shown(Identity(None, UNKNOWN, 1, 1)) == ("Eva", eva.color, False, None, "Unknown")
    assert shown(Identity(id_, UNKNOWN, 1, 1)) == ("Ana", 7, True, id_, "Ana")
    assert shown(Identity("gone", UNKNOWN, 1, 1)) == ("Eva", eva.color, False, None, "Unknown")
    eva.speaker = id_  # enrolled without a voiceprint: her phone says who she is
    assert shown(Identity(None, OWNER, 1, 1)) == ("Eva", eva.color, True, id_, "Eva")
    assert speaker_of(dan, Identity(None, OWNER, 1, 1)) is None
