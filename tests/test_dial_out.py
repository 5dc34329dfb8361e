"""A laptop that the server cannot call keeps a WebSocket to it: against the real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest

from babblefish.accelerator import conversation as conversation_module
from babblefish.accelerator import dial_out as dial_out_module
from babblefish.accelerator.conversation import Conversation
from babblefish.accelerator.dial_out import DialOut
from babblefish.accelerator.door import Door
from babblefish.accelerator.pairing import Pairing
from babblefish.accelerator.reception import Reception
from babblefish.accelerator_protocol import (
    AskHealth,
    Cancel,
    ClauseSpoken,
    DeleteVoice,
    Failed,
    Health,
    VoiceDeleted,
    VoiceStored,
    message_for_server,
)
from babblefish.errors import SynthesisError
from babblefish.ui.tls import Certificates
from tests.patience import until
from tests.scripted_synthesiser import ScriptedSynthesiser, request, voice
from tests.served import running
from tests.test_accelerator_pairing import introduction, room_like, utterance
from tests.test_accelerators_api import Server, server


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(dial_out_module, "_LOOK_S", 0.02)
    monkeypatch.setattr(dial_out_module, "_PAUSES", (0.05, 0.1, 0.2))
    monkeypatch.setattr(dial_out_module, "_REFUSED_PAUSE_S", 0.2)


@dataclass
class Caller:
    """A laptop without an endpoint."""

    pairing: Pairing
    silence_s: float = 0.2
    synthesiser: ScriptedSynthesiser = field(default_factory=ScriptedSynthesiser)
    door: Door = field(default_factory=Door)
    states: list[str] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def dialling(self) -> AsyncIterator[DialOut]:
        self.reception = Reception(self.synthesiser, "den", 16)
        self.door.open_to(self.pairing.secret)
        out = DialOut(self.pairing, self.reception, self.door, self.silence_s, self.states.append)
        running_out = asyncio.create_task(out.run())
        try:
            yield out
        finally:
            running_out.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running_out

    def server_calls(self) -> None:
        assert self.door.admits(f"Bearer {self.pairing.secret}")


@pytest.fixture
async def room(tmp_path) -> AsyncIterator[Server]:
    async with server(tmp_path / "server") as it:
        yield it


def authority(room: Server) -> str:
    return room.tls.certificate_file.with_name("ca.crt").read_text()


async def paired(room: Server) -> Pairing:
    told = introduction(urls=("https://10.255.255.1:9010",))
    answer = await room.http.post(
        "/api/accelerators/pair", json=told.model_dump() | {"code": room.pairing.code()}
    )
    body = answer.json()
    assert body["reachable"] is False
    return Pairing(room.base, authority(room), body["accelerator_id"], body["secret"])


async def test_the_server_speaks_through_it_and_deletes_voices(room):
    laptop = Caller(await paired(room))
    async with laptop.dialling():
        await until(lambda: room.hub.cloning.speaks("en"))
        state = room.hub.laptops.states[0]
        assert (state.transport, state.health.name) == ("websocket", "den")
        said = [clause async for clause in room.hub.cloning.speak(utterance(), 20.0)]
        assert [(c.text, c.last) for c in said] == [("Hello,", False), ("how are you?", True)]
        assert list(laptop.synthesiser.voices) == ["ana"]
        assert laptop.reception.last[0].transport == "websocket"
        room.hub.cloning.forget("ana")
        await until(lambda: not laptop.synthesiser.voices)
    assert laptop.states == ["dialling", "open"]
    await until(lambda: not room.hub.cloning.speaks("en"))


async def test_it_hangs_up_when_the_server_calls_and_dials_when_it_stops(room):
    laptop = Caller(await paired(room))
    async with laptop.dialling() as out:
        await until(lambda: out.state == "open")
        for _ in range(2):
            out._silence = 60.0
            laptop.server_calls()
            await until(lambda: out.state == "called")
            await until(lambda: not room.hub.cloning.speaks("en"))
            out._silence = 0.0
            await until(lambda: out.state == "open")
            await until(lambda: room.hub.cloning.speaks("en"))
    assert laptop.states == ["dialling", "open", *["called", "dialling", "open"] * 2]


async def test_what_is_being_spoken_is_spoken_to_its_end_before_it_hangs_up(room):
    laptop = Caller(await paired(room))
    async with laptop.dialling() as out:
        await until(lambda: room.hub.cloning.speaks("en"))
        laptop.synthesiser.hold()

        async def said() -> list[str]:
            return [clause.text async for clause in room.hub.cloning.speak(utterance(), 20.0)]

        speaking = asyncio.create_task(said())
        await until(lambda: laptop.synthesiser.begun)
        out._silence = 60.0
        laptop.server_calls()
        await asyncio.sleep(0.2)
        assert out.state == "open" and not speaking.done()
        laptop.synthesiser.may_speak.release()
        laptop.synthesiser.may_speak.release()
        assert await speaking == ["Hello,", "how are you?"]
        await until(lambda: out.state == "called")


async def test_a_wrong_secret_is_refused_and_said_and_tried_again(room):
    right = await paired(room)
    for wrong in (
        Pairing(right.server, right.authority, right.accelerator_id, "x" * 43),
        Pairing(right.server, right.authority, "0123456789abcdef", right.secret),
    ):
        laptop = Caller(wrong)
        async with laptop.dialling() as out:
            await until(lambda: out.state == "refused")
            await asyncio.sleep(0.5)  # it is tried again, quietly
        assert laptop.states == ["dialling", "refused"]
    assert not room.hub.cloning.speaks("en")


async def test_a_laptop_that_was_removed_is_told_so(room):
    laptop = Caller(await paired(room))
    async with laptop.dialling() as out:
        await until(lambda: room.hub.cloning.speaks("en"))
        laptop.synthesiser.voices["ana"] = voice("ana")
        await room.hub.laptops.remove(laptop.pairing.accelerator_id)
        await until(lambda: out.state == "refused")
        assert laptop.states[-1] == "refused"


async def test_two_programs_do_not_fight_for_one_place(room):
    pairing = await paired(room)
    first, second = Caller(pairing), Caller(pairing)
    async with first.dialling() as one:
        await until(lambda: one.state == "open")
        dial_out_module._REFUSED_PAUSE_S = 60.0
        async with second.dialling() as two:
            await until(lambda: one.state == "replaced")
            await asyncio.sleep(0.3)
            assert two.state == "open" and second.states == ["dialling", "open"]


async def test_a_server_that_was_away_is_found_again(tmp_path):
    async with server(tmp_path / "server") as before:
        laptop = Caller(await paired(before))
    async with laptop.dialling() as out:
        await until(lambda: out._failures > 2)
        assert laptop.states[:2] == ["dialling", "waiting"]
        async with server(tmp_path / "server") as after:
            out._pairing = replace(laptop.pairing, server=after.base)  # another port in this test
            await until(lambda: out.state == "open")
            await until(lambda: after.hub.cloning.speaks("en"))


async def test_somebody_else_at_the_address_gets_no_secret(room, tmp_path):
    laptop = Caller(await paired(room))
    other = Certificates(tmp_path / "other")
    other.refresh(["localhost"], [])
    files = {"ssl_certfile": other.certificate_file, "ssl_keyfile": other.key_file}
    asked: list[str] = []
    app = room_like()

    @app.middleware("http")
    async def heard(got, call_next):
        asked.append(got.url.path)
        return await call_next(got)

    async with running(app, **files) as base:
        laptop.pairing = Pairing(
            base, laptop.pairing.authority, laptop.pairing.accelerator_id, laptop.pairing.secret
        )
        async with laptop.dialling() as out:
            await until(lambda: out.state == "stranger")
    assert asked == []


# --- what is said over it -------------------------------------------------------------------


@dataclass
class Talk:
    """A conversation without a network."""

    synthesiser: ScriptedSynthesiser
    told: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    answers: list = field(default_factory=list)

    def tell(self, *messages) -> None:
        for message in messages:
            self.told.put_nowait(message if isinstance(message, str) else message.model_dump_json())

    async def texts(self) -> AsyncIterator[str]:
        while True:
            yield await self.told.get()

    async def send(self, text: str) -> None:
        self.answers.append(message_for_server(text))

    def of(self, kind: type) -> list:
        return [answer for answer in self.answers if isinstance(answer, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition)


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    synthesiser = ScriptedSynthesiser()
    it = Talk(synthesiser)
    reception = Reception(synthesiser, "den", 4)
    task = asyncio.create_task(Conversation(reception, it.send, lambda: None).run(it.texts()))
    yield it
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_health_comes_first_again_and_when_asked(talk, monkeypatch):
    await until(lambda: len(talk.of(Health)) == 1)
    talk.tell(AskHealth())
    await until(lambda: len(talk.of(Health)) == 2)
    monkeypatch.setattr(conversation_module, "HEALTH_S", 0.05)
    assert talk.answers[0].ready and talk.answers[0].name == "den"


async def test_health_is_told_without_being_asked(monkeypatch):
    monkeypatch.setattr(conversation_module, "HEALTH_S", 0.05)
    it = Talk(ScriptedSynthesiser())
    reception = Reception(it.synthesiser, "den", 4)
    task = asyncio.create_task(Conversation(reception, it.send, lambda: None).run(it.texts()))
    await until(lambda: len(it.of(Health)) >= 3)
    assert all(health.ready and health.name == "den" for health in it.of(Health))
    task.cancel()


async def test_a_voice_and_its_first_sentence_may_come_at_once(talk):
    talk.synthesiser.may_store.clear()
    talk.tell(voice(), request("r1"), DeleteVoice(speaker_id="speaker-one"), request("r2"))
    await asyncio.sleep(0.05)
    assert talk.of(Failed) == [] and talk.synthesiser.begun == []
    talk.synthesiser.may_store.set()
    await until(lambda: talk.of(VoiceDeleted) and talk.of(Failed))
    assert [v.digest for v in talk.of(VoiceStored)] == [voice().digest]
    assert talk.of(VoiceDeleted)[0].existed is True
    assert [(f.request_id, f.code) for f in talk.of(Failed)] == [("r2", "unknown_voice")]


async def test_several_are_spoken_at_once_and_one_is_cancelled(talk):
    talk.tell(voice())
    await until(lambda: talk.of(VoiceStored))
    talk.synthesiser.hold()
    talk.tell(request("r1"), request("r2"), request("r3"))
    await until(lambda: len(talk.synthesiser.begun) == 3)
    for _ in range(3):
        talk.synthesiser.may_speak.release()
    await until(lambda: len(talk.of(ClauseSpoken)) == 3)
    assert {(c.request_id, c.clause) for c in talk.of(ClauseSpoken)} == {
        ("r1", 0), ("r2", 0), ("r3", 0)
    }  # fmt: skip
    talk.tell(Cancel(request_id="r2"), Cancel(request_id="unknown"))
    await until(lambda: talk.synthesiser.cancelled == ["r2"])
    for _ in range(2):
        talk.synthesiser.may_speak.release()
    await until(lambda: sum(c.last for c in talk.of(ClauseSpoken)) == 2)
    assert talk.of(Failed) == []


async def test_trouble_is_told_with_the_id_it_belongs_to(talk):
    wrong = voice("s9").model_copy(update={"text": "Something else"})
    talk.tell("<html>", '{"type":"health"}', request("r1"), wrong)
    await until(lambda: len(talk.of(Failed)) == 4)
    found = {(f.request_id, f.code) for f in talk.of(Failed)}
    assert found == {
        ("", "bad_request"), ("r1", "unknown_voice"), ("s9", "bad_reference")
    }  # fmt: skip
    talk.tell(voice())
    await until(lambda: talk.of(VoiceStored))
    talk.synthesiser.trouble = {1: SynthesisError("synthesis_failed", "It broke.")}
    talk.tell(request("r2"))
    await until(lambda: len(talk.of(Failed)) == 5)
    assert (talk.answers[-1].request_id, talk.answers[-1].code) == ("r2", "synthesis_failed")


async def test_too_much_at_once_is_told_to_go_elsewhere(talk):
    talk.tell(voice())
    await until(lambda: talk.of(VoiceStored))
    talk.synthesiser.hold()
    talk.tell(*(request(f"r{number}") for number in range(5)), request("r0"))
    await until(lambda: len(talk.of(Failed)) == 2)
    assert {(f.request_id, f.code) for f in talk.of(Failed)} == {
        ("r4", "busy"), ("r0", "bad_request")
    }  # fmt: skip


async def test_a_conversation_that_ends_gives_up_its_work():
    it = Talk(ScriptedSynthesiser())
    reception = Reception(it.synthesiser, "den", 4)
    task = asyncio.create_task(Conversation(reception, it.send, lambda: None).run(it.texts()))
    it.tell(voice())
    await until(lambda: it.of(VoiceStored))
    it.synthesiser.hold()
    it.tell(request())
    await until(lambda: it.synthesiser.begun)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert it.synthesiser.cancelled == ["r1"]
    assert "Secret" not in json.dumps([entry.__dict__ for entry in reception.last])
