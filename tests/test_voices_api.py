"""One's own voice over HTTP: the whole way of a participant, and everybody who must not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from babblefish.engine.engine import Engine
from babblefish.settings import Settings
from babblefish.storage.storage import Storage
from babblefish.ui import recordings
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.patience import PATIENCE
from tests.phones import fake_profile
from tests.served import JOIN, Served, running
from tests.sound_files import encoded, long_silence, tone, voice, wav
from tests.stored import QUICK, contains

pytestmark = pytest.mark.asyncio
FRENCH = JOIN | {"name": "Marie Ž.", "speaks": "fr", "hears": "fr"}
ENGLISH = JOIN | {"name": "Dan", "speaks": "en", "hears": "en"}
AGREED = {"name": "Marie Ž.", "language": "fr", "purposes": ["voiceprint", "cloning"]}
PROMPT = wav(voice(7.0, seed=3), 16_000)


class Caller:
    """A participant's phone, as far as its voice goes."""

    def __init__(self, server: Served, member, key: str = "") -> None:
        self.server, self.member = server, member
        self.path = f"/api/rooms/{member.room.code}/voice"
        self.headers = {"Authorization": f"Bearer {key or member.key}"}

    async def ask(self, method: str, path: str = "", **more) -> httpx.Response:
        return await self.server.http.request(
            method, self.path + path, headers=self.headers, timeout=60, **more
        )

    async def record(self, take: str, file: bytes = PROMPT) -> httpx.Response:
        return await self.ask("PUT", f"/enrolment/takes/{take}", content=file)

    async def enrol(self, **changes) -> dict:
        assert (await self.ask("POST", "/enrolment", json=AGREED | changes)).status_code == 200
        for take in ("1", "2", "3"):
            answer = await self.record(take)
            assert answer.json()["good"], answer.text
        answer = await self.ask("POST", "/enrolment/save")
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def meeting(folder: Path, storage: bool = True):
    """A server with scripted stages, a room with Marie and Dan in it, and their phones."""
    engine = Engine(fake_profile())
    hub = Hub(Settings(data_dir=folder), engine, Storage(folder, **QUICK) if storage else None)
    app = create_app(Settings(http=True), hub, engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
        await app.state.ready.wait()
        assert app.state.failure is None
        server = Served(app, hub, http)
        room = hub.create("A")
        marie, dan = [await server.join(room, body) for body in (FRENCH, ENGLISH)]
        yield server, Caller(server, marie), Caller(server, dan)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"].endswith(".")
    return answer.status_code, error["code"]


async def test_from_consent_to_being_known_in_the_next_meeting(tmp_path):
    async with meeting(tmp_path) as (server, marie, _):
        before = (await marie.ask("GET")).json()
        assert (before["keeps"], before["enrolled"], before["agreed"]) == (True, False, [])
        words = (await marie.ask("GET", "/consent?language=fr")).json()
        assert words["language"] == "fr" and len(words["sentences"]) == 3
        assert set(words["purposes"]) == {"voiceprint", "cloning", "passive_collection"}
        assert all(s in words["statements"] for about in words["purposes"].values() for s in about)

        begun = (await marie.ask("POST", "/enrolment", json=AGREED)).json()
        assert begun["sentences"] == words["sentences"] and not begun["complete"]
        file = encoded(voice(7.0, seed=3, rate=48_000), "webm", "libopus")
        take = (await marie.record("1", file)).json()
        assert take["take"] == "1" and take["good"] and take["faults"] == []
        bad = (await marie.record("2", wav(voice(1.5), 16_000))).json()
        assert not bad["good"] and bad["faults"][0]["code"] == "too_short"
        assert refusal(await marie.ask("POST", "/enrolment/save")) == (409, "incomplete")
        played = await marie.ask("GET", "/enrolment/takes/1")
        assert played.headers["content-type"] == "audio/wav"
        samples, rate = soundfile.read(BytesIO(played.content))
        assert rate == 16_000 and 6.5 < len(samples) / rate < 7.5
        for name in ("2", "3"):
            await marie.record(name)
        during = (await marie.ask("GET")).json()
        assert during["enrolment"]["complete"] and not during["enrolled"]
        saved = (await marie.ask("POST", "/enrolment/save")).json()
        state = saved["voice"]
        assert state["enrolled"] and state["name"] == "Marie Ž." and state["enrolment"] is None
        assert (state["samples"], state["clips"]) == (3, 3)
        assert state["agreed"] == ["cloning", "voiceprint"]
        assert 50 < state["progress"]["percent"] <= 100 and state["languages"] == ["en"]
        assert marie.member.speaker in server.hub.people.known

        later = server.hub.create("Another meeting")
        again = await server.join(later, FRENCH | {"profile": saved["profile"]})
        assert again.speaker == marie.member.speaker
        assert (await Caller(server, again).ask("GET")).json()["enrolled"]


async def test_a_wrong_key_opens_nothing_and_a_profile_only_ones_own_voice(tmp_path):
    async with meeting(tmp_path) as (server, marie, _):
        profile = (await marie.enrol())["profile"]
        room = marie.member.room
        stranger = await server.join(server.hub.create("B"), ENGLISH)
        routes = [
            ("GET", ""), ("DELETE", ""), ("GET", "/consent?language=en"),
            ("POST", "/enrolment"), ("GET", "/enrolment"), ("DELETE", "/enrolment"),
            ("PUT", "/enrolment/takes/1"), ("GET", "/enrolment/takes/1"),
            ("DELETE", "/enrolment/takes/1"), ("POST", "/enrolment/save"), ("POST", "/withdraw"),
            ("POST", "/name"), ("POST", "/choice"), ("GET", "/voices?language=en"),
            ("GET", "/sample?language=en&voice=en-0"),
        ]  # fmt: skip
        bodies = {"/enrolment": AGREED, "/withdraw": {"purpose": "cloning"},
                  "/name": {"name": "X"}, "/choice": {"voice": "neutral"}}  # fmt: skip
        for key in (room.token, "wrong", profile.split(".")[1], stranger.key):
            caller = Caller(server, marie.member, key)
            for method, path in routes:
                body = bodies.get(path) if method == "POST" else None
                answer = await caller.ask(method, path, json=body)
                assert refusal(answer) in ((401, "member_key"), (429, "rate_limited")), path
        assert marie.member.speaker in server.hub.people.known

        own = Caller(server, stranger)
        assert refusal(await own.ask("DELETE")) in ((404, "not_enrolled"), (429, "rate_limited"))


@pytest.mark.parametrize("kind", ["wrong", "swapped", "other", "empty", "long"])
async def test_a_wrong_profile_is_ignored_and_joining_works(tmp_path, kind):
    async with meeting(tmp_path) as (server, marie, _):
        profile = (await marie.enrol())["profile"]
        id_, signature = profile.split(".")
        value = {
            "wrong": f"{id_}.{signature[::-1]}", "swapped": f"{signature}.{id_}",
            "other": f"{'0' * 16}.{server.hub.secret.sign('person', '0' * 16)}", "empty": "",
            "long": "x" * 199,
        }[kind]  # fmt: skip
        member = await server.join(server.hub.create("B"), ENGLISH | {"profile": value})
        assert member.speaker is None
        assert refusal(await Caller(server, member).ask("DELETE")) == (404, "not_enrolled")


async def test_promise_27_being_recognised_by_voice_opens_nothing(tmp_path):
    """The same voice on another phone, without the key, acts on nobody's data."""
    async with meeting(tmp_path) as (server, marie, dan):
        await marie.enrol()
        await dan.ask("POST", "/enrolment", json=AGREED)
        assert (await dan.record("1")).json()["good"]
        assert dan.member.speaker is None
        for method, path, body in (
            ("DELETE", "", None), ("POST", "/withdraw", {"purpose": "voiceprint"}),
            ("POST", "/name", {"name": "Dan"}),
        ):  # fmt: skip
            assert refusal(await dan.ask(method, path, json=body)) == (404, "not_enrolled")
        assert server.hub.people.get(marie.member.speaker).agreed == {"voiceprint", "cloning"}


async def test_promise_26_delete_me_really_deletes(tmp_path):
    async with meeting(tmp_path) as (server, marie, _):
        profile = (await marie.enrol())["profile"]
        speaker = marie.member.speaker
        prints = await server.hub.storage.embeddings(speaker)
        clip = (await server.hub.storage.clips(speaker))[0]
        sound = (await server.hub.storage.clip_audio(clip.id))[20_000:20_200]
        traces = ("Marie Ž.".encode(), prints[0].vector, sound, clip.text[:40].encode())
        assert len(contains(tmp_path, *traces)) >= len(traces)
        assert (await marie.ask("DELETE")).status_code == 204
        assert contains(tmp_path, *traces) == []
        assert list((tmp_path / "clips").iterdir()) == []
        assert marie.member.speaker is None and server.hub.people.known == {}
        log = [(e.actor, e.act) for e in await server.hub.storage.audit_log()]
        assert log[0] == ("self", "speaker_deleted") and ("self", "speaker_added") in log
        again = await server.join(server.hub.create("B"), FRENCH | {"profile": profile})
        assert again.speaker is None
        assert refusal(await marie.ask("DELETE")) == (404, "not_enrolled")


async def test_withdrawing_one_purpose_deletes_what_was_kept_for_it(tmp_path):
    async with meeting(tmp_path) as (server, marie, _):
        await marie.enrol()
        state = (await marie.ask("POST", "/withdraw", json={"purpose": "cloning"})).json()
        assert state["agreed"] == ["voiceprint"] and state["clips"] == 0
        assert state["progress"] is None and state["samples"] == 3
        assert list((tmp_path / "clips").iterdir()) == []
        gone = await marie.ask("POST", "/withdraw", json={"purpose": "cloning"})
        assert refusal(gone) == (404, "not_found")
        state = (await marie.ask("POST", "/withdraw", json={"purpose": "voiceprint"})).json()
        assert state["agreed"] == [] and server.hub.people.enrolled() == ()


async def test_cancelling_forgets_and_beginning_again_starts_afresh(tmp_path):
    async with meeting(tmp_path) as (server, marie, _):
        await marie.ask("POST", "/enrolment", json=AGREED)
        await marie.record("1")
        assert (await marie.ask("DELETE", "/enrolment/takes/1")).status_code == 204
        assert refusal(await marie.ask("GET", "/enrolment/takes/1")) == (404, "take")
        assert (await marie.ask("DELETE", "/enrolment")).status_code == 204
        for method, path in (("GET", "/enrolment"), ("PUT", "/enrolment/takes/1"),
                             ("POST", "/enrolment/save")):  # fmt: skip
            assert refusal(await marie.ask(method, path)) == (404, "enrolment")
        assert (await marie.ask("GET")).json()["enrolment"] is None
        assert await server.hub.storage.speakers() == []


async def test_promise_25_no_recording_before_consent(tmp_path):
    async with meeting(tmp_path) as (_, marie, _):
        assert refusal(await marie.record("1")) == (404, "enrolment")
        without = AGREED | {"purposes": ["cloning"]}
        assert refusal(await marie.ask("POST", "/enrolment", json=without)) == (422, "consent")
        assert (await marie.ask("GET")).json()["choice"] == "closest", "all else works without it"


async def test_promise_21_recordings_that_are_none(tmp_path):
    async with meeting(tmp_path) as (_, marie, _):
        await marie.ask("POST", "/enrolment", json=AGREED)
        for file, status, code in (
            (b"", 422, "empty_audio"),
            (b"<html>" * 99, 415, "file_unreadable"),
            (wav(np.stack([tone(0.5)] * 32, axis=1)), 422, "channels"),
            (long_silence(10), 413, "too_long"),
            (PROMPT[:9000], 422, "truncated"),
        ):
            assert refusal(await marie.record("1", file)) == (status, code)
        large = await marie.record("1", bytes(recordings.MOST_BYTES + 1))
        assert refusal(large) == (413, "too_large")
        assert refusal(await marie.record("7")) == (422, "bad_input")
        assert (await marie.ask("GET", "/enrolment")).json()["takes"] == []
        assert (await marie.ask("POST", "/enrolment", content=bytes(200_000))).status_code == 413


async def test_choosing_a_voice_and_listening_to_it(tmp_path):
    async with meeting(tmp_path) as (server, marie, _):
        offered = (await marie.ask("GET", "/voices?language=en")).json()
        assert [voice["number"] for voice in offered["voices"]] == [1, 2, 3, 4]
        assert offered["current"] in [voice["voice"] for voice in offered["voices"]]
        heard = await marie.ask("GET", "/sample?language=en&voice=en-2")
        samples, rate = soundfile.read(BytesIO(heard.content))
        spectrum = np.abs(np.fft.rfft(samples[:rate]))
        assert rate == 48_000 and np.argmax(spectrum) == pytest.approx(1200, abs=2)
        calls = server.hub._engine.synthesisers[0].stats.calls
        assert (await marie.ask("GET", "/sample?language=en&voice=en-2")).content == heard.content
        assert server.hub._engine.synthesisers[0].stats.calls == calls, "kept, not made again"
        wrong = await marie.ask("GET", "/sample?language=en&voice=fr-1")
        assert refusal(wrong) == (422, "voice")

        choice = {"voice": "en-3", "language": "en"}
        state = (await marie.ask("POST", "/choice", json=choice)).json()
        assert (state["choice"], state["chosen"]) == ("chosen", {"en": "en-3"})
        assert (await marie.ask("GET", "/voices?language=en")).json()["current"] == "en-3"
        for body in (choice | {"voice": "fr-1"}, {"voice": "en-3"}, {"voice": "neutral ", **choice,
                     "language": "xx"}):  # fmt: skip
            assert refusal(await marie.ask("POST", "/choice", json=body)) == (422, "voice")
        state = (await marie.ask("POST", "/choice", json={"voice": "neutral"})).json()
        assert (state["choice"], state["chosen"]) == ("neutral", {})
        state = (await marie.ask("POST", "/choice", json={"voice": "closest"})).json()
        assert state["choice"] == "closest"


async def test_a_known_persons_voice_is_the_same_in_the_next_meeting(tmp_path):
    async with meeting(tmp_path) as (server, marie, dan):
        await dan.ask("GET", "/voices?language=en")  # Dan came first and has the first voice
        saved = await marie.enrol()
        found = (await marie.ask("GET", "/voices?language=en")).json()["current"]
        assert found != "en-0"
        stored = server.hub.people
        async with asyncio.timeout(PATIENCE):
            while not stored.get(marie.member.speaker).speaker.voices:
                await asyncio.sleep(0.01)
        assert stored.get(marie.member.speaker).speaker.voices == {"en": found}
        alone = await server.join(server.hub.create("B"), FRENCH | {"profile": saved["profile"]})
        voice = alone.room.conversation.voice_of(alone, "en")
        assert voice == found, "though the first one is free"

        await marie.ask("POST", "/choice", json={"voice": "en-3", "language": "en"})
        third = await server.join(server.hub.create("C"), FRENCH | {"profile": saved["profile"]})
        assert third.room.conversation.voice_of(third, "en") == "en-3"
        assert stored.get(third.speaker).speaker.voice == "en:en-3"


async def test_renaming_oneself(tmp_path):
    async with meeting(tmp_path) as (_, marie, _):
        await marie.enrol()
        state = (await marie.ask("POST", "/name", json={"name": "Marie\u202e Curie"})).json()
        assert state["name"] == "Marie Curie"
        bad = await marie.ask("POST", "/name", json={"name": "\u202e"})
        assert refusal(bad) == (422, "bad_name")


async def test_a_server_that_keeps_nothing_says_so(tmp_path):
    async with meeting(tmp_path, storage=False) as (_, marie, _):
        assert (await marie.ask("GET")).json()["keeps"] is False
        answer = await marie.ask("POST", "/enrolment", json=AGREED)
        assert refusal(answer) == (503, "no_storage")
        choice = {"voice": "en-1", "language": "en"}
        assert (await marie.ask("POST", "/choice", json=choice)).json()["choice"] == "chosen"
