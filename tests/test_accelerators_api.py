"""Laptops are paired with a code, or dial in, against the real server over real https."""

# ruff: noqa: F401, F811  (fixtures are imported by name)
from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from babblefish.engine.cloning import CloneReference, CloneRequest
from babblefish.ui import pairing as pairing_module
from babblefish.ui.laptop_calls import allowed
from rooms.hub import Hub
from tests.laptop_server import ASK, PAIR, Server, error_of, quiet, server
from tests.patience import until
from tests.scripted_laptop import ScriptedLaptop, certificate, refusal

pytestmark = pytest.mark.asyncio


# --- with a code ----------------------------------------------------------------------------


async def test_a_laptop_is_paired_called_and_heard(tmp_path):
    async with (
        server(tmp_path / "server") as there,
        ScriptedLaptop().listening(tmp_path / "laptop") as laptop,
    ):
        code = there.pairing.code()
        paired = await there.pair(laptop)
        assert paired["reachable"] is True and paired["server_name"].startswith("BabbleFish on ")
        assert len(paired["secret"]) >= 32 and there.pairing.code() != code
        await until(lambda: there.hub.cloning.speaks("en"))
        state = there.hub.laptops.states[0]
        assert (state.transport, state.name) == ("https", "Dan's laptop")
        assert await speak(there.hub) == ["Hello,", "how are you?"]


async def speak(hub: Hub) -> list[str]:
    clip = np.zeros(24_000, np.float32)
    reference = CloneReference.of("ana", "one two three", "en", clip, 24_000)
    request = CloneRequest("u1", "ana", "Ana", "en", ("Hello,", "how are you?"), reference)
    return [clause.text async for clause in hub.cloning.speak(request, 20.0)]


async def test_a_laptop_that_cannot_be_called_dials_in_and_is_heard(tmp_path):
    async with server(tmp_path) as there:
        laptop = ScriptedLaptop(url="https://10.255.255.1:9100")
        paired = await there.pair(laptop)
        assert paired["reachable"] is False
        credential = f"{paired['accelerator_id']}.{paired['secret']}"
        async with there.dial(laptop, credential) as socket:
            talking = asyncio.create_task(laptop.converse(socket))
            await until(lambda: there.hub.cloning.speaks("en"))
            assert there.hub.laptops.states[0].transport == "websocket"
            assert await speak(there.hub) == ["Hello,", "how are you?"]
            talking.cancel()


@pytest.mark.parametrize("typed", ["", "AAAA-AAAA", "é" * 8])
async def test_a_wrong_code_is_refused_in_words_and_nobody_is_called(tmp_path, typed):
    async with (
        server(tmp_path / "server") as there,
        ScriptedLaptop().listening(tmp_path / "laptop") as laptop,
    ):
        for shown in (False, True):
            if shown:
                there.pairing.code()
            answer = await there.http.post(PAIR, json=laptop.introduction(typed))
            assert (answer.status_code, error_of(answer)) == (403, "pair_code")
            assert "Laptops" in answer.json()["error"]["message"]
        assert laptop.asked == [] and there.hub.laptops.all == ()


async def test_a_code_is_for_one_laptop_and_for_a_while(tmp_path):
    async with server(tmp_path) as there:
        code, laptop = there.pairing.code(), ScriptedLaptop()
        typed = f" {code.lower().replace('-', ' ')} "
        first = await there.http.post(PAIR, json=laptop.introduction(typed))
        again = await there.http.post(PAIR, json=laptop.introduction(code))
        assert (first.status_code, again.status_code) == (200, 403)
        code = there.pairing.code()
        now = pairing_module.time.time()
        there.pairing._clock = lambda: now + pairing_module.CODE_SECONDS + 1
        late = await there.http.post(PAIR, json=laptop.introduction(code))
        assert late.status_code == 403 and there.pairing.code() != code


async def test_guesses_are_limited_over_restarts(tmp_path):
    for _ in range(2):
        async with server(tmp_path) as there:
            there.pairing.code()
            guesses = [
                (await there.http.post(PAIR, json=ScriptedLaptop().introduction(f"WRONG{n}")))
                for n in range(3)
            ]
    assert [guess.status_code for guess in guesses] == [403, 403, 429]
    assert int(guesses[-1].headers["retry-after"]) > 1
    async with server(tmp_path) as there:
        body = ScriptedLaptop().introduction(there.pairing.code())
        right = await there.http.post(PAIR, json=body)
        assert right.status_code == 429, "the right one has to wait like any other"
        assert "127.0.0.1" not in (tmp_path / "pairing-state.json").read_text()


async def test_bad_introductions_are_refused_and_cost_no_code(tmp_path):
    async with server(tmp_path) as there:
        code, laptop = there.pairing.code(), ScriptedLaptop()
        whole = laptop.introduction(code)
        for change, status in (
            ({"certificate": "-----BEGIN NONSENSE-----"}, 422),
            ({"health": whole["health"] | {"protocol": 99}}, 409),
            ({"name": ""}, 422), ({"urls": ["x"] * 17}, 422), ({"certificate": "x" * 8001}, 422),
        ):  # fmt: skip
            answer = await there.http.post(PAIR, json=whole | change)
            assert answer.status_code == status and answer.json()["error"]["message"]
        assert there.pairing.code() == code
        hostile = "\u202e<script>alert(1)</script>" + "x" * 40
        await there.pair(laptop, name=hostile)
        await there.pair(laptop, name="\u202e\u202e")
        names = [one.name for one in there.hub.laptops.all]
        assert names[1] == "Laptop" and len(names[0]) <= 40 and "\u202e" not in names[0]


# --- where the server calls -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "came_from", "called"),
    [
        ("https://192.168.1.7:9100", "192.168.1.9", True),
        ("https://10.0.0.7:9100/", "192.168.1.9", True),
        ("https://[fd12::7]:9100", "192.168.1.9", True),
        ("https://169.254.8.8:9100", "192.168.1.9", True),
        ("https://8.8.8.8:9100", "8.8.8.8", True),
        ("https://[::ffff:192.168.1.7]:9100", "192.168.1.9", True),
        ("https://8.8.8.8:9100", "192.168.1.9", False),
        ("https://[2001:db8::1]:9100", "192.168.1.9", False),
        ("https://[::ffff:8.8.8.8]:9100", "192.168.1.9", False),
        ("https://169.254.169.254:443", "169.254.169.254", False),
        ("https://[fd00:ec2::254]:443", "192.168.1.9", False),
        ("https://127.0.0.1:9100", "192.168.1.9", False),
        ("https://[::1]:9100", "192.168.1.9", False),
        ("https://127.0.0.1:9100", "127.0.0.1", True),
        ("https://127.0.0.1:9100", "", False),
        ("https://0.0.0.0:9100", "0.0.0.0", False),
        ("https://224.0.0.1:9100", "224.0.0.1", False),
        ("https://255.255.255.255:9100", "192.168.1.9", False),
        ("https://localhost:9100", "127.0.0.1", False),
        ("https://intranet.example:9100", "192.168.1.9", False),
        ("https://0x7f.1:9100", "192.168.1.9", False),
        ("https://2130706433:9100", "127.0.0.1", False),
        ("http://192.168.1.7:9100", "192.168.1.9", False),
        ("https://192.168.1.7", "192.168.1.9", False),
        ("https://192.168.1.7:99999", "192.168.1.9", False),
        ("https://user:word@192.168.1.7:9100", "192.168.1.9", False),
        ("https://192.168.1.7:9100/admin?x=1", "192.168.1.9", False),
        ("file:///etc/passwd", "192.168.1.9", False),
    ],
)
async def test_only_local_addresses_or_the_laptop_s_own_are_called(url, came_from, called):
    assert bool(allowed([url], came_from)) is called


async def test_who_has_not_the_certificate_is_not_the_laptop(tmp_path):
    async with (
        server(tmp_path / "server") as there,
        ScriptedLaptop().listening(tmp_path / "laptop") as other,
    ):
        *_, pem = certificate(tmp_path / "another")
        paired = await there.pair(ScriptedLaptop(url=other.url, pem=pem))
        assert paired["reachable"] is False
        assert other.asked == [], "nothing was asked of it"
        assert (await there.pair(ScriptedLaptop(url=other.url)))["reachable"] is False
        assert there.hub.laptops.all[-1].urls == (), "without a certificate nobody is called"


async def test_the_address_that_answers_is_tried_first(tmp_path):
    async with (
        server(tmp_path / "server") as there,
        ScriptedLaptop().listening(tmp_path / "laptop") as laptop,
    ):
        urls = ["https://127.0.0.1:1", "https://example.org:9100", laptop.url]
        await there.pair(laptop, urls=urls)
        assert there.hub.laptops.all[0].urls == (laptop.url, "https://127.0.0.1:1")


# --- the WebSocket --------------------------------------------------------------------------


async def test_a_wrong_secret_opens_no_socket(tmp_path):
    async with server(tmp_path) as there:
        laptop = ScriptedLaptop()
        paired = await there.pair(laptop)
        id_, secret = paired["accelerator_id"], paired["secret"]
        for wrong in (f"{id_}.{'x' * 32}", f"{id_}.", f"other.{secret}", secret, "", "a" * 400):
            with pytest.raises(InvalidStatus) as caught:
                async with there.dial(laptop, wrong):
                    pass
            assert caught.value.response.status_code == 401
            told = refusal(caught.value)
            assert told["code"] == "laptop_secret" and "Pair it again" in told["message"]
        assert there.hub.laptops.states[0].transport == ""


async def test_browsers_are_refused_everywhere(tmp_path, quiet):
    async with server(tmp_path) as there:
        laptop, code = ScriptedLaptop(), there.pairing.code()
        quiet(there)
        for headers in (
            {"Origin": "https://evil.example"}, {"Origin": there.base},
            {"Sec-Fetch-Site": "same-origin"}, {"Cookie": "babblefish_admin=x"},
        ):  # fmt: skip
            for path in (PAIR, ASK):
                body = laptop.introduction(code)
                answer = await there.http.post(path, json=body, headers=headers)
                assert (answer.status_code, error_of(answer)) == (403, "origin")
        paired = await there.pair(laptop)
        credential = f"{paired['accelerator_id']}.{paired['secret']}"
        for origin in ("https://evil.example", there.base):
            with pytest.raises(InvalidStatus) as caught:
                async with there.dial(laptop, credential, origin=origin):
                    pass
            assert caught.value.response.status_code == 403


async def test_a_second_socket_replaces_the_first_and_removal_closes_it(tmp_path):
    async with server(tmp_path) as there:
        laptop = ScriptedLaptop()
        paired = await there.pair(laptop)
        credential = f"{paired['accelerator_id']}.{paired['secret']}"
        async with there.dial(laptop, credential) as first:
            async with there.dial(laptop, credential) as second:
                with pytest.raises(ConnectionClosed):
                    await laptop.converse(first)
                assert first.close_code == 4409
                talking = asyncio.create_task(laptop.converse(second))
                await until(lambda: there.hub.cloning.speaks("en"))
                assert await speak(there.hub)
                assert await there.hub.laptops.remove(paired["accelerator_id"]) is True
                with pytest.raises(ConnectionClosed):
                    await talking
                assert second.close_code == 4401
        assert laptop.voices == {} and "ana" in laptop.deleted
        with pytest.raises(InvalidStatus):
            async with there.dial(laptop, credential):
                pass


@pytest.mark.parametrize(("message", "code"), [(b"binary", 1003), ("x" * 16_100_000, 1009)])
async def test_messages_are_texts_of_a_bounded_size(tmp_path, message, code):
    async with server(tmp_path) as there:
        laptop = ScriptedLaptop()
        paired = await there.pair(laptop)
        credential = f"{paired['accelerator_id']}.{paired['secret']}"
        async with there.dial(laptop, credential, compression=None) as socket:
            await socket.send(message)
            with pytest.raises(ConnectionClosed):
                await laptop.converse(socket)
            assert socket.close_code == code


async def test_the_server_says_goodbye_when_it_stops(tmp_path):
    laptop = ScriptedLaptop()
    async with contextlib.AsyncExitStack() as stack:
        async with server(tmp_path) as there:
            paired = await there.pair(laptop)
            credential = f"{paired['accelerator_id']}.{paired['secret']}"
            socket = await stack.enter_async_context(there.dial(laptop, credential))
        with pytest.raises(ConnectionClosed):
            await laptop.converse(socket)
        assert socket.close_code in (1001, 1012)
