"""Limits, origins, headers and the access log, against the real server."""

from __future__ import annotations

import logging

import pytest
from starlette.requests import HTTPConnection

from babblefish.errors import RoomError
from babblefish.settings import Settings
from babblefish.ui.access import Access, RateLimited
from tests.served import served

pytestmark = pytest.mark.asyncio


def connection(host: str | None = "192.0.2.1", **headers: str) -> HTTPConnection:
    pairs = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
    return HTTPConnection(
        {"type": "http", "client": host and (host, 1), "headers": pairs, "path": "/"}
    )


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        (None, "local"),
    ],
)
async def test_an_address_is_one_host_or_one_network(host, address):
    assert Access.address(connection(host)) == address


@pytest.mark.parametrize("value", ["Bearer abc_-9", "bearer abc_-9", "BEARER  abc_-9 "])
async def test_a_bearer_token_is_read(value):
    assert Access.bearer(connection(authorization=value), "room_token") == "abc_-9"


@pytest.mark.parametrize(
    "value", ["", "abc", "Basic abc", "Bearer", "Bearer a b", "Bearer é", "Bearer " + "a" * 201]
)
async def test_anything_else_is_no_token(value):
    with pytest.raises(RoomError) as caught:
        Access.bearer(connection(authorization=value), "member_key")
    assert caught.value.code == "member_key"


async def test_limits_count_per_action_and_keys():
    access = Access(Settings(offers_per_minute=3))
    for _ in range(3):
        access.hit("offer", "a", "room1")
    with pytest.raises(RateLimited) as caught:
        access.hit("offer", "a", "room1")
    assert 1 <= caught.value.retry_after <= 60
    assert str(caught.value.retry_after) in caught.value.message
    access.hit("offer", "b", "room1")
    access.hit("offer", "a", "room2")
    access.hit("join", "a", "room1")


async def test_checking_does_not_count():
    access = Access(Settings(offers_per_minute=1))
    for _ in range(5):
        access.check("offer", "a")
    access.hit("offer", "a")
    with pytest.raises(RateLimited):
        access.check("offer", "a")


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({}, True),
        ({"Origin": "{own}"}, True),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "https://fish.example.org"}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "null"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "{own}.evil.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "rubbish"}, False),
    ],
)
async def test_posts_of_other_sites_are_refused(headers, accepted):
    async with served(public_url="https://fish.example.org") as server:
        room = server.hub.create("A")
        own = str(server.http.base_url).rstrip("/")
        sent = {name: value.replace("{own}", own) for name, value in headers.items()}
        answer = await server.http.post(f"/api/rooms/{room.code}/join", headers=sent)
        if accepted:
            assert answer.status_code in (401, 422)
        else:
            assert answer.status_code == 403
            assert answer.json()["error"]["code"] == "origin"


async def test_large_and_unmeasured_bodies_are_refused():
    async def stream():
        yield b"{}"

    async with served() as server:
        path = "/api/rooms/x/join"
        answer = await server.http.post(path, content=b"x" * 100_001)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        answer = await server.http.post(path, content=stream())
        assert (answer.status_code, answer.json()["error"]["code"]) == (411, "no_length")


async def test_every_answer_carries_the_security_headers():
    async with served() as server:
        for path in ("/health", "/nothing", "/api/rooms/x", "/web/nothing.js"):
            headers = (await server.http.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] in ("no-cache", "no-store")
            assert "microphone=(self)" in headers["permissions-policy"]
            assert "server" not in headers or headers["server"] == "uvicorn"
        refused = await server.http.post("/api/rooms/x/join", content=b"x" * 100_001)
        assert refused.headers["cache-control"] == "no-store"


async def test_a_flood_of_requests_is_limited(monkeypatch):
    async with served() as server:
        codes = [(await server.http.get("/api/nothing")).status_code for _ in range(905)]
        assert codes.count(429) == 5
        assert (await server.http.get("/health")).status_code == 200


async def test_the_access_log_names_routes_only(caplog):
    caplog.set_level(logging.INFO, logger="babblefish.access")
    async with served() as server:
        room = server.hub.create("A")
        await server.http.get(f"/api/rooms/{room.code}?secret=1")
        await server.http.get("/nothing/at/all?secret=1")
    lines = [r.getMessage() for r in caplog.records if r.name == "babblefish.access"]
    assert len(lines) == 2
    assert lines[0].startswith("GET /api/rooms/{code} 401 ")
    assert lines[1].startswith("GET - 404 ")
