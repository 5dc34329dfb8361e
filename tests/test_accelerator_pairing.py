"""A laptop finds, trusts and joins the real room server over real https, or is told why not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI

from babblefish.accelerator import pairing as pairing_module
from babblefish.accelerator.joining import Wish, choose_server, join
from babblefish.accelerator.pairing import Pairing, PairingFile, ask, pair
from babblefish.accelerator.terminal import Terminal
from babblefish.accelerator.trust import Trust, check, meet, server_address
from babblefish.accelerator_protocol import Health, Introduction
from babblefish.engine.cloning import CloneReference, CloneRequest
from babblefish.errors import CloningError, SettingsError, TransportError
from babblefish.network import fingerprint
from babblefish.ui.tls import Certificates
from tests.patience import PATIENCE, until
from tests.served import running
from tests.test_accelerator_service import SECRET, endpoint
from tests.test_accelerators_api import Server, server


@pytest.fixture
async def room(tmp_path) -> AsyncIterator[Server]:
    async with server(tmp_path / "server") as it:
        yield it


def introduction(folder: Path | None = None, urls: tuple[str, ...] = (), **more) -> Introduction:
    pem = (folder / "endpoint.crt").read_text() if folder else ""
    health = Health(ready=True, languages=["en"], **more)
    return Introduction(name="den", urls=list(urls), certificate=pem, health=health)


def utterance(text: str = "one two three") -> CloneRequest:
    reference = CloneReference.of("ana", text, "en", np.zeros(24_000, np.float32), 24_000)
    return CloneRequest("u1", "ana", "Ana", "en", ("Hello,", "how are you?"), reference)


# --- trust ----------------------------------------------------------------------------------


async def test_a_server_is_trusted_by_its_authority_s_fingerprint(room):
    mark = fingerprint(room.tls.authority_der())
    for told in ("", mark, mark.lower(), mark[:19], mark.replace("-", ":")):
        trust = await meet(room.base, told)
        assert trust.fingerprint == mark
    await check(trust)
    wrong = "0000" + mark[4:]
    with pytest.raises(TransportError, match="Admin tab") as refused:
        await meet(room.base, wrong)
    assert refused.value.code == "other_server"
    for nonsense in ("1234", "no fingerprint at all"):
        with pytest.raises(SettingsError, match="--trust"):
            await meet(room.base, nonsense)


async def test_it_stays_trusted_when_its_addresses_change_and_by_any_name(room, tmp_path):
    trust = await meet(room.base)
    port = room.base.rpartition(":")[2]
    moved = Trust(f"https://0.0.0.0:{port}", trust.authority)
    await check(moved)
    assert moved.fingerprint == trust.fingerprint


async def test_somebody_else_at_its_address_is_refused_with_the_fix(room, tmp_path):
    trust = await meet(room.base)
    other = Certificates(tmp_path / "other")
    other.refresh(["localhost"], [])
    files = {"ssl_certfile": other.certificate_file, "ssl_keyfile": other.key_file}
    async with running(room_like(), **files) as base:
        impostor = Trust(base, trust.authority)
        with pytest.raises(TransportError, match="--forget") as refused:
            await check(impostor)
        assert refused.value.code == "other_server"
        with pytest.raises(TransportError, match="--forget"):
            await pair(impostor, introduction())


def room_like(**answers) -> FastAPI:
    """Something that answers at ``/health`` as a room server does, and knows no laptops."""
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict:
        return {"status": "ok"}

    return app


async def test_what_is_no_room_server_is_said_in_words(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(TransportError, match="does not answer") as refused:
            await meet(f"https://127.0.0.1:{port}")
    assert refused.value.code == "unreachable"
    async with running(FastAPI()) as base:
        with pytest.raises(TransportError, match="no BabbleFish") as refused:
            await meet(base)
        assert refused.value.code == "not_a_server"
    own = Certificates(tmp_path)
    own.refresh(["localhost"], [])
    files = {"ssl_certfile": own.certificate_file, "ssl_keyfile": own.key_file}
    async with running(room_like(), **files) as base:
        with pytest.raises(TransportError, match="whom to trust") as refused:
            await meet(base)
        assert refused.value.code == "not_a_server"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("https://192.168.1.20:9000", "https://192.168.1.20:9000"),
        (" den.local:9000/ ", "https://den.local:9000"),
        ("https://fish.example.org/r/abc", "https://fish.example.org"),
        ("https://[fd00::20]:9000", "https://[fd00::20]:9000"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("http://192.168.1.20:9000", None), ("http://127.0.0.1.example.org", None),
        ("https://", None), ("https://den:port", None), ("ftp://den", None),
        ("https://user:word@den", None), ("", None),
    ],
)  # fmt: skip
def test_addresses_as_people_type_them(typed, read):
    if read is None:
        with pytest.raises(SettingsError, match="https://"):
            server_address(typed)
    else:
        assert server_address(typed) == read


# --- with a code ----------------------------------------------------------------------------


async def test_a_paired_laptop_is_called_speaks_and_forgets(room, tmp_path):
    async with endpoint(tmp_path / "laptop") as laptop:
        trust = await meet(room.base)
        told = introduction(laptop.folder, (str(laptop.http.base_url),))
        pairing, reachable = await join(trust, room.pairing.code(), told, Terminal(False))
        assert reachable is True and pairing.server_name.startswith("BabbleFish on ")
        laptop.door.open_to(pairing.secret)
        await until(lambda: room.hub.cloning.speaks("en"))
        assert room.hub.laptops.states[0].transport == "https"
        said = [clause async for clause in room.hub.cloning.speak(utterance(), 20.0)]
        assert [(c.text, c.last) for c in said] == [("Hello,", False), ("how are you?", True)]
        assert list(laptop.synthesiser.voices) == ["ana"]
        room.hub.cloning.forget("ana")
        await until(lambda: not laptop.synthesiser.voices)


async def test_a_server_with_another_secret_is_refused_on_both_sides(room, tmp_path):
    async with endpoint(tmp_path / "laptop") as laptop:
        trust = await meet(room.base)
        told = introduction(laptop.folder, (str(laptop.http.base_url),))
        await join(trust, room.pairing.code(), told, Terminal(False))
        laptop.door.open_to(SECRET)  # not the one that was agreed on
        await until(lambda: room.hub.cloning.laptops()[0].condition == "refused")
        assert "pair it again" in room.hub.cloning.laptops()[0].message
        with pytest.raises(CloningError):
            async for _ in room.hub.cloning.speak(utterance(), 1.0):
                pass
        assert laptop.synthesiser.begun == [] and laptop.synthesiser.voices == {}


async def test_a_wrong_code_is_refused_in_the_server_s_words(room):
    room.pairing.code()
    trust = await meet(room.base)
    with pytest.raises(TransportError, match="Laptops") as refused:
        await pair(trust, introduction().model_copy(update={"code": "AAAA-AAAA"}))
    assert refused.value.code == "pair_code"


async def test_other_versions_are_told_apart(room):
    trust = await meet(room.base)
    other = introduction(protocol=99).model_copy(update={"code": room.pairing.code()})
    with pytest.raises(TransportError, match="version"):
        await pair(trust, other)
    async with running(room_like()) as base:
        with pytest.raises(TransportError, match="Update the room server") as refused:
            await pair(Trust(base), introduction())
        assert refused.value.code == "too_old"
    newer = room_like()

    @newer.post("/api/accelerators/pair")
    async def answer() -> dict:
        return {"something": "else"}

    async with running(newer) as base:
        with pytest.raises(TransportError, match="same version") as refused:
            await pair(Trust(base), introduction())
        assert refused.value.code == "bad_answer"


# --- without one ----------------------------------------------------------------------------


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(pairing_module, "_ASK_AGAIN_S", 0.05)


@pytest.fixture
def looking(room, monkeypatch) -> Server:
    """The server looks for laptops, without telling the network of this machine."""
    monkeypatch.setattr(type(room.pairing.lookout), "on", True)
    return room


async def test_a_laptop_that_asks_waits_for_the_host(looking, quickly):
    numbers: list[str] = []
    asking = asyncio.create_task(ask(await meet(looking.base), introduction(), numbers.append))
    await until(lambda: looking.pairing.waiting)
    guest = looking.pairing.waiting[0]
    await until(lambda: numbers == [guest.number])
    await asyncio.sleep(0.15)
    assert not asking.done()
    looking.pairing.confirm(guest.id)
    paired = await asyncio.wait_for(asking, PATIENCE)
    assert [one.id for one in looking.hub.laptops.all] == [paired.accelerator_id]


async def test_a_laptop_that_the_host_does_not_want_is_told_so(looking, quickly):
    asking = asyncio.create_task(ask(await meet(looking.base), introduction(), lambda _: None))
    await until(lambda: looking.pairing.waiting)
    looking.pairing.refuse(looking.pairing.waiting[0].id)
    with pytest.raises(TransportError, match="refused"):
        await asyncio.wait_for(asking, PATIENCE)


async def test_a_ticket_that_expired_is_asked_for_anew(looking, quickly):
    numbers: list[str] = []
    asking = asyncio.create_task(ask(await meet(looking.base), introduction(), numbers.append))
    await until(lambda: looking.pairing.waiting)
    looking.pairing._guests.clear()  # as after a restart of the server
    await until(lambda: looking.pairing.waiting and len(numbers) == 2)
    looking.pairing.confirm(looking.pairing.waiting[0].id)
    assert (await asyncio.wait_for(asking, PATIENCE)).secret


async def test_when_nobody_looks_asking_names_the_way(room):
    with pytest.raises(TransportError, match="Look for laptops"):
        await ask(await meet(room.base), introduction(), lambda _: None)


# --- what is kept ---------------------------------------------------------------------------

KEPT = Pairing("https://den:9000", "", "a1", "s" * 40, "BabbleFish on den")


def test_a_pairing_is_kept_for_its_owner_only_and_forgotten(tmp_path):
    file = PairingFile(tmp_path / "laptop")
    assert file.load() is None and file.forget() is False
    file.save(KEPT)
    path = tmp_path / "laptop" / "pairing.json"
    assert file.load() == KEPT and path.stat().st_mode & 0o777 == 0o600
    assert KEPT.secret not in repr(file.load())
    assert file.forget() is True and file.load() is None and not path.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"server": "x"}', b"\xff"])
def test_a_damaged_pairing_names_the_fix(tmp_path, content):
    (tmp_path / "pairing.json").write_bytes(content)
    with pytest.raises(SettingsError, match="--forget"):
        PairingFile(tmp_path).load()


class Answering(Terminal):
    """An owner who types ``answers``."""

    def __init__(self, *answers: str) -> None:
        super().__init__(asks=True)
        self.said: list[str] = []
        self._answers = list(answers)

    def say(self, text: str = "") -> None:
        self.said.append(text)

    def ask(self, question: str) -> str:
        self.said.append(question)
        return self._answers.pop(0)


@contextlib.asynccontextmanager
async def chosen(*args):
    """``choose_server`` blocks, as it may: nothing runs beside it in the program."""
    yield await asyncio.to_thread(choose_server, *args)


async def test_what_was_typed_leads_to_a_pairing_or_a_server(room):
    assert choose_server(KEPT, Wish(), Terminal(False)) is KEPT
    assert choose_server(KEPT, Wish(server="den:9000"), Terminal(False)) is KEPT
    mark = fingerprint(room.tls.authority_der())
    owner = Answering("y")
    async with chosen(KEPT, Wish(room.base, "CODE"), owner) as trust:
        assert isinstance(trust, Trust) and trust.fingerprint == mark
        assert any(mark in line for line in owner.said)
    with pytest.raises(TransportError, match="Nothing was sent"):
        async with chosen(None, Wish(room.base, "CODE"), Answering("n")):
            pass
    async with chosen(None, Wish(room.base, "CODE", mark), Answering()) as trust:
        assert trust.authority
    # a pinned server is not asked about again, and one that changed is not believed
    known = Pairing(room.base, trust.authority, "a1", "s" * 40)
    async with chosen(known, Wish(code="CODE"), Answering()) as again:
        assert again == trust
    other = Certificates(room.tls.certificate_file.parent.parent / "elsewhere")
    other.refresh(["localhost"], [])
    strange = Trust(room.base, (other.certificate_file.with_name("ca.crt")).read_text())
    with pytest.raises(TransportError, match="--forget"):
        async with chosen(
            Pairing(room.base, strange.authority, "a1", "s" * 40), Wish(room.base, "C"), Answering()
        ):
            pass
    # unless the owner gives the new fingerprint
    async with chosen(
        Pairing(room.base, strange.authority, "a1", "s" * 40), Wish(room.base, "C", mark),
        Answering(),
    ) as renewed:  # fmt: skip
        assert renewed == trust


def test_secrets_are_in_no_trace(tmp_path):
    PairingFile(tmp_path).save(KEPT)
    kept = json.loads((tmp_path / "pairing.json").read_text())
    assert kept["secret"] == KEPT.secret and KEPT.secret not in f"{KEPT}{KEPT.trust}"
