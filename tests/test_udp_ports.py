"""Where sound arrives: ports for a firewall, and addresses that the machine itself lacks."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

import pytest
from aiortc.sdp import SessionDescription

from babblefish.errors import SettingsError
from babblefish.settings import load_settings
from babblefish.ui.sdp import also_at, reachable
from babblefish.ui.udp_ports import PortRangeLoop
from tests.rtc_peer import Peer, sample_offer
from tests.served import served


def on_ports(ports: range, work):
    with asyncio.Runner(loop_factory=partial(PortRangeLoop, ports)) as runner:
        return runner.run(work)


def candidates(answer: str) -> set[tuple[str, int]]:
    media = SessionDescription.parse(answer).media
    return {(found.ip, found.port) for part in media for found in part.ice_candidates}


def free_ports(count: int) -> range:
    """So many ports in a row that nobody uses."""
    for first in range(21_000, 30_000, count):
        taken = []
        try:
            for port in range(first, first + count):
                taken.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                taken[-1].bind(("0.0.0.0", port))
            return range(first, first + count)
        except OSError:
            continue
        finally:
            for held in taken:
                held.close()
    raise AssertionError("no free ports")


def test_calls_use_ports_of_the_range_and_phones_connect_there():
    ports = free_ports(64)

    async def meeting() -> set[tuple[str, int]]:
        async with served("tone") as server:
            member = await server.join(server.hub.create("A"))
            answer = (await server.offer(member, await sample_offer())).json()["sdp"]
            peer = await server.connect(member, Peer())
            assert member.connected
            await peer.close()
            return candidates(answer)

    found = on_ports(ports, meeting())
    assert found
    assert all(port in ports for _, port in found)


def test_when_all_ports_are_taken_the_phone_is_told():
    ports = free_ports(1)

    async def meeting() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
            other.bind(("::", ports[0]))  # of IPv4, too
            async with served("tone") as server:
                member = await server.join(server.hub.create("A"))
                refused = await server.offer(member, await sample_offer())
                assert refused.status_code == 503
                assert "BABBLEFISH_UDP_PORTS" in refused.json()["error"]["message"]
                assert not server.calls

    on_ports(ports, meeting())


async def test_announced_addresses_stand_in_the_answer_beside_the_own_ones():
    async with served("tone", announce=("203.0.113.7", "2001:db8::7")) as server:
        member = await server.join(server.hub.create("A"))
        found = candidates((await server.offer(member, await sample_offer())).json()["sdp"])
        own = {place for place in found if place[0] not in ("203.0.113.7", "2001:db8::7")}
        assert own
        assert found - own >= {("203.0.113.7", port) for ip, port in own if ":" not in ip}


def test_an_address_is_announced_for_its_own_kind_only_and_once():
    answer = on_ports(free_ports(64), sample_offer())
    assert reachable(answer)
    own = candidates(answer)
    found = candidates(also_at(also_at(answer, ("203.0.113.7",)), ("203.0.113.7",)))
    assert found - own == {("203.0.113.7", port) for ip, port in own if ":" not in ip}
    assert candidates(also_at(answer, ())) == own


@pytest.mark.parametrize("ports", ["here", "40000-", "40010-40000", "80-90", "60000-70000"])
def test_a_range_that_is_none_is_refused_with_the_fix(ports: str, monkeypatch):
    monkeypatch.setenv("BABBLEFISH_UDP_PORTS", ports)
    with pytest.raises(SettingsError, match=r"such as 40000-40999\. Set it with BABBLEFISH_UDP"):
        load_settings()


def test_settings_of_ports_and_addresses_are_read(monkeypatch):
    monkeypatch.setenv("BABBLEFISH_UDP_PORTS", "40000-40999")
    monkeypatch.setenv("BABBLEFISH_ANNOUNCE", "203.0.113.7, 2001:db8::7")
    settings = load_settings()
    assert settings.udp_ports == range(40000, 41000)
    assert settings.announce == ("203.0.113.7", "2001:db8::7")
    monkeypatch.setenv("BABBLEFISH_UDP_PORTS", "")
    assert load_settings().udp_ports is None
    with pytest.raises(SettingsError, match=r"commas between them.*BABBLEFISH_ANNOUNCE"):
        load_settings(announce="example.org")
