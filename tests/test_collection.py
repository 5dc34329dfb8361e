"""What is kept of people's voices from meetings: theirs alone, with their consent alone."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass

import numpy as np
import pytest
import pytest_asyncio
import soundfile

from babblefish.audio import resample, to_int16
from babblefish.engine.engine import Engine
from babblefish.engine.profiles import Profile, StagePlan
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, StageSpec
from babblefish.protocol import Voicing
from babblefish.settings import Settings
from rooms.hub import Hub
from rooms.soundings import Soundings
from tests import read_aloud
from tests.phones import SPEEDUP, Phone, fake_profile, join
from tests.stored import contains, form, opened

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVERYTHING = ("voiceprint", "cloning", "passive_collection")


@dataclass
class Voice:
    """Somebody's recordings: the longest is said in the meeting, with the others they enrol."""

    says: np.ndarray
    enrols_with: list[np.ndarray]


@pytest.fixture(scope="module")
def voices(weights_dir) -> list[Voice]:
    found: dict[str, list[np.ndarray]] = {}
    for clip in read_aloud.speech(weights_dir):
        if clip.speaker and clip.speaker != "bf_emma":
            found.setdefault(clip.speaker, []).append(clip.samples[: 8 * SPEECH_RATE])
    sorted_ = [sorted(clips, key=len) for clips in found.values()]
    return [Voice(clips[-1], clips[:-1]) for clips in sorted_]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(weights_dir, voices, tmp_path_factory):
    """Scripted words; voices, voice activity and the sound of translations are real."""
    scripted = fake_profile()
    recording = tmp_path_factory.mktemp("voice") / "translation.npy"
    samples = np.concatenate(voices[-1].enrols_with)[: 8 * SPEECH_RATE]
    np.save(recording, resample(samples, SPEECH_RATE, PLAYOUT_RATE))

    def plan(factory: str, **options: str) -> StagePlan:
        return StagePlan(StageSpec(factory, options), nice=0)

    engine = Engine(
        Profile(
            "real voices",
            plan("babblefish.engine.vad:SileroVad", weights_dir=str(weights_dir)),
            scripted.recogniser,
            scripted.translator,
            (plan("tests.fake_stages:RecordedSynthesiser", path=str(recording)),),
            plan("babblefish.engine.speakers:Ge2eEncoder", weights_dir=str(weights_dir)),
            None,
        )
    )
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
        await hub.collection.close()


@pytest.fixture
def verdicts(hub, monkeypatch) -> list[str]:
    """What became of each utterance that was looked at."""
    found: list[str] = []
    consider = hub.collection._consider

    async def watched(job):
        found.append(await consider(job))
        return found[-1]

    monkeypatch.setattr(hub.collection, "_consider", watched)
    return found


async def enrol(hub: Hub, name: str, voice: Voice, agreed=EVERYTHING) -> str:
    speaker = (await hub.storage.add_speaker(name)).id
    for purpose in agreed:
        await hub.storage.add_consent(speaker, form(purpose))
    if "voiceprint" in agreed:
        for clip in voice.enrols_with:
            print_ = await hub._engine.embed(clip)
            seconds = len(clip) / SPEECH_RATE
            await hub.storage.add_embedding(speaker, "ge2e", print_, seconds)
    await hub.refresh_people()
    await hub.collection.idle()
    return speaker


def said(samples: np.ndarray) -> np.ndarray:
    return to_int16(resample(samples, SPEECH_RATE, PLAYOUT_RATE))


class NearPhone(Phone):
    """A phone in front of another one's loudspeaker."""

    def __init__(self, member, loudspeaker: Phone) -> None:
        super().__init__(member)
        self._loudspeaker, self.gain = loudspeaker, 0.0

    async def _run(self) -> None:
        silence, at = np.zeros(960, np.int16), 0
        while True:
            frame = self._saying.pop(0) if self._saying else silence
            sound = silence
            if at < len(self._loudspeaker._heard) - 10:  # 0.2 s through the air and the phones
                sound, at = self._loudspeaker._heard[at], at + 1
            mixed = frame.astype(np.float32) + self.gain * sound.astype(np.float32)
            self.link.hear(np.clip(mixed, -32768, 32767).astype(np.int16))
            self._heard.append(self.link.next_frame())
            await asyncio.sleep(0.02 / SPEEDUP)


async def test_clean_speech_of_somebody_who_agreed_is_kept_and_makes_a_voice(
    hub, voices, verdicts, tmp_path
):
    ana = await enrol(hub, "Ana", voices[0])
    assert hub.collection.progress(ana).text == "voice 0 %: 0 of 20 s"
    room = hub.create("Stand-up")
    async with Phone(join(room, "Ana", "fr")) as hers, Phone(join(room, "Dan", "en")) as dan:
        hers.say(said(voices[0].says))
        await dan.until(lambda: "kept" in verdicts, 60)
        await hub.collection.idle()
    clips = await hub.storage.clips(ana, "cloning")
    assert clips and all(c.source == "meeting" and c.language == "fr" for c in clips)
    assert all(c.text.startswith("said ") and c.quality["snr_db"] > 12 for c in clips)
    sound, rate = soundfile.read(io.BytesIO(await hub.storage.clip_audio(clips[0].id)))
    assert rate == SPEECH_RATE and len(sound) / rate == pytest.approx(clips[0].seconds, abs=0.01)
    progress = hub.collection.progress(ana)
    assert progress.seconds == sum(c.quality["speech_seconds"] for c in clips) > 1.6
    prints = await hub.storage.embeddings(ana)
    assert [p for p in prints if p.source == "meeting"], "and the voiceprint gets better"

    again = Hub(Settings(), hub._engine, hub.storage)  # as after a restart
    await again.refresh_people()
    await again.collection.idle()
    assert again.collection.progress(ana) == progress
    await again.collection.close()


async def test_promise_25_without_consent_nothing_is_kept(hub, voices, verdicts):
    ana = await enrol(hub, "Ana", voices[0], agreed=("voiceprint", "cloning"))
    assert not hub.collection.active
    room = hub.create("Stand-up")
    async with Phone(join(room, "Ana", "fr")) as hers, Phone(join(room, "Dan", "en")) as dan:
        hers.say(said(voices[0].says))
        await dan.until(lambda: room.conversation.traces, 60)
        sounds = room.conversation.sounds
        assert not sounds._microphones and not sounds._loudspeakers
    assert not verdicts and not await hub.storage.clips(ana)
    assert hub.collection.progress(ana).seconds == 0.0
    assert hub.collection.progress("nobody") is None


async def test_who_agreed_but_never_enrolled_is_known_by_their_phone(hub, voices, verdicts):
    ben = await enrol(hub, "Ben", voices[1], agreed=("cloning", "passive_collection"))
    room = hub.create("Stand-up")
    async with Phone(join(room, "Ben", "fr")) as his, Phone(join(room, "Dan", "en")) as dan:
        his.member.speaker = ben
        his.say(said(voices[1].says))
        await dan.until(lambda: "kept" in verdicts, 60)
        await hub.collection.idle()
    assert await hub.storage.clips(ben)
    assert not await hub.storage.embeddings(ben), "they agreed to no voiceprint"


@pytest.mark.parametrize(("gain", "verdict"), [(0.0, "kept"), (0.04, "bleed")])
async def test_a_translation_from_a_loudspeaker_poisons_no_profile(
    hub, voices, verdicts, gain, verdict
):
    """The loudspeaker beside Ana's phone speaks with a real voice while she does."""
    ana = await enrol(hub, "Ana", voices[0])
    room = hub.create("Stand-up")
    async with (
        Phone(join(room, "Dan", "en")) as dan,
        Phone(join(room, "Ben", "fr")) as ben,
        NearPhone(join(room, "Ana", "fr"), dan) as hers,
    ):
        ben.say(said(voices[1].says[: 3 * SPEECH_RATE]))
        await dan.until(lambda: any(v.state == "playing" for v in dan.of(Voicing)), 60)
        hers.gain = gain
        pause = np.zeros(int(1.5 * SPEECH_RATE), np.float32)  # nothing of Ben is in the air then
        hers.say(said(np.concatenate([pause, voices[0].says])))
        await dan.until(lambda: verdicts, 60)
        await hub.collection.idle()
    assert set(verdicts) == {verdict}, "so faint that the voice alone would be taken for hers"
    if gain:
        assert not await hub.storage.clips(ana)
        assert {p.source for p in await hub.storage.embeddings(ana)} == {"enrolment"}


async def test_promise_26_what_is_withdrawn_or_deleted_is_gone_at_once(
    hub, voices, verdicts, tmp_path
):
    ana = await enrol(hub, "Ana", voices[0])
    room = hub.create("Stand-up")
    async with Phone(join(room, "Ana", "fr")) as hers, Phone(join(room, "Dan", "en")) as dan:
        hers.say(said(voices[0].says))
        await dan.until(lambda: "kept" in verdicts, 60)
        await hub.collection.idle()
        (clip, *_) = await hub.storage.clips(ana)
        sound = await hub.storage.clip_audio(clip.id)
        await hub.storage.withdraw_consent(ana, "passive_collection")
        await hub.refresh_people()
        await hub.collection.idle()
        assert hub.collection.progress(ana).seconds == 0.0
        assert not hub.collection._profiles[ana].prints and not hub.collection.active
        await hub.storage.delete_speaker(ana)
        await hub.people.refresh("ge2e")
        assert ana not in hub.collection._profiles and hub.collection.progress(ana) is None
    await hub.storage.flush()
    assert not contains(tmp_path, sound[1000:1400], ana.encode() + b"\x00")


async def test_a_storage_in_trouble_costs_the_stretch_and_nothing_else(hub, voices, verdicts):
    await enrol(hub, "Ana", voices[0])
    room = hub.create("Stand-up")
    async with Phone(join(room, "Ana", "fr")) as hers, Phone(join(room, "Dan", "en")) as dan:
        await hub.storage.close()
        hers.say(said(voices[0].says))
        await dan.until(lambda: room.conversation.traces, 60)
        await hub.collection.idle()
        assert dan.finals and not verdicts


# --- what a microphone may have heard -------------------------------------------------------


async def test_what_several_phones_play_together_is_looked_for_once():
    now = [50.0]
    sounds = Soundings(lambda: now[0], lambda: True)
    frames = np.arange(100 * 960, dtype=np.int16).reshape(-1, 960)
    for number, frame in enumerate(frames):
        now[0] += 0.02
        sounds.received("ana", (number + 1) * 320)
        for phone in ("dan", "eve"):
            sounds.played(phone, "u1", "en", number * 0.02, frame)
        if number >= 50:
            sounds.played("late", "u1", "en", (number - 50) * 0.02, frames[number - 50])
    found = sounds.around("ana", 1.0, 1.5, "a").recorded()
    assert sorted(round(r.start, 2) for r in found) == [0.02, 1.02]
    assert [len(r.frames) for r in found] == [89, 39]
    (first, _) = (r.sounding() for r in found)
    assert first.start == pytest.approx(0.02) and first.end == pytest.approx(1.8, abs=0.01)


async def test_a_microphone_that_heard_only_the_speaker_heard_nothing_else():
    now = [0.0]
    sounds = Soundings(lambda: now[0], lambda: True)
    loud = np.full(960, 1000, np.int16)

    def around():
        return sounds.around("ana", 0.5, 1.5, "a")

    sounds.speaking("ben", True)
    for number in range(100):
        now[0] += 0.02
        sounds.received("ana", (number + 1) * 320)
        sounds.received("ben", (number + 1) * 320)
        sounds.live("ben", loud)
    assert len(around().recorded()) == 1, "somebody talks, nobody knows who"
    sounds.speaking("ben", False)
    sounds.said("ben", 0.2, 1.8, "a")
    assert sounds.around("ana", 0.5, 1.5, "a").recorded() == [], (
        "it was Ana, on the phone beside hers"
    )
    sounds.said("ben", 1.0, 1.8, None)
    assert len(around().recorded()) == 1
    assert sounds.around("nobody", 0.5, 1.5, "a") is None
    sounds.forget()
    assert around() is None


async def test_sounds_are_kept_for_half_a_minute_and_only_while_somebody_collects():
    now, wanted = [0.0], [True]
    sounds = Soundings(lambda: now[0], lambda: wanted[0])
    for number in range(5000):
        now[0] += 0.02
        sounds.received("ana", (number + 1) * 320)
        sounds.played("ana", "u", "en", number * 0.02, np.zeros(960, np.int16))
    assert len(sounds._loudspeakers["ana"]) == len(sounds._microphones["ana"].clock) == 1500
    assert sounds.around("ana", 10.0, 12.0, "a") is None, "forgotten"
    wanted[0] = False
    sounds.received("ana", 1)
    assert not sounds._loudspeakers and not sounds._microphones
