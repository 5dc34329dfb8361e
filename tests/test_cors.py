"""Pages of other origins, and bodies: what programs may send, against the real server."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import websockets

from babblefish.errors import SettingsError
from babblefish.settings import load_settings
from babblefish.ui.programs.paths import PROGRAMS, UPLOADS
from tests.patience import PATIENCE
from tests.program_routes import code, programs

pytestmark = pytest.mark.asyncio

PAGE, OTHER = "https://app.example.org", "https://evil.example"


def preflight(origin: str, headers: str = "authorization,content-type,x-stainless-os") -> dict:
    return {
        "Origin": origin, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": headers, "Sec-Fetch-Site": "cross-site",
    }  # fmt: skip


async def test_a_page_of_a_configured_origin_may_call_the_routes_for_programs_and_no_others():
    async with programs(cors_origins=f"{PAGE}, http://10.0.0.7:8080/") as server:
        key = await server.key()
        for path in ("/translate", "/v1/audio/speech", "/metrics", "/health/ready"):
            answer = await server.http.options(path, headers=preflight(PAGE))
            assert answer.status_code == 200, path
            told = answer.headers
            assert told["access-control-allow-origin"] == PAGE
            assert told["access-control-allow-methods"] == "GET, POST"
            assert "x-stainless-os" in told["access-control-allow-headers"]
            assert (
                "access-control-allow-credentials" not in told and "origin" in told["vary"].lower()
            )
            assert "access-control-allow-private-network" not in told
        sent = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
        answer = await server.post("/translate", key, headers=sent, json={})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        refused = await server.post("/translate", headers=sent, json={})
        assert code(refused) == (401, "api_key"), "the page can read why"
        assert refused.headers["access-control-allow-origin"] == PAGE
        assert "Retry-After" in refused.headers["access-control-expose-headers"]
        large = await server.post("/translate", key, headers=sent, content=b"x" * 1_000_001)
        assert code(large) == (413, "too_large")
        assert large.headers["access-control-allow-origin"] == PAGE
        for path in ("/api/rooms/abc/join", "/admin-login", "/admin/", "/"):
            for method in ("OPTIONS", "POST"):
                answer = await server.http.request(method, path, headers=preflight(PAGE))
                assert code(answer) == (403, "origin"), (method, path)
                assert "access-control-allow-origin" not in answer.headers
        answer = await server.http.get("/", headers=sent)
        assert "access-control-allow-origin" not in answer.headers
        local = preflight("http://10.0.0.7:8080") | {
            "Access-Control-Request-Private-Network": "true", "Access-Control-Request-Headers": "é"
        }  # fmt: skip
        raw = {name: value.encode() for name, value in local.items()}
        answer = await server.http.options("/translate", headers=raw)
        assert answer.headers["access-control-allow-private-network"] == "true"
        assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize("origins", ["", PAGE])
@pytest.mark.parametrize("origin", [OTHER, "null", PAGE + ".evil.example", PAGE + ":8443"])
async def test_pages_of_all_other_origins_are_refused(origins, origin):
    async with programs(cors_origins=origins) as server:
        key = await server.key()
        refused = await server.http.options("/translate", headers=preflight(origin))
        assert code(refused) == (403, "origin")
        assert "access-control-allow-origin" not in refused.headers
        refused = await server.post("/translate", key, headers={"Origin": origin}, json={})
        assert code(refused) == (403, "origin")
        assert "access-control-allow-origin" not in refused.headers
        read = await server.http.get("/health", headers={"Origin": origin})
        assert "access-control-allow-origin" not in read.headers, "no page can read it"


async def test_a_websocket_of_a_page_needs_a_configured_origin():
    async with programs(cors_origins=PAGE) as server:
        address = server.base.replace("http", "ws")
        headers = {"Authorization": f"Bearer {await server.key()}"}
        for path, origin, let_in in (
            ("/ws/client", PAGE, True), ("/ws/client", None, True), ("/ws/client", OTHER, False),
            ("/ws/tts-accelerator", PAGE, False),
        ):  # fmt: skip
            came = False
            with contextlib.suppress(websockets.InvalidStatus):
                async with websockets.connect(
                    address + path, origin=origin, additional_headers=headers
                ) as socket:
                    came = await socket.recv() == "in"
            assert came is let_in, (path, origin)


@pytest.mark.parametrize("wrong", ["*", "app.example.org", f"{PAGE}/path", "https://", "null"])
async def test_origins_that_are_none_are_refused_at_the_start(wrong):
    with pytest.raises(SettingsError, match="BABBLEFISH_CORS_ORIGINS"):
        load_settings(cors_origins=f"{PAGE},{wrong}")


async def test_origins_are_read_as_browsers_spell_them():
    settings = load_settings(cors_origins=" HTTPS://App.Example.org/ ,http://[fd00::1]:8080,")
    assert settings.allowed_origins == {PAGE, "http://[fd00::1]:8080"}
    assert load_settings().allowed_origins == frozenset()


async def test_which_paths_are_for_programs():
    for path in ("/transcribe-translate", "/translate/batch", "/v1/models", "/ws/client"):
        assert PROGRAMS.fullmatch(path)
    for path in (
        "/",
        "/translate/x",
        "/v1",
        "/api/openapi.json",
        "/admin/v1/x",
        "/ws/tts",
        "/trust",
    ):
        assert not PROGRAMS.fullmatch(path)
    assert UPLOADS.fullmatch("/v1/audio/translations") and not UPLOADS.fullmatch("/v1/audio/speech")


# --- bodies -----------------------------------------------------------------------------------


async def pieces(number: int):
    for _ in range(number):
        yield b"x" * 100_000


async def test_only_uploads_may_be_long_or_of_unknown_length():
    async with programs(max_upload_mb=2) as server:
        key = await server.key()
        whole = await server.post("/transcribe", key, content=b"x" * 2_000_000)
        assert whole.json() == {"bytes": 2_000_000}
        streamed = await server.post("/transcribe", key, content=pieces(20))
        assert streamed.json() == {"bytes": 2_000_000}
        for body in (b"x" * 2_000_001, pieces(21)):
            refused = await server.post("/transcribe", key, content=body)
            assert code(refused) == (413, "too_large") and "2000000" in refused.text
        refused = await server.post("/translate", key, content=pieces(1))
        assert code(refused) == (411, "no_length")
        refused = await server.post("/translate", key, content=b"x" * 1_000_001)
        assert code(refused) == (413, "too_large")
        refused = await server.http.post("/transcribe", content=b"x" * 1_000)
        assert code(refused) == (401, "api_key")


async def test_an_endless_upload_is_cut_off_where_it_is_too_long():
    """Although its route does not count and its program never ends it."""
    async with programs(max_upload_mb=1) as server:
        key, port = await server.key(), int(server.base.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST /transcribe HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(11):
            writer.write(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            await writer.drain()
            assert b" 413 " in await reader.readline()
        writer.close()
