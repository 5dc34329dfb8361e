"""What a listener hears while laptops die, hang, talk nonsense and come back: real processes over
real https, and every clause told by its tone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio

from babblefish.engine import cloning_health
from babblefish.engine.clauses import seconds, split
from babblefish.engine.engine import Engine
from babblefish.engine.profiles import StagePlan
from babblefish.engine.stages import StageSpec
from bench.laptop_process import LaptopProcess
from bench.marks import tone_of
from rooms.playout import RATE, Playout
from tests import test_own_voices as scripted
from tests.patience import PATIENCE, until
from tests.phones import Phone, fake_profile, tone
from tests.test_own_voices import enrol, server
from tests.test_rooms import join

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMES = "Archibald, the elder\nBartholomew, the younger"
SAID_HERTZ = 5600
"""is heard as these names"""
WINDOW = RATE // 50
TROUBLE_S = 0.12
"""a change of voices, or a pause between clauses, hides so much of a clause at most"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine():
    voice = StagePlan(StageSpec("tests.fake_stages:ClauseToneSynthesiser", {"delay": 0.1}), nice=0)
    engine = Engine(replace(fake_profile(), synthesisers=(voice,)))
    await engine.start()
    yield engine
    await engine.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    process = LaptopProcess(tmp_path_factory.mktemp("laptop"))
    process.spawn()
    yield process
    process.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(cloning_health, "POLL_S", 0.3)
    monkeypatch.setattr(Playout, "pace", 1.0)


@asynccontextmanager
async def meeting(engine, folder, process: LaptopProcess, **settings):
    """Pierre, who agreed, Dan, who hears him, and a laptop."""
    await process.start()
    await process.behave(anew=True)
    async with server(engine, folder, None) as hub:
        speaker = await enrol(hub)
        hub.cloning.add(process.laptop())
        room = hub.create("Two tiers")
        room.set(glossary=NAMES, original_level=0.0, shared_phones=False, **settings)
        pierre = join(room, "Pierre", "fr")
        hub.profiles.seat(pierre, speaker)
        async with Phone(pierre) as mouth, Phone(join(room, "Dan", "en"), speed=1) as dan:
            there = SimpleNamespace(hub=hub, room=room, mouth=mouth, dan=dan, speaker=speaker)
            await until(lambda: asked_now(there))
            yield there


def asked_now(there) -> bool:
    return there.hub.cloning.laptops()[0].asked_now


async def utter(there) -> str:
    """Pierre says something: the voices in which its clauses were heard, "n" and "o", in order.
    Each was heard once, whole, and in its turn."""
    begun, count = len(there.dan._heard), len(scripted.done(there.dan))
    there.mouth.say(tone(SAID_HERTZ, 1.0))
    await there.dan.until(lambda: len(scripted.done(there.dan)) > count)
    assert scripted.done(there.dan)[-1].state == "played"
    text = there.dan.finals[-1].text
    return check(np.concatenate(there.dan._heard[begun:]), [c.text for c in split(text, "en")])


def check(sound: np.ndarray, clauses: list[str]) -> str:
    frames = sound[: len(sound) // WINDOW * WINDOW].reshape(-1, WINDOW) / 32768.0
    spectra = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1))
    loud = spectra.max(axis=1) > 2.0
    hertz = np.argmax(spectra, axis=1) * 50.0
    heard = {}
    for number, text in enumerate(clauses):
        heard[tone_of(text)] = number, "o"
        heard[tone_of(text, "neutral")] = number, "n"
    assert len(heard) == 2 * len(clauses), "each clause has a tone of its own"
    told = [heard.get(h) for h, audible in zip(hertz, loud, strict=True) if audible]
    runs = [(what, len(list(run)) / 50) for what, run in groupby(t for t in told if t)]
    runs = [(what, length) for what, length in runs if length > 0.05]
    order = [number for (number, _), _ in runs]
    assert order == sorted(order), f"out of order, or twice: {runs}"
    for number, text in enumerate(clauses):
        whole = sum(length for (which, _), length in runs if which == number)
        expected = max(0.3, seconds(text))
        assert -TROUBLE_S < whole - expected < 0.06, f"clause {number} of {len(clauses)}: {runs}"
    audible = np.flatnonzero(loud)
    assert np.diff(audible).max() / 50 < 0.4, "no silence in the sentence"
    return "".join(voice for (_, voice), _ in runs)


async def through(there) -> None:
    """The own voice has come through."""
    await until(lambda: there.hub.own_voices.trust.proven(there.speaker))


async def test_promises_1_and_3_killed_in_the_middle_and_back_again(engine, tmp_path, process):
    async with meeting(engine, tmp_path, process) as there:
        assert set(await utter(there)) == {"n"}, "at first the neutral voice"
        await through(there)
        assert set(await utter(there)) == {"o"}, "then one's own"
        await process.behave(fault="die", fault_at=1)  # by its own hand, with SIGKILL
        broken = await utter(there)
        assert broken[0] == "o" and broken[-1] == "n", "what was missing in the neutral voice"
        assert set(await utter(there)) == {"n"}, "nobody is waited for"
        await process.start()
        await until(lambda: asked_now(there))
        for _ in range(3):
            if "o" in (voices := await utter(there)):
                break
        assert set(voices) == {"o"}, "the own voice is back, after it was tried out"
        # promise 26: and when its owner does not want it any more, the laptop forgets it
        assert (await process.seen())["voices"]
        await there.hub.profiles.withdraw(there.speaker, "cloning", "self")
        async with asyncio.timeout(PATIENCE):
            while (await process.seen())["voices"]:
                await asyncio.sleep(0.05)
        assert set(await utter(there)) == {"n"}


@pytest.mark.parametrize("fault", ["hang", "silence"])
async def test_promise_2_a_laptop_that_hangs_or_talks_nonsense(engine, tmp_path, process, fault):
    async with meeting(engine, tmp_path, process) as there:
        await utter(there)
        await through(there)
        await process.behave(fault=fault, fault_at=1)
        broken = await utter(there)
        assert broken[0] == "o" and broken[-1] == "n"
        assert set(await utter(there)) == {"n"}, "it is not waited for again"


async def test_promise_1_taking_over_from_a_laptop_that_is_killed(engine, tmp_path, process):
    async with meeting(engine, tmp_path, process, voices="replace") as there:
        await process.behave(first_s=1.6)
        both = await utter(there)
        assert both[0] == "n" and both[-1] == "o", "it took over"
        await process.behave(fault="die", fault_at=1)
        await utter(there)
        assert set(await utter(there)) == {"n"}
