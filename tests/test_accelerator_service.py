"""The laptop's endpoint over real HTTPS: voices, speech clause by clause, refusals, figures."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from babblefish.accelerator.certificate import own_certificate
from babblefish.accelerator.door import Door
from babblefish.accelerator.reception import Reception
from babblefish.accelerator.service import create_service
from babblefish.accelerator.wall import VOICE_BYTES
from babblefish.accelerator_protocol import (
    ClauseSpoken,
    Failed,
    Health,
    VoiceDeleted,
    VoiceStored,
    decode_audio,
    message_for_server,
)
from babblefish.errors import SynthesisError
from tests.patience import PATIENCE
from tests.scripted_synthesiser import WORDS, ScriptedSynthesiser, request, voice
from tests.served import running

SECRET = "s" * 40


@dataclass
class Endpoint:
    http: httpx.AsyncClient
    synthesiser: ScriptedSynthesiser
    reception: Reception
    door: Door
    folder: Path

    async def put(self, speaker: str = "speaker-one") -> httpx.Response:
        return await self.http.post("/v1/voices", content=voice(speaker).model_dump_json())


def pinned(pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem)
    context.check_hostname = False
    return context


@asynccontextmanager
async def endpoint(folder: Path, most_requests: int = 16) -> AsyncIterator[Endpoint]:
    certificate = own_certificate(folder)
    synthesiser, door = ScriptedSynthesiser(), Door()
    reception = Reception(synthesiser, "den", most_requests)
    door.open_to(SECRET)
    files = {
        "ssl_certfile": certificate.certificate_file, "ssl_keyfile": certificate.key_file,
    }  # fmt: skip
    async with running(create_service(reception, door), **files) as base:
        async with httpx.AsyncClient(
            base_url=base, verify=pinned(certificate.pem), timeout=10,
            headers={"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"},
        ) as http:  # fmt: skip
            yield Endpoint(http, synthesiser, reception, door, folder)


@pytest.fixture
async def laptop(tmp_path) -> AsyncIterator[Endpoint]:
    async with endpoint(tmp_path) as it:
        yield it


def failure(answer: httpx.Response) -> Failed:
    assert answer.headers["content-type"].startswith("application/json")
    return Failed.model_validate_json(answer.content)


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_voice_is_stored_speaks_and_is_deleted(laptop):
    for path in ("/v1/voices", "/v1/voices/speaker-one"):
        stored = await laptop.http.post(path, content=voice().model_dump_json())
        assert VoiceStored.model_validate_json(stored.content).digest == voice().digest
    answer = await laptop.http.post("/v1/synthesize", content=request().model_dump_json())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    clauses = [message_for_server(line) for line in answer.text.splitlines()]
    assert [(c.clause, c.last) for c in clauses] == [(0, False), (1, True)]
    assert all(isinstance(c, ClauseSpoken) and len(decode_audio(c.audio)) == 9600 for c in clauses)
    for existed in (True, False):
        answer = await laptop.http.delete("/v1/voices/speaker-one")
        assert VoiceDeleted.model_validate_json(answer.content).existed is existed
    assert laptop.synthesiser.voices == {}
    again = await laptop.http.post("/v1/synthesize", content=request().model_dump_json())
    assert (again.status_code, failure(again).code) == (404, "unknown_voice")


async def test_nothing_of_a_deleted_voice_is_on_the_disk(laptop):
    await laptop.put()
    await laptop.http.post("/v1/synthesize", content=request().model_dump_json())
    await laptop.http.delete("/v1/voices/speaker-one")
    everything = b"".join(p.read_bytes() for p in laptop.folder.rglob("*") if p.is_file())
    assert everything and WORDS.encode() not in everything and b"speaker-one" not in everything
    assert voice().clip[:60].encode() not in everything


async def test_the_first_clause_leaves_before_the_second_is_made(laptop):
    await laptop.put()
    laptop.synthesiser.hold()
    laptop.synthesiser.may_speak.release()
    body = request().model_dump_json()
    async with laptop.http.stream("POST", "/v1/synthesize", content=body) as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["clause"] == 0
        assert laptop.reception.last[0].outcome == "speaking"
        laptop.synthesiser.may_speak.release()
        assert json.loads(await anext(lines))["last"] is True
    await until(lambda: laptop.reception.last[0].outcome == "done")


async def test_who_leaves_cancels_the_work(laptop):
    await laptop.put()
    laptop.synthesiser.hold()
    body = request().model_dump_json()
    waiting = asyncio.create_task(laptop.http.post("/v1/synthesize", content=body))
    await until(lambda: laptop.synthesiser.begun)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: laptop.synthesiser.cancelled == ["r1"])
    assert laptop.reception.last[0].outcome == "cancelled"
    laptop.synthesiser.may_speak.release()
    async with laptop.http.stream(
        "POST", "/v1/synthesize", content=request("r2").model_dump_json()
    ) as answer:
        await anext(answer.aiter_lines())
    await until(lambda: laptop.synthesiser.cancelled == ["r1", "r2"])


@pytest.mark.parametrize(
    "bearer",
    [
        None,
        "",
        "Bearer",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {SECRET}x",
        f"Basic {SECRET}",
        "Bearer é",
    ],
)
async def test_without_the_secret_there_is_a_reason_and_nothing_else(laptop, bearer):
    headers = {} if bearer is None else {"Authorization": bearer.encode()}
    for method, path in (
        ("GET", "/health"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/nothing"),
        ("POST", "/v1/voices"), ("POST", "/v1/voices/speaker-one"), ("POST", "/v1/synthesize"),
        ("DELETE", "/v1/voices/speaker-one"), ("POST", "/live"),
    ):  # fmt: skip
        sent = httpx.Request(method, laptop.http.base_url.join(path), headers=headers)
        answer = await laptop.http.send(sent)
        assert (answer.status_code, failure(answer).code) == (401, "refused")
        assert "Pair the laptop again" in failure(answer).message
    live = httpx.Request("GET", laptop.http.base_url.join("/live"), headers=headers)
    assert (await laptop.http.send(live)).json() == {"service": "babblefish-laptop", "protocol": 1}
    assert laptop.door.since_call == float("inf")


async def test_before_it_is_paired_nobody_has_the_secret(laptop):
    laptop.door.close()
    for secret in ("x", SECRET):
        answer = await laptop.http.get("/health", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 401
        assert "not paired" in failure(answer).message


async def test_while_it_is_being_paired_the_server_is_asked_to_wait(laptop):
    laptop.door.close()
    laptop.door.expecting = True
    answer = await laptop.http.get("/health")
    assert (answer.status_code, failure(answer).code) == (503, "not_ready")
    without = httpx.Request("GET", laptop.http.base_url.join("/health"))
    assert (await laptop.http.send(without)).status_code == 401
    laptop.door.open_to(SECRET)
    assert (await laptop.http.get("/health")).status_code == 200
    wrong = await laptop.http.get("/health", headers={"Authorization": "Bearer x"})
    assert wrong.status_code == 401


async def test_bodies_are_bounded_before_they_are_read(laptop):
    # by their announced length, the rest of which never comes
    for path, length, status in (
        ("/v1/voices", VOICE_BYTES + 1, 413), ("/v1/synthesize", 100_001, 413),
        ("/v1/synthesize", "9" * 20, 413),
    ):  # fmt: skip
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", laptop.http.base_url.port,
            ssl=pinned((laptop.folder / "endpoint.crt").read_text()), server_hostname="x",
        )  # fmt: skip
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n"
        writer.write(f"{head}Content-Length: {length}\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            assert int((await reader.readline()).split()[1]) == status
        writer.close()

    async def pieces():
        yield b"{}"

    chunked = await laptop.http.post("/v1/synthesize", content=pieces())
    assert (chunked.status_code, failure(chunked).code) == (411, "bad_request")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/synthesize", b"{"),
        ("/v1/synthesize", b"[]"),
        ("/v1/synthesize", b"\xff\xfe"),
        ("/v1/synthesize", json.dumps({**request().model_dump(), "text": ""}).encode()),
        ("/v1/synthesize", json.dumps({**request().model_dump(), "text": "secret" * 500}).encode()),
        ("/v1/voices", json.dumps({**voice().model_dump(), "sample_rate": 7}).encode()),
        ("/v1/voices/s2", voice().model_dump_json().encode()),
    ],
)
async def test_what_is_no_message_is_refused_without_repeating_it(laptop, path, body):
    answer = await laptop.http.post(path, content=body)
    assert (answer.status_code, failure(answer).code) == (422, "bad_request")
    assert "ecret" not in answer.text and "clip" not in answer.text


async def test_a_reference_that_is_not_what_its_digest_says_is_refused(laptop):
    wrong = voice().model_copy(update={"text": "Something else"})
    answer = await laptop.http.post("/v1/voices", content=wrong.model_dump_json())
    assert (answer.status_code, failure(answer).code) == (422, "bad_reference")
    assert laptop.synthesiser.voices == {}


@pytest.mark.parametrize(
    ("trouble", "status", "code"),
    [
        (SynthesisError("busy", "Too much."), 503, "busy"),
        (SynthesisError("not_ready", "Loading."), 503, "not_ready"),
        (SynthesisError("unknown_language", "No."), 422, "unknown_language"),
        (SynthesisError("synthesis_failed", "It broke."), 500, "synthesis_failed"),
        (RuntimeError("Secret words were in it"), 500, "synthesis_failed"),
    ],
)
async def test_trouble_before_the_first_clause_has_a_status(laptop, caplog, trouble, status, code):
    await laptop.put()
    laptop.synthesiser.trouble = {0: trouble}
    answer = await laptop.http.post("/v1/synthesize", content=request().model_dump_json())
    assert answer.status_code == status
    assert (failure(answer).code, failure(answer).request_id) == (code, "r1")
    assert "Secret" not in answer.text + caplog.text
    laptop.synthesiser.trouble = {}
    again = await laptop.http.post("/v1/synthesize", content=request().model_dump_json())
    assert again.status_code == 200


@pytest.mark.parametrize("trouble", [SynthesisError("synthesis_failed", "x"), ValueError("Secret")])
async def test_trouble_after_it_is_the_last_line(laptop, trouble):
    await laptop.put()
    laptop.synthesiser.trouble = {1: trouble}
    answer = await laptop.http.post("/v1/synthesize", content=request().model_dump_json())
    first, last = (message_for_server(line) for line in answer.text.splitlines())
    assert isinstance(first, ClauseSpoken) and isinstance(last, Failed)
    assert (last.code, last.request_id) == ("synthesis_failed", "r1")


async def test_more_than_it_can_do_is_told_to_go_elsewhere(tmp_path):
    async with endpoint(tmp_path, most_requests=2) as laptop:
        await laptop.put()
        laptop.synthesiser.hold()
        bodies = [request(f"r{number}").model_dump_json() for number in range(3)]
        held = [
            asyncio.create_task(laptop.http.post("/v1/synthesize", content=body))
            for body in bodies[:2]
        ]
        await until(lambda: len(laptop.synthesiser.begun) == 2)
        third = await laptop.http.post("/v1/synthesize", content=bodies[2])
        assert (third.status_code, failure(third).code) == (503, "busy")
        for _ in range(4):
            laptop.synthesiser.may_speak.release()
        assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}
        for _ in range(2):
            laptop.synthesiser.may_speak.release()
        third = await laptop.http.post("/v1/synthesize", content=bodies[2])
        assert third.status_code == 200


async def test_health_and_openapi(laptop):
    health = Health.model_validate_json((await laptop.http.get("/health")).content)
    assert (health.ready, health.name, health.languages) == (True, "den", ["en", "zh"])
    described = (await laptop.http.get("/openapi.json")).json()
    assert set(described["paths"]) == {
        "/v1/voices", "/v1/voices/{speaker}", "/v1/synthesize", "/health", "/metrics", "/live"
    }  # fmt: skip
    spoken = described["paths"]["/v1/synthesize"]["post"]["responses"]
    assert "application/x-ndjson" in spoken["200"]["content"]
    assert {"401", "404", "422", "503"} <= set(spoken)
    assert (await laptop.http.get("/docs")).status_code == 404


async def test_figures_hold_no_text_and_no_names(laptop, caplog):
    caplog.set_level(logging.INFO)
    await laptop.put()
    await laptop.http.post("/v1/synthesize?key=Secret", content=request().model_dump_json())
    laptop.synthesiser.trouble = {1: SynthesisError("synthesis_failed", "x")}
    await laptop.http.post("/v1/synthesize", content=request().model_dump_json())
    await laptop.http.delete("/v1/voices/speaker-one")
    figures = (await laptop.http.get("/metrics")).text
    for line in (
        'babblefish_laptop_requests_total{outcome="done",transport="http"} 1.0',
        'babblefish_laptop_requests_total{outcome="synthesis_failed",transport="http"} 1.0',
        'babblefish_laptop_errors_total{code="synthesis_failed"} 1.0',
        'babblefish_laptop_voice_changes_total{change="deleted"} 1.0',
        "babblefish_laptop_first_clause_seconds_count 2.0",
        "babblefish_laptop_request_seconds_count 1.0",
        "babblefish_laptop_memory_total_bytes 4.294967296e+09",
    ):
        assert line in figures, line
    logged = "".join(r.getMessage() for r in caplog.records if r.name.startswith("babblefish"))
    assert "POST /v1/synthesize 200" in logged and "DELETE /v1/voices/{speaker} 200" in logged
    for private in ("Secret", "Marie", "speaker-one", "clip"):
        assert private not in figures + logged


async def test_a_call_of_the_server_is_noticed(laptop):
    assert laptop.door.since_call == float("inf")
    await laptop.http.get("/live")
    assert laptop.door.since_call == float("inf")
    await laptop.http.get("/health")
    assert laptop.door.since_call < 5


async def test_strict_verifiers_take_the_pinned_certificate_and_no_other(laptop, tmp_path):
    strict = pinned((laptop.folder / "endpoint.crt").read_text())
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    async with httpx.AsyncClient(verify=strict, base_url=laptop.http.base_url) as http:
        assert (await http.get("/live")).status_code == 200
    other = pinned(own_certificate(tmp_path / "other").pem)
    async with httpx.AsyncClient(verify=other, base_url=laptop.http.base_url) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/live")


def test_the_certificate_stays_the_same_and_its_key_is_private(tmp_path):
    first = own_certificate(tmp_path)
    assert own_certificate(tmp_path) == first
    assert first.key_file.stat().st_mode & 0o777 == 0o600
    first.key_file.unlink()
    assert own_certificate(tmp_path).pem != first.pem
