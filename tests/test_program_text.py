"""/translate, /translate/batch, /languages, /health and /status on a real server."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio

from babblefish.engine.profiles import StagePlan
from babblefish.engine.stages import StageSpec, TranslatorCapabilities
from babblefish.errors import TranslationError
from babblefish.ui.programs import text as program_text
from tests.phones import fake_profile
from tests.program_server import program_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENGLISH = "Where is the train station, please?"
GERMAN = "Wir treffen uns morgen früh um neun Uhr am Bahnhof."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    async with program_server(data_dir=tmp_path_factory.mktemp("data")) as running:
        yield running


def refusal(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message"} and error["message"].endswith(".")
    return answer.status_code, error["code"]


async def translate(server, **body) -> httpx.Response:
    return await server.post("/translate", json=body)


async def test_a_text_is_translated(server):
    answer = await translate(server, text="Hello\n\n you", source_lang="en", target_lang="fr")
    assert answer.status_code == 200
    assert answer.json() == {
        "translation": "[fr] Hello\n\n [fr] you", "source_lang": "en", "target_lang": "fr",
        "quality": "basic", "certainty": None,
    }  # fmt: skip


@pytest.mark.parametrize("source", ["eng_Latn", "en-GB", "EN", "eng"])
@pytest.mark.parametrize("target", ["fra_Latn", "fr-CA", "fra"])
async def test_codes_of_all_kinds_are_taken(server, source, target):
    answer = (await translate(server, text="Hi", source_lang=source, target_lang=target)).json()
    assert (answer["source_lang"], answer["target_lang"]) == ("en", "fr")


async def test_the_language_is_told_from_the_text_or_asked_for(server):
    answer = (await translate(server, text=ENGLISH, target_lang="es")).json()
    assert answer["source_lang"] == "en" and 0.6 <= answer["certainty"] <= 1
    assert answer["translation"] == f"[es] {ENGLISH}"
    again = (await translate(server, text=ENGLISH, target_lang="en", source_lang="Auto")).json()
    assert again["translation"] == ENGLISH and again["quality"] == "good"
    unclear = await translate(server, text="OK", target_lang="es")
    assert refusal(unclear) == (422, "language_unclear")
    assert "source_lang" in unclear.json()["error"]["message"]


async def test_what_no_text_is_translated_from_says_what_is_possible(server):
    answer = await translate(server, text=GERMAN, target_lang="en")
    assert refusal(answer) == (422, "pair")
    assert "English, French or Spanish" in answer.json()["error"]["message"]
    answer = await translate(server, text="Hi", source_lang="en", target_lang="de")
    assert refusal(answer) == (422, "pair")
    assert "but into Spanish or French" in answer.json()["error"]["message"]


async def test_what_is_in_no_language_stays(server):
    answer = (await translate(server, text="12:30 – 🙂\n", target_lang="es")).json()
    assert (answer["translation"], answer["source_lang"]) == ("12:30 – 🙂\n", "und")


async def test_names_and_terms_stay(server):
    body = {"text": "Ask Mrs. White", "source_lang": "en", "target_lang": "es"}
    assert "Blanco" in (await translate(server, **body)).json()["translation"]
    answer = await translate(server, **body, glossary=["White", " White "])
    assert answer.json()["translation"] == "[es] Ask Mrs. White"
    assert refusal(await translate(server, **body, glossary=["…"])) == (422, "glossary")


WRONG = [
    ({"text": "Hi"}, 422, "bad_input"),
    ({"text": "Hi", "target_lang": "xx-nothing"}, 422, "language"),
    ({"text": "Hi", "target_lang": "fr", "source_lang": "klingonese"}, 422, "language"),
    ({"text": "Hi", "target_lang": "fr", "formality": "more"}, 422, "bad_input"),
    ({"text": "x" * 50_001, "target_lang": "fr"}, 422, "bad_input"),
    ({"text": "Hi", "target_lang": "f" * 40}, 422, "bad_input"),
    ({"text": 7, "target_lang": "fr"}, 422, "bad_input"),
]


@pytest.mark.parametrize("body, status, code", WRONG)
async def test_wrong_requests_are_told_what_is_wrong(server, body, status, code):
    assert refusal(await translate(server, **body)) == (status, code)


async def test_broken_json_is_refused(server):
    for content in (b"{", b"\xff", b'{"text": "\\ud800", "target_lang": "fr"}', b"[]"):
        answer = await server.http.post(
            "/translate", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (400, 422) and refusal(answer)[1] == "bad_input"


async def test_a_key_for_texts_is_needed(server):
    body = {"text": "Hi", "source_lang": "en", "target_lang": "fr"}
    for path in ("/translate", "/translate/batch"):
        assert refusal(await server.post(path, "wrong", json=body)) == (401, "api_key")
        key = await server.key("speak")
        assert refusal(await server.post(path, key, json=body)) == (403, "scope")


# --- many ------------------------------------------------------------------------------------


async def test_many_texts_in_many_languages_each_with_its_own_error(server):
    answer = await server.post("/translate/batch", json={
        "texts": [ENGLISH, GERMAN, "OK", "12", "Bonjour à tous, comment allez-vous ?"],
        "target_langs": ["fr", "es", "fra_Latn", "de"],
    })  # fmt: skip
    assert answer.status_code == 200
    body = answer.json()
    found = [
        (r["index"], r["target_lang"], r["source_lang"], r["translation"] or r["error"]["code"])
        for r in body["results"]
    ]
    french = "Bonjour à tous, comment allez-vous ?"
    assert found == [
        (0, "fr", "en", f"[fr] {ENGLISH}"), (0, "es", "en", f"[es] {ENGLISH}"),
        (0, "de", "en", "pair"),
        (1, "fr", "de", "pair"), (1, "es", "de", "pair"), (1, "de", "de", GERMAN),
        (2, "fr", None, "language_unclear"), (2, "es", None, "language_unclear"),
        (2, "de", None, "language_unclear"),
        (3, "fr", "und", "12"), (3, "es", "und", "12"), (3, "de", "und", "12"),
        (4, "fr", "fr", french), (4, "es", "fr", f"[es] {french}"), (4, "de", "fr", "pair"),
    ]  # fmt: skip
    assert body["failed"] == 7
    for result in body["results"]:
        assert (result["translation"] is None) == (result["error"] is not None)
        assert (result["quality"] is None) == (result["error"] is not None)


async def test_a_batch_is_one_job_where_it_is_short(server):
    before = server.engine.translator.stats.calls
    answer = await server.post("/translate/batch", json={
        "texts": [f"Text {n}" for n in range(30)], "source_lang": "en", "target_langs": ["fr"],
    })  # fmt: skip
    said = [result["translation"] for result in answer.json()["results"]]
    assert said == [f"[fr] Text {n}" for n in range(30)]
    assert server.engine.translator.stats.calls == before + 1


async def test_batches_have_bounds(server):
    async def batch(**body):
        return await server.post("/translate/batch", json={"source_lang": "en", **body})

    assert refusal(await batch(texts=[], target_langs=["fr"])) == (422, "bad_input")
    assert refusal(await batch(texts=["Hi"], target_langs=[])) == (422, "bad_input")
    assert refusal(await batch(texts=["x"] * 501, target_langs=["fr"])) == (422, "bad_input")
    many = await batch(texts=["x" * 40_000] * 3, target_langs=["fr", "es"])
    assert refusal(many) == (413, "too_long")


async def test_what_is_long_counts_more(server):
    key = await server.key("translate", per_minute=5)
    body = {"text": "Hi. " * 10_000, "source_lang": "en", "target_lang": "en"}
    assert (await server.post("/translate", key, json=body)).status_code == 200
    again = await server.post("/translate", key, json=body)
    assert refusal(again) == (429, "rate_limited") and int(again.headers["Retry-After"]) > 0


# --- when it is difficult --------------------------------------------------------------------


class Slow:
    """Waits for a file to be there before it translates; refuses "bad"."""

    capabilities = TranslatorCapabilities({("en", "fr"): "good"})

    def __init__(self, gate: str) -> None:
        from pathlib import Path

        self._gate = Path(gate)

    def translate(self, texts, source, target):
        import time

        while not self._gate.exists():
            time.sleep(0.005)
        if "bad" in texts:
            raise TranslationError("unavailable", "Apertium does not answer.")
        return [f"un {text}" for text in texts]

    def prepare(self, source, target):
        pass


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow_server(tmp_path_factory):
    """Translates nothing until the file "go" of its data folder exists."""
    folder = tmp_path_factory.mktemp("slow")
    spec = StageSpec("tests.test_program_text:Slow", {"gate": str(folder / "go")})
    profile = replace(fake_profile(), translator=StagePlan(spec, nice=0))
    async with program_server(profile, data_dir=folder) as running:
        yield running


@pytest.fixture
def go(slow_server):
    """Touch it, and the slow server translates."""
    path = slow_server.data_dir / "go"
    path.unlink(missing_ok=True)
    return path


async def test_too_many_at_once_are_refused_politely_and_the_others_served(
    slow_server, go, monkeypatch
):
    monkeypatch.setattr(program_text, "_MOST_WAITING", 4)
    server = slow_server
    body = {"text": "Hello", "source_lang": "en", "target_lang": "fr"}
    asked = [asyncio.create_task(translate(server, **body)) for _ in range(6)]
    async with asyncio.timeout(60):
        while sum(task.done() for task in asked) < 2:
            await asyncio.wait(
                [t for t in asked if not t.done()], return_when=asyncio.FIRST_COMPLETED
            )
    refused = [task.result() for task in asked if task.done()]
    assert [refusal(answer) for answer in refused] == [(503, "busy")] * 2
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    go.touch()
    answers = await asyncio.gather(*asked)
    assert sum(answer.status_code == 200 for answer in answers) == 4
    assert refusal(await translate(server, **body | {"text": "bad"})) == (503, "unavailable")


async def test_work_ends_when_its_program_hangs_up(slow_server, go):
    server = slow_server
    text = "".join(f"This is the sentence with number {n}. " for n in range(1000))
    body = {"text": text, "source_lang": "en", "target_lang": "fr"}
    calls = server.engine.translator
    asking = asyncio.create_task(translate(server, **body))
    async with asyncio.timeout(60):
        while not any(process.current for process in calls._processes):
            await asyncio.sleep(0.005)
    assert server.app.state.gate.open == 1, "a long text is held"
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    go.touch()
    async with asyncio.timeout(60):
        while server.app.state.gate.open:
            await asyncio.sleep(0.005)
    assert calls.stats.calls < 10


# --- what there is, and how it does ----------------------------------------------------------


async def test_languages_say_what_texts_and_speech_are_translated_into(server):
    async with httpx.AsyncClient(base_url=server.base, timeout=60) as http:  # without a key
        body = (await http.get("/languages")).json()
        french = (await http.get("/languages", params={"source": "fra_Latn"})).json()["targets"]
        german = (await http.get("/languages", params={"source": "de"})).json()["targets"]
        wrong = await http.get("/languages", params={"source": "nonsense!"})
    assert body["profile"] == "fake" and body["targets"] is None
    flags = {one["code"]: (one["text_from"], one["text_into"]) for one in body["languages"]}
    assert flags == {"en": (True,) * 2, "fr": (True,) * 2, "es": (True,) * 2, "de": (False, False)}
    assert {one["code"]: (one["text"], one["speech"]) for one in french} == {
        "en": ("basic", "basic"), "es": ("basic", "basic"),
    }  # fmt: skip
    assert {one["code"]: one["text"] for one in german} == dict.fromkeys(("en", "fr", "es"))
    assert refusal(wrong) == (422, "language")


async def test_alive_and_ready_are_apart(server):
    async with httpx.AsyncClient(base_url=server.base, timeout=60) as http:
        for path in ("/health", "/health/live", "/health/ready"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    server.app.state.ready.clear()
    try:
        answers = [await server.http.get(f"/health{path}") for path in ("", "/live", "/ready")]
        assert [answer.status_code for answer in answers] == [200, 200, 503]
        assert [a.json()["status"] for a in answers] == ["starting", "ok", "starting"]
    finally:
        server.app.state.ready.set()


async def test_status_has_figures_and_no_names(server):
    room = server.hub.create("Secret plans")
    member = room.join(name="Marie", speaks="fr", hears="en", microphone=True)
    try:
        answer = await server.http.get("/status")
        assert answer.status_code == 200
        body = answer.json()
        assert set(body) == {"service", "clients", "rooms", "accelerators", "models", "cpu"}
        assert body["service"]["status"] == "ok" and body["service"]["profile"] == "fake"
        assert body["rooms"] == {"open": 1, "in_use": 0, "people": 1}
        assert body["clients"] == {"connected": 0, "away": 1, "programs": 0}
        models = {one["stage"]: one for one in body["models"]}
        assert models["translator"]["model"] == "TagTranslator"
        assert models["translator"]["jobs"] > 0 and models["vad"]["processes"] == 1
        assert body["cpu"]["memory_mb"] > 50
        for secret in ("Secret", "Marie", room.code, room.token, member.key, member.id):
            assert secret not in answer.text
        key = await server.key("translate")
        denied = await server.http.get("/status", headers={"Authorization": f"Bearer {key}"})
        assert refusal(denied) == (403, "scope")
    finally:
        await server.hub.close_room(room.code)


async def test_an_engine_that_is_not_ready_says_so(server):
    server.engine.ready = False
    try:
        assert refusal(await translate(server, text="Hi", target_lang="fr")) == (503, "starting")
        assert refusal(await server.http.get("/languages")) == (503, "starting")
    finally:
        server.engine.ready = True
