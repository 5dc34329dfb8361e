"""Laptops without a code: how they find the server, ask, and are confirmed."""

# ruff: noqa: F401, F811  (fixtures are imported by name)
from __future__ import annotations

import asyncio
import ipaddress

import pytest

from babblefish.accelerator.discovery import find_servers
from babblefish.accelerator_protocol import SERVICE_TYPE
from babblefish.network import fingerprint
from babblefish.ui import pairing as pairing_module
from babblefish.ui.lookout import Lookout, Sign
from tests.laptop_server import Server, error_of, quiet, server
from tests.patience import until
from tests.scripted_laptop import ScriptedLaptop, certificate

pytestmark = pytest.mark.asyncio


# --- without a code -------------------------------------------------------------------------


async def test_nobody_may_ask_unless_the_host_looks(tmp_path, quiet):
    async with server(tmp_path) as there:
        refused = await there.ask(ScriptedLaptop())
        assert (refused.status_code, error_of(refused)) == (403, "not_looking")
        quiet(there)
        asked = await there.ask(ScriptedLaptop())
        assert asked.status_code == 200
        await there.pairing.lookout.stop()
        assert (await there.ask(ScriptedLaptop())).status_code == 403
        assert (await there.answer(asked.json()["ticket"])).status_code == 202


async def test_a_laptop_asks_and_is_confirmed(tmp_path, quiet):
    async with (
        server(tmp_path / "server") as there,
        ScriptedLaptop().listening(tmp_path / "laptop") as laptop,
    ):
        quiet(there)
        asked = (await there.ask(laptop)).json()
        assert (await there.answer(asked["ticket"])).status_code == 202
        assert laptop.asked == [] and there.hub.laptops.all == ()
        (guest,) = there.pairing.waiting
        assert guest.number == asked["number"] and len(guest.number) == 6
        there.pairing.confirm(guest.id)
        told = await there.answer(asked["ticket"])
        assert told.status_code == 200 and told.json()["reachable"] is True
        again = await there.answer(asked["ticket"])
        assert again.json() == told.json(), "an answer that was lost can be had again"
        assert len(there.hub.laptops.all) == 1 and there.pairing.waiting == ()
        await there.pairing.close()
        acts = [entry.act for entry in await there.hub.storage.audit_log()]
        assert acts == ["laptop_paired", "laptop_confirmed"]


async def test_a_laptop_asks_and_is_refused(tmp_path, quiet):
    async with server(tmp_path) as there:
        quiet(there)
        asked = (await there.ask(ScriptedLaptop())).json()
        there.pairing.refuse(there.pairing.waiting[0].id)
        told = await there.answer(asked["ticket"])
        assert (told.status_code, error_of(told)) == (403, "refused")
        assert there.hub.laptops.all == ()


async def test_those_who_ask_are_few_and_do_not_wait_for_ever(tmp_path, quiet):
    async with server(tmp_path) as there:
        quiet(there)
        for name in ("one", "two"):
            pem = certificate(tmp_path / name)[2]
            assert (await there.ask(ScriptedLaptop(pem=pem))).status_code == 200
            assert (await there.ask(ScriptedLaptop(pem=pem))).status_code == 200, "asked anew"
        full = await there.ask(ScriptedLaptop())
        assert (full.status_code, error_of(full)) == (503, "too_many_waiting")
        assert len(there.pairing.waiting) == 2
        ticket = there.pairing.waiting[0].ticket
        now = pairing_module.time.time()
        there.pairing._clock = lambda: now + pairing_module.QUIET_SECONDS + 1
        assert there.pairing.waiting == ()
        gone = await there.answer(ticket)
        assert (gone.status_code, error_of(gone)) == (404, "ticket")


@pytest.mark.parametrize("ticket", ["x" * 400, "wrong"])
async def test_a_wrong_ticket_says_nothing(tmp_path, ticket, quiet):
    async with server(tmp_path) as there:
        quiet(there)
        await there.ask(ScriptedLaptop())
        assert (await there.answer(ticket)).status_code in (401, 404)


# --- in the network -------------------------------------------------------------------------


async def test_the_server_says_where_it_is_only_while_it_looks(tmp_path):
    from zeroconf import ServiceBrowser, Zeroconf

    seen: list[tuple[str, str]] = []

    def changed(zeroconf, service_type, name, state_change):
        seen.append((state_change.name, name))

    finder = await asyncio.to_thread(lambda: Zeroconf(interfaces=["127.0.0.1"]))
    try:
        browser = await asyncio.to_thread(
            lambda: ServiceBrowser(finder, SERVICE_TYPE, handlers=[changed])
        )
        async with server(tmp_path) as there:
            await asyncio.sleep(0.3)
            assert seen == [] and not there.pairing.lookout.on
            there.pairing.lookout.start()
            await until(lambda: seen)
            ((_, name),) = seen
            info = await asyncio.to_thread(finder.get_service_info, SERVICE_TYPE, name, 3000)
            told = {key.decode(): value.decode() for key, value in info.properties.items()}
            authority = there.tls.authority_der()
            assert told["fingerprint"] == fingerprint(authority) and told["version"] == "1"
            assert told["name"].startswith("BabbleFish on ")
            assert info.parsed_addresses() == ["127.0.0.1"]
            (found,) = await find_servers(1.5, ["127.0.0.1"])  # as the laptop's program looks
            assert found.server == "https://127.0.0.1:9000" and found.same_version
            assert found.fingerprint == there.pairing.mark()
            assert there.pairing.lookout.problem == "" and 590 < there.pairing.lookout.left <= 600
            await there.pairing.lookout.stop()
            await until(lambda: ("Removed", name) in seen)
        await asyncio.to_thread(browser.cancel)
    finally:
        await asyncio.to_thread(finder.close)


@pytest.mark.parametrize(
    ("addresses", "words"), [((), "in no network"), (("192.0.2.77",), "Pair with the command")]
)
async def test_trouble_of_the_network_is_said_and_looking_ends_by_itself(addresses, words):
    there = tuple(ipaddress.ip_address(address) for address in addresses)
    lookout = Lookout(lambda: Sign("BabbleFish", there, 9000, ""), seconds=0.4)
    assert not lookout.on and lookout.left == 0.0
    lookout.start()
    assert lookout.on
    await until(lambda: lookout.problem)
    assert words in lookout.problem
    await until(lambda: not lookout.on)
    await lookout.stop()
    assert lookout.problem == ""
