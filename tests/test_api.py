"""The HTTP surface: rooms, refusals, pages, and the list of all routes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from babblefish.errors import WeightsError
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from tests.fakes_rooms import FakeEngine, FakeHub
from tests.patience import PATIENCE
from tests.rtc_peer import Peer
from tests.served import JOIN, running, served

pytestmark = pytest.mark.asyncio

SNAPSHOT = Path(__file__).parent / "snapshots" / "routes.txt"


def refusal(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["message"].strip().endswith((".", "?"))
    return answer.status_code, error["code"]


async def test_a_room_tells_what_it_offers():
    async with served() as server:
        room = server.hub.create("Standup")
        headers = {"Authorization": f"Bearer {room.token}"}
        answer = await server.http.get(f"/api/rooms/{room.code}", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (body["code"], body["name"], body["locked"]) == (room.code, "Standup", False)
        assert body["original_level"] == 0.2
        assert body["languages"][1] == {
            "code": "fr", "name": "français", "english_name": "French",
            "direction": "ltr", "speak": True, "hear": "voice",
        }  # fmt: skip
        assert body["basic"] == [["fr", "pl"]]
        assert body["unserved"] == [["pl", "fr"]]


async def test_joining_and_leaving():
    async with served() as server:
        room = server.hub.create("A")
        answer = await server.post(f"/api/rooms/{room.code}/join", room.token, JOIN)
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {"member", "key", "color", "name", "waiting"}
        assert body["waiting"] is False
        assert body["member"] in room.members
        path = f"/api/rooms/{room.code}/leave"
        assert (await server.post(path, body["key"])).status_code == 204
        assert not room.members
        assert refusal(await server.post(path, body["key"])) == (401, "member_key")


async def test_a_beacon_leaves_with_its_key_in_the_body():
    async with served() as server:
        room = server.hub.create("A")
        member = await server.join(room)
        path = f"/api/rooms/{room.code}/leave"
        for body in ("", "{", "{}", '{"key": 1}', '{"key": "\\ud800"}', '{"key": ""}'):
            answer = await server.http.post(path, content=body)
            assert refusal(answer) == (401, "member_key")
        body = f'{{"key": "{member.key}"}}'
        beacon = {"Content-Type": "text/plain;charset=UTF-8"}
        answer = await server.http.post(path, content=body, headers=beacon)
        assert answer.status_code == 204
        assert not room.members


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": ""}, 422, "bad_input"),
        ({"name": "x" * 10_000}, 422, "bad_input"),
        ({"name": "   "}, 422, "bad_name"),
        ({"name": None}, 422, "bad_input"),
        ({"hears": "tlh"}, 422, "language"),
        ({"hears": 3}, 422, "bad_input"),
        ({"speaks": ["fr"]}, 422, "bad_input"),
        ({"microphone": "perhaps"}, 422, "bad_input"),
        ({"admin": True}, 422, "bad_input"),
    ],
)
async def test_bad_input_is_named(change, status, code):
    async with served() as server:
        room = server.hub.create("A")
        answer = await server.post(f"/api/rooms/{room.code}/join", room.token, JOIN | change)
        assert refusal(answer) == (status, code)
        if code == "bad_input":
            assert next(iter(change)) in answer.json()["error"]["message"]
        assert not room.members


async def test_locked_and_full_rooms_refuse_newcomers():
    async with served() as server:
        room = server.hub.create("A")
        path = f"/api/rooms/{room.code}/join"
        room.lock(True)
        assert refusal(await server.post(path, room.token, JOIN)) == (403, "room_locked")
        room.lock(False)
        for i in range(40):
            room.join(name=f"P{i}", speaks="fr", hears="en", microphone=True)
        assert refusal(await server.post(path, room.token, JOIN)) == (409, "room_full")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


async def test_any_body_gets_an_answer_below_500():
    async with served() as server:
        room = server.hub.create("A")
        member = await server.join(room)
        bodies: list[bytes] = []

        @settings(
            max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(_json, st.binary(max_size=60))
        def collect(value, noise):
            bodies.append(json.dumps(value).encode())
            bodies.append(json.dumps(JOIN | {"name": value}).encode())
            bodies.append(noise)

        collect()
        for i, body in enumerate(bodies[:90]):
            path, bearer = (("offer", member.key), ("join", room.token))[i % 2]
            answer = await server.http.post(
                f"/api/rooms/{room.code}/{path}",
                content=body,
                headers={"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"},
            )
            assert answer.status_code in (200, 400, 409, 422, 429), body
            assert answer.status_code == 200 or "error" in answer.json()
        assert not server.calls


async def test_unknown_paths_and_methods_have_the_same_error_shape():
    async with served() as server:
        assert refusal(await server.http.get("/nothing")) == (404, "not_found")
        assert refusal(await server.http.get("/api/nothing")) == (404, "not_found")
        assert refusal(await server.http.delete("/api/rooms/x")) == (405, "method")
        for path in ("/web/../server.py", "/web/%2e%2e/server.py", "/web/nothing.js"):
            assert refusal(await server.http.get(path)) == (404, "not_found")


# --- who may do what -------------------------------------------------------------------------


async def test_promise_17_nothing_without_the_rooms_token():
    async with served() as server:
        mine, other = server.hub.create("Mine"), server.hub.create("Other")
        member = await server.join(mine)
        peer = Peer()
        offer = {"sdp": await peer.offer(), "type": "offer"}
        # A seat in one room opens nothing in another, and a room's token is no seat.
        assert refusal(await server.post(f"/api/rooms/{other.code}/offer", member.key, offer)) == (
            401, "member_key",
        )  # fmt: skip
        assert refusal(await server.post(f"/api/rooms/{mine.code}/offer", mine.token, offer)) == (
            401, "member_key",
        )  # fmt: skip
        for code in (mine.code, other.code, "unknown0"):
            for header in (
                None, "", "Bearer", f"Basic {mine.token}", "Bearer wrong",
                f"Bearer {mine.token}x", "Bearer é", f"Bearer {mine.token} {mine.token}",
                f"Bearer {other.token if code == mine.code else mine.token}",
            ):  # fmt: skip
                headers = {} if header is None else {"Authorization": header.encode()}
                url = f"/api/rooms/{code}"
                look = await server.http.get(url, headers=headers)
                join = await server.http.post(url + "/join", json=JOIN, headers=headers)
                sdp = await server.http.post(url + "/offer", json=offer, headers=headers)
                assert {refusal(look)[0], refusal(join)[0], refusal(sdp)[0]} <= {401, 429}
        assert not server.calls
        assert len(mine.members) == 1
        assert not other.members
        await peer.close()


async def test_promise_17_refusals_do_not_tell_which_rooms_exist():
    async with served() as server:
        room = server.hub.create("A")
        wrong = {"Authorization": "Bearer wrong"}
        answers = [
            await server.http.get(f"/api/rooms/{code}", headers=wrong)
            for code in (room.code, "unknown0")
        ]
        assert answers[0].content == answers[1].content
        pages = [await server.http.get(f"/r/{code}") for code in (room.code, "unknown0")]
        assert pages[0].content == pages[1].content


async def test_promise_17_guessing_tokens_is_limited():
    async with served() as server:
        room = server.hub.create("A")
        path = f"/api/rooms/{room.code}"
        answers = [
            await server.http.get(path, headers={"Authorization": f"Bearer guess{i}"})
            for i in range(40)
        ]
        assert {answer.status_code for answer in answers} == {401, 429}
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0


async def test_promise_18_tokens_are_revoked_by_a_new_link():
    async with served() as server:
        room = server.hub.create("A")
        old = room.token
        room.rotate_token()
        path = f"/api/rooms/{room.code}/join"
        assert refusal(await server.post(path, old, JOIN)) == (401, "room_token")
        assert (await server.post(path, room.token, JOIN)).status_code == 200


async def test_promise_18_tokens_are_not_taken_from_the_query():
    async with served() as server:
        room = server.hub.create("A")
        for key in ("t", "token", "access_token"):
            answer = await server.http.get(f"/api/rooms/{room.code}?{key}={room.token}")
            assert refusal(answer) == (401, "room_token")


# --- starting --------------------------------------------------------------------------------


class SlowEngine(FakeEngine):
    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.go, self.error = asyncio.Event(), error

    async def start(self) -> None:
        await self.go.wait()
        if self.error is not None:
            raise self.error
        await super().start()


async def test_health_says_starting_until_the_engine_is_ready():
    hub, engine = FakeHub(), SlowEngine()
    app = create_app(Settings(http=True), hub, engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
        room = hub.create("A")
        headers = {"Authorization": f"Bearer {room.token}"}
        assert (await http.get("/health")).json() == {"status": "starting"}
        answer = await http.get(f"/api/rooms/{room.code}", headers=headers)
        assert refusal(answer) == (503, "starting")
        engine.go.set()
        await app.state.ready.wait()
        assert (await http.get("/health")).json() == {"status": "ok"}
        assert (await http.get(f"/api/rooms/{room.code}", headers=headers)).status_code == 200


async def test_an_engine_that_cannot_start_is_reported():
    engine = SlowEngine(WeightsError("weights", "Weights are missing: run make run."))
    engine.go.set()
    app = create_app(Settings(http=True), FakeHub(), engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
        await app.state.ready.wait()
        assert app.state.failure is engine.error
        answer = await http.get("/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "failed"})


# --- pages and routes ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/r/anything"])
async def test_pages_are_served_with_a_strict_policy(path):
    async with served() as server:
        answer = await server.http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        again = await server.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code in (200, 304)


async def test_the_api_describes_itself_and_nothing_comes_from_outside():
    async with served() as server:
        answer = await server.http.get("/api/openapi.json")
        paths = set(answer.json()["paths"])
        assert {path for path in paths if path.startswith("/api/") and "/voice" not in path} == {
            "/api/accelerators/ask",
            "/api/accelerators/pair",
            "/api/rooms/{code}",
            "/api/rooms/{code}/join",
            "/api/rooms/{code}/place",
            "/api/rooms/{code}/offer",
            "/api/rooms/{code}/leave",
            "/api/rooms/{code}/return",
            "/api/rooms/{code}/transcript",
            "/api/rooms/{code}/transcript/lines",
        }
        for path in ("/docs", "/redoc", "/api/docs"):
            assert (await server.http.get(path)).status_code == 404


async def test_promise_20_no_undocumented_routes():
    from tests.route_list import route_list

    assert route_list() == SNAPSHOT.read_text().splitlines(), (
        "The routes have changed. If that is meant: "
        "python -m tests.route_list > tests/snapshots/routes.txt"
    )
