"""Enrolment with the compact profile's real voice detection and voiceprints, on real speech."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import pytest_asyncio

from babblefish.engine.engine import Engine
from babblefish.engine.identification import Identifier
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.recording_quality import ENROLMENT
from babblefish.engine.stages import SPEECH_RATE, StageSpec
from babblefish.settings import Settings
from babblefish.storage.storage import Storage
from bench.damage import clipped, noisy
from rooms.enrolment import PROMPTS
from rooms.hub import Hub
from tests import read_aloud
from tests.stored import QUICK

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def people(weights_dir) -> list[list[np.ndarray]]:
    """Of each of three speakers, recordings of 5 to 10 seconds."""
    found = defaultdict(list)
    for clip in read_aloud.speech(weights_dir):
        if clip.speaker:
            found[clip.speaker].append(clip.samples)
    return [_of_length(clips) for clips in list(found.values())[:3]]


def _of_length(clips: list[np.ndarray], seconds: float = 5.5) -> list[np.ndarray]:
    made, waiting = [], np.zeros(0, np.float32)
    for clip in clips:
        waiting = np.concatenate([waiting, clip])
        if len(waiting) >= seconds * SPEECH_RATE:
            made.append(waiting[: 10 * SPEECH_RATE])
            waiting = np.zeros(0, np.float32)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(weights_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    weights = {"weights_dir": str(weights_dir)}

    def real(factory: str) -> StagePlan:
        return StagePlan(StageSpec(f"babblefish.engine.{factory}", weights), nice=0)

    def scripted(name: str) -> StagePlan:
        return StagePlan(StageSpec(f"tests.fake_stages:{name}"), nice=0)

    engine = Engine(
        Profile(
            "half", real("vad:SileroVad"), scripted("ToneRecogniser"), scripted("TagTranslator"),
            (scripted("ToneSynthesiser"),), real("speakers:Ge2eEncoder"), None,
        )
    )  # fmt: skip
    await engine.start()
    hub = Hub(Settings(data_dir=folder), engine, Storage(folder, **QUICK))
    await hub.start()
    yield hub
    await hub.close()
    await engine.close()


async def _enrol(hub: Hub, name: str, clips: list[np.ndarray]) -> str:
    enrolment = hub.enrolments.begin(
        name=name, language="en", given_by=name, purposes=["voiceprint", "cloning"]
    )
    for number, take in enumerate(PROMPTS):
        heard = await hub.enrolments.take(enrolment, take, clips[number % len(clips)])
        assert heard.quality.good, heard.quality
    return (await hub.enrolments.save(enrolment)).id


async def test_who_enrolled_is_told_from_who_did_not(hub, people):
    first, second, stranger = people
    names = {await _enrol(hub, name, clips[:-1] or clips)
             for name, clips in (("Ana", first), ("Ben", second))}  # fmt: skip
    assert names == set(hub.people.known)
    ana, ben = (next(p for p in hub.people.known.values() if p.speaker.name == n)
                for n in ("Ana", "Ben"))  # fmt: skip
    engine = hub._engine
    for clips, expected in ((first, ana.speaker.id), (second, ben.speaker.id), (stranger, None)):
        identifier = Identifier(engine.speaker_encoder.capabilities, enrolled=hub.people.enrolled())
        heard = clips[-1][: 5 * SPEECH_RATE]
        identity = identifier.identify(await engine.embed(heard), 5.0)
        assert identity.person == expected


async def test_real_speech_made_worse_is_refused_in_words(hub, people):
    first, second, _ = people
    enrolment = hub.enrolments.begin(
        name="Cleo", language="en", given_by="Cleo", purposes=["voiceprint"]
    )
    good = first[0]
    for samples, code in (
        (noisy(good, "white", 5.0, (), np.random.default_rng(1)), "noisy"),
        (clipped(good, 0.1), "clipped"),
        (np.concatenate([good, second[0]]), "two_voices"),
        (good[:SPEECH_RATE], "too_short"),
        (np.zeros(len(good), np.float32), "silent"),
    ):
        take = await hub.enrolments.take(enrolment, "1", samples.astype(np.float32))
        assert code in [fault.code for fault in take.quality.faults]
        assert not enrolment.complete
    assert (await hub.enrolments.take(enrolment, "1", good)).quality.good
    assert ENROLMENT.speech_seconds < 5
    hub.enrolments.cancel(enrolment.id)
