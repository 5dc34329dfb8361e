"""A laptop finds room servers that look for laptops, and its owner chooses one."""

from __future__ import annotations

import ipaddress

import pytest
from zeroconf.asyncio import AsyncServiceInfo

from babblefish.accelerator import joining
from babblefish.accelerator.discovery import Found, _read, find_servers
from babblefish.accelerator.joining import Wish, choose_server
from babblefish.accelerator.terminal import Terminal, languages
from babblefish.accelerator.trust import Trust
from babblefish.accelerator_protocol import SERVICE_TYPE
from babblefish.errors import SettingsError, TransportError
from babblefish.network import fingerprint
from tests.test_accelerator_pairing import Answering
from tests.test_accelerators_api import server

DEN = Found("BabbleFish on den", "https://192.168.1.20:9000", "AB12-CD34", 1)
LAB = Found("BabbleFish on lab", "https://192.168.1.30:9000", "EF56-7890", 1)


async def test_a_server_that_looks_is_found_with_its_fingerprint(tmp_path):
    async with server(tmp_path) as there:
        assert await find_servers(0.3, ["127.0.0.1"]) == []
        there.pairing.lookout.start()
        found: list[Found] = []
        for _ in range(60):
            found = await find_servers(1.0, ["127.0.0.1"])
            if found:
                break
        assert [one.name.startswith("BabbleFish on ") for one in found] == [True]
        assert found[0].fingerprint == fingerprint(there.tls.authority_der())
        assert found[0].server.startswith("https://127.0.0.1:") and found[0].same_version


def advertised(properties: dict, *addresses: str, port: int = 9000) -> Found | None:
    name = f"Den.{SERVICE_TYPE}"
    packed = [ipaddress.ip_address(address).packed for address in addresses]
    info = AsyncServiceInfo(SERVICE_TYPE, name, port, addresses=packed, properties=properties)
    return _read(info, name)


def test_what_anybody_in_the_network_says_is_read_with_care():
    told = {"name": "Den\x1b[2J\n\u202e", "fingerprint": "AB\x07CD", "version": "9" * 9}
    found = advertised(told, "fe80::1", "192.168.1.20", "8.8.8.8")
    assert found == Found("Den[2J", "https://192.168.1.20:9000", "ABCD", 0)
    assert advertised({}, "fd00::1") == Found("Den", "http://[fd00::1]:9000", "", 0)
    assert advertised(told) is None and advertised(told, "10.0.0.1", port=0) is None
    newer = advertised({"version": "2", "fingerprint": "AB"}, "10.0.0.1")
    assert newer is not None and not newer.same_version


def test_the_owner_chooses(capsys):
    assert Terminal(False).choose([DEN]) is DEN
    owner = Answering("x", "3", "2")
    assert owner.choose([DEN, LAB]) is LAB
    assert "EF56-7890" in "\n".join(owner.said)
    with pytest.raises(TransportError, match="--server"):
        Terminal(False).choose([DEN, LAB])
    with pytest.raises(TransportError, match="Look for laptops"):
        Terminal(False).choose([])


@pytest.mark.parametrize(
    ("found", "error", "words"),
    [
        (Found("Den", "http://10.0.0.1:9000", "", 1), SettingsError, "without https"),
        (Found("Den", "https://10.0.0.1:9000", "AB12", 2), TransportError, "different versions"),
    ],
)
def test_servers_that_will_not_do_are_refused_before_anything_is_sent(
    monkeypatch, found, error, words
):
    async def finds() -> list[Found]:
        return [found]

    monkeypatch.setattr(joining, "find_servers", finds)
    with pytest.raises(error, match=words):
        choose_server(None, Wish(), Answering())


def test_a_found_server_has_to_be_the_one_that_it_said_it_is(monkeypatch):
    async def finds() -> list[Found]:
        return [DEN]

    async def meets(address: str, expected: str) -> Trust:
        assert (address, expected) == (DEN.server, DEN.fingerprint)
        return Trust(address)

    monkeypatch.setattr(joining, "find_servers", finds)
    monkeypatch.setattr(joining, "meet", meets)
    assert choose_server(None, Wish(), Answering()) == Trust(DEN.server)


def test_many_languages_stay_one_line():
    assert languages(["zh", "en"]) == "Chinese, English"
    many = ["ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "hi", "it", "ja", "lv", "pl"]
    assert languages(many).endswith(" and 2 more")
