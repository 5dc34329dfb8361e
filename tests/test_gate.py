"""Programs and their keys, against the real server: who comes in, how often, how many at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest
import websockets
from starlette.requests import HTTPConnection

from babblefish.errors import BabbleFishError, RoomError, SettingsError, StorageError
from babblefish.settings import Settings, load_settings
from babblefish.storage.api_keys import MOST
from babblefish.ui.access import Access, RateLimited, TryLater
from babblefish.ui.programs import keys as keys_module
from babblefish.ui.programs.caller import Caller
from babblefish.ui.programs.keys import Keys, new_key
from babblefish.ui.server import _config as server_config
from tests.patience import PATIENCE, until
from tests.program_routes import Programs, checkpointed, code, programs, without_database
from tests.stored import NOW, contains, opened

pytestmark = pytest.mark.asyncio


async def test_a_key_lets_a_program_in_and_is_stored_as_a_hash_only(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with programs(tmp_path) as server:
        stored, key = await server.keys.make("Lobby kiosk", ["translate"], 600, 30)
        assert key.startswith(f"bf_{stored.id}_") and len(key) == 55
        answer = await server.post("/translate", key, json={})
        assert answer.json() == {"key": stored.id, "name": "Lobby kiosk", "bytes": 2}
        spelt = {"Authorization": f"bearer  {key}"}
        assert (await server.post("/translate", headers=spelt)).status_code == 200
        assert server.keys.all[0].used is not None
        refused = await server.post("/speak", key)
        assert code(refused) == (403, "scope") and "speak" in refused.json()["error"]["message"]
    async with programs(tmp_path) as server:  # after a restart
        assert server.keys.all[0].used is not None
        assert (await server.post("/translate", key, json={})).status_code == 200
        (entry,) = await server.hub.storage.audit_log()
        assert (entry.actor, entry.act, entry.subject) == ("admin", "key_made", stored.id)
    secret = key.rpartition("_")[2]
    assert contains(tmp_path, key.encode(), secret.encode()) == []
    assert secret not in caplog.text and "kiosk" not in caplog.text


@pytest.fixture(scope="module")
def anyone():
    """Headers that let nobody in."""
    told = ["x", "bf_00000000_" + "a" * 43, "Basic eDp5", "é", "a" * 300, "null", "bf_"]
    return [*(f"Bearer {wrong}".encode() for wrong in told), b"Basic eDp5", b"Bearer", b"bf"]


async def test_without_a_right_key_nobody_comes_in(tmp_path, anyone):
    async with programs(tmp_path) as server:
        right = await server.key()
        other = right[:-1] + ("a" if right[-1] != "a" else "b")
        for told in (*anyone, f"Bearer {other}".encode(), f"Bearer {right}x".encode()):
            answer = await server.post("/translate", headers={"Authorization": told}, json={})
            assert code(answer) == (401, "api_key"), told
            assert answer.headers["www-authenticate"] == "Bearer"
        assert code(await server.post("/translate")) == (401, "api_key")
        assert server.keys.all[0].used is None


async def test_a_revoked_key_opens_nothing_any_more(tmp_path):
    async with programs(tmp_path) as server:
        stored, key = await server.keys.make("Old", ["translate"], 600, 30)
        caller = Caller(stored.id, "Old", frozenset({"translate"}), "")
        assert server.gate.still(caller)
        await server.keys.revoke(stored.id)
        assert code(await server.post("/translate", key)) == (401, "api_key")
        assert not server.gate.still(caller) and server.keys.all == []
        with pytest.raises(StorageError) as caught:
            await server.keys.revoke(stored.id)
        assert caught.value.code == "not_found"
        acts = [entry.act for entry in await server.hub.storage.audit_log()]
        assert acts == ["key_revoked", "key_made"]
    async with programs(tmp_path) as server:
        assert code(await server.post("/translate", key)) == (401, "api_key")


# --- how often --------------------------------------------------------------------------------


async def statuses(server: Programs, number: int, path: str, key: str, **headers: str) -> list[int]:
    return [
        (await server.post(path, key, headers=headers)).status_code for _ in range(number)
    ]  # fmt: skip


async def test_each_key_has_its_own_limit():
    async with programs() as server:
        slow, quick = await server.key(per_minute=3), await server.key()
        assert await statuses(server, 4, "/translate", slow) == [200, 200, 200, 429]
        refused = await server.post("/translate", slow)
        assert code(refused) == (429, "rate_limited")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert await statuses(server, 4, "/translate", quick) == [200] * 4


async def test_a_request_may_count_as_several():
    async with programs() as server:
        key = await server.key(per_minute=11)
        assert await statuses(server, 3, "/translate/batch", key) == [200, 200, 429]
        assert await statuses(server, 2, "/translate", key) == [200, 429]
        tiny = await server.key(per_minute=2)  # less than one such request
        assert await statuses(server, 2, "/translate/batch", tiny) == [200, 429]


async def test_an_address_has_a_limit_whatever_its_keys():
    """Behind a reverse proxy too; an IPv6 network counts as one address."""
    async with programs(requests_per_address=3) as server:
        one, other = await server.key(), await server.key()
        network = [{"X-Forwarded-For": f"2001:db8:1:2:3::{n}"} for n in range(4)]
        found = [
            (await server.post("/translate", key, headers=headers)).status_code
            for key, headers in zip([one, other, "", one], network, strict=True)
        ]
        assert found == [200, 200, 401, 429]
        elsewhere = {"X-Forwarded-For": "2001:db8:1:3::1"}
        assert (await server.post("/translate", one, headers=elsewhere)).status_code == 200


async def test_a_proxy_that_is_not_trusted_is_not_believed():
    async with programs(requests_per_address=3, trusted_proxies="192.0.2.0/24") as server:
        key = await server.key()
        found = [
            (await server.post("/translate", key, headers={"X-Forwarded-For": f"10.0.0.{n}"}))
            for n in range(4)
        ]
        assert [answer.status_code for answer in found] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("peer", "settings", "counts_as"),
    [
        ("127.0.0.1", {}, "203.0.113.9"), ("::1", {}, "203.0.113.9"), ("10.1.2.3", {}, "10.1.2.3"),
        ("10.1.2.3", {"trusted_proxies": "::1, 10.0.0.0/8"}, "203.0.113.9"),
        ("127.0.0.1", {"http": False}, "127.0.0.1"),
    ],
)  # fmt: skip
async def test_which_proxies_are_believed(peer, settings, counts_as):
    seen = []

    async def app(scope, receive, send):
        seen.append(Access.address(HTTPConnection(scope)))

    config = server_config(app, Settings(**{"http": True} | settings), None)
    config.load()
    headers = [(b"x-forwarded-for", b"198.51.100.7, 203.0.113.9")]
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "path": "/", "headers": headers}
    await config.loaded_app(scope, None, None)
    assert seen == [counts_as], "what a client itself wrote into the header is not"


@pytest.mark.parametrize("wrong", ["proxy", "10.0.0.1/8", "10.0.0.0/33", "*"])
async def test_proxies_that_are_no_addresses_are_refused_at_the_start(wrong):
    with pytest.raises(SettingsError, match="BABBLEFISH_TRUSTED_PROXIES"):
        load_settings(trusted_proxies=f"127.0.0.1,{wrong}")


async def test_guessing_is_limited_and_locks_nobody_out(tmp_path, monkeypatch):
    monkeypatch.setattr(keys_module, "_APART_S", 0.01)
    async with programs(tmp_path) as server:
        key = await server.key()
        guess = new_key("x", ["translate"], 1, 1, NOW)[1]
        found = await statuses(server, 33, "/translate", guess)
        assert found == [401] * 30 + [429] * 3
        assert await statuses(server, 1, "/translate", key) == [200]
        elsewhere = await statuses(
            server, 1, "/translate", guess, **{"X-Forwarded-For": "10.0.0.9"}
        )
        assert elsewhere == [401]


# --- how many at once -------------------------------------------------------------------------


def caller(key: str = "", address: str = "192.0.2.1") -> Caller:
    return Caller(key, "", frozenset({"speak"}), address)


async def test_what_is_open_at_once_is_capped_and_the_refusal_is_polite():
    async with programs(max_connections=3) as server:
        few, many = await server.key(connections=1), await server.key()
        open_ = [asyncio.create_task(server.post("/speak", key)) for key in (few, many)]
        await until(lambda: server.gate.open == 2)
        refused = await server.post("/speak", few)
        assert code(refused) == (503, "too_many_connections")
        assert int(refused.headers["retry-after"]) > 0 and "1 conn" in refused.text
        open_.append(asyncio.create_task(server.post("/speak", many)))
        await until(lambda: server.gate.open == 3)
        assert server.gate.open_of(server.keys.all[1].id) == 2
        assert code(await server.post("/speak", many)) == (503, "too_many_connections")
        with pytest.raises(TryLater), server.gate.hold(caller()):
            pass
        server.release.set()
        assert [(await task).status_code for task in open_] == [200] * 3
        assert server.gate.open == 0
        with contextlib.suppress(ZeroDivisionError), server.gate.hold(caller()):
            assert server.gate.open == 1
            raise ZeroDivisionError
        assert server.gate.open == 0 and server.gate.still(caller())


async def test_a_websocket_learns_why_it_is_closed():
    async with programs(max_connections=1) as server:
        address = server.base.replace("http", "ws") + "/ws/client"
        key, wrong = await server.key(per_minute=3), await server.key("speak")

        async def refusal(key: str) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {key}"}
            async with websockets.connect(address, additional_headers=headers) as socket:
                with contextlib.suppress(websockets.ConnectionClosed):
                    await socket.recv()
                await socket.wait_closed()
                return socket.close_code, socket.close_reason

        assert (await refusal("bf_x"))[0] == 4401
        number, reason = await refusal(wrong)
        assert number == 4403 and "rooms" in reason and len(reason.encode()) <= 123
        headers = {"Authorization": f"Bearer {key}"}
        async with websockets.connect(address, additional_headers=headers) as socket:
            assert await socket.recv() == "in"
            number, reason = await refusal(key)
            assert number == 4503 and "again soon" in reason
            await socket.send("bye")
        await until(lambda: server.gate.open == 0)
        async with websockets.connect(address, additional_headers=headers) as socket:
            assert await socket.recv() == "in"
        assert (await refusal(key))[0] == 4429


# --- the storage ------------------------------------------------------------------------------


async def test_trouble_of_the_storage_stops_no_program_that_is_known(tmp_path):
    async with programs(tmp_path) as server:
        known, (gone, revoked) = await server.key(), await server.keys.make("x", ["speak"], 9, 9)
        unknown = new_key("x", ["translate"], 9, 9, NOW)[1]
        with without_database(tmp_path):
            await until(lambda: server.keys.problem)
            assert await statuses(server, 1, "/translate", known) == [200]
            refused = await server.post("/translate", unknown)
            assert code(refused) == (503, "storage")
            assert "retry-after" in refused.headers and str(tmp_path) not in refused.text
            assert code(await server.post("/translate", "bf_rubbish")) == (401, "api_key")
            with pytest.raises(StorageError):
                await server.key()
            await server.keys.revoke(gone.id)
            assert server.keys.unsaved
            assert (await server.post("/speak", revoked)).status_code in (401, 503)
            assert len(server.keys.all) == 1
        await until(lambda: not server.keys.problem and not server.keys.unsaved)
        assert code(await server.post("/translate", unknown)) == (401, "api_key")
        assert code(await server.post("/speak", revoked)) == (401, "api_key")
        assert await statuses(server, 1, "/translate", known) == [200]
    async with opened(tmp_path) as storage:
        assert [key.name for key in await storage.keys()] == ["Kiosk"]


async def test_a_key_that_another_process_just_made_opens_at_once(tmp_path, monkeypatch):
    reads = []
    async with opened(tmp_path) as storage:
        read = storage.keys
        monkeypatch.setattr(storage, "keys", lambda: reads.append(1) or read())
        keys = Keys(storage)
        await keys.start()
        stored, key = new_key("x", ["translate"], 9, 9, NOW)
        await storage.add_key(stored)  # as another process does it: ``keys`` has no part in it
        assert keys.known(key) is None and await keys.look_up(key) == stored
        reads.clear()
        wrong = [new_key("x", ["translate"], 9, 9, NOW)[1] for _ in range(50)]
        assert await asyncio.gather(*map(keys.look_up, wrong)) == [None] * 50
        assert len(reads) <= 2, "one for all of them; and the look that comes every two seconds"
        await keys.close()


async def test_a_server_that_starts_without_its_database_learns_its_keys_later(tmp_path):
    async with programs(tmp_path) as server:
        key = await server.key()
    with without_database(tmp_path):
        async with programs(tmp_path) as server:
            assert code(await server.post("/translate", key)) == (503, "storage")
            assert code(await server.post("/translate")) == (401, "api_key")
    async with programs(tmp_path) as server:
        assert await statuses(server, 1, "/translate", key) == [200]


def overwritten(path: Path) -> None:
    checkpointed(path)
    path.write_bytes(b"Dear diary, " * 10_000)


@pytest.mark.parametrize("damage", [overwritten, Path.unlink])
async def test_keys_outlive_a_database_that_is_lost_while_the_server_runs(tmp_path, damage):
    async with programs(tmp_path) as server:
        key, (gone, revoked) = await server.key(), await server.keys.make("x", ["speak"], 9, 9)
        await server.keys.revoke(gone.id)
        path, storage = tmp_path / "babblefish.db", server.hub.storage
        damage(path)
        await until(lambda: path.exists() and (storage.health.set_aside or damage is Path.unlink))
        assert await statuses(server, 1, "/translate", key) == [200]
        async with asyncio.timeout(PATIENCE):
            while [stored.name for stored in await storage.keys()] != ["Kiosk"]:
                await asyncio.sleep(0.05)
    async with programs(tmp_path) as server:
        assert await statuses(server, 1, "/translate", key) == [200]
        assert code(await server.post("/speak", revoked)) == (401, "api_key")


async def test_without_a_storage_keys_end_with_the_server():
    async with programs() as server:
        key = await server.key()
        assert await statuses(server, 1, "/translate", key) == [200]
        assert await statuses(server, 1, "/translate", new_key("x", ["speak"], 1, 1, NOW)[1]) == [
            401
        ]
        await server.keys.revoke(server.keys.all[0].id)
        assert await statuses(server, 1, "/translate", key) == [401]


async def test_a_key_has_a_name_a_purpose_and_bounds(tmp_path):
    keys = Keys(None)
    for wrong in (
        ("", ["speak"], 1, 1), ("x" * 41, ["speak"], 1, 1), ("x", [], 1, 1), ("x", ["all"], 1, 1),
        ("x", ["speak"], 0, 1), ("x", ["speak"], 10**9, 1), ("x", ["speak"], 1, 0),
        ("x", ["speak"], 1, 10**9),
    ):  # fmt: skip
        with pytest.raises((RoomError, StorageError)) as caught:
            await keys.make(*wrong)
        assert caught.value.code in ("bad_name", "bad_value"), wrong
    assert keys.all == []
    async with opened(tmp_path) as storage:
        for _ in range(MOST):
            await storage.add_key(new_key("x", ["speak"], 1, 1, NOW)[0])
        with pytest.raises(StorageError) as caught:
            await storage.add_key(new_key("x", ["speak"], 1, 1, NOW)[0])
        assert caught.value.code == "too_many_keys"


async def test_refusals_travel_between_processes():
    import pickle

    for error in (RateLimited(7), TryLater("storage", "Soon.", 5)):
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, BabbleFishError) and again.retry_after == error.retry_after
        assert (again.code, again.message) == (error.code, error.message)
