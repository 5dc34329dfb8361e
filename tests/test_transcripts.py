"""Transcripts over HTTP and as files: who gets them, what is in them, what stays inert."""

from __future__ import annotations

import contextlib
import html
import io
import json
import re

import httpx
import pytest
import webvtt

from babblefish.settings import Settings
from babblefish.storage.records import SpokenLine, TranslatedLine
from babblefish.storage.storage import Storage
from babblefish.ui.server import create_app
from babblefish.ui.subtitles import isolated, one_line
from babblefish.ui.transcript_files import SHEETS, Heading
from babblefish.ui.transcripts import MOST_LINES, PAGE
from rooms.hub import Hub
from tests.fakes_hub import QuietEngine
from tests.patience import PATIENCE
from tests.served import running
from tests.stored import QUICK

pytestmark = pytest.mark.asyncio

EVIL = "<script>alert(1)</script> --> 00:00:01,000\n\n{\\an8}\u202e& <b>"
START = 1_800_000_000.0


class Kept:
    """A server with a room in which Dan sits, and what was said in it."""

    def __init__(self, http: httpx.AsyncClient, hub: Hub) -> None:
        self.http, self.hub = http, hub
        self.room = hub.create("Board meeting")
        self.dan = self.room.join(name="Dan", speaks="en", hears="en", microphone=True)

    async def said(self, number: int, text: str, *translations: TranslatedLine, **more) -> None:
        line = {"speaker_name": "Pierre", "language": "fr", "seconds": 2.0} | more
        storage, code = self.hub.storage, self.room.code
        storage.record(
            SpokenLine(code, f"u{number}", number, text=text, start=START + number, **line)
        )
        for translation in translations:
            storage.record(translation)

    def into(self, number: int, language: str, text: str, **more) -> TranslatedLine:
        return TranslatedLine(self.room.code, f"u{number}", language, text, **more)

    async def get(self, path: str = "", key: str = "", **query) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.dan.key}"}
        url = f"/api/rooms/{self.room.code}/transcript{path}"
        return await self.http.get(url, params=query, headers=headers)


@pytest.fixture
def kept(tmp_path):
    @contextlib.asynccontextmanager
    async def opened():
        engine = QuietEngine()
        engine.ready = True
        settings = Settings(data_dir=tmp_path, http=True)
        hub = Hub(settings, engine, Storage(tmp_path, **QUICK))
        app = create_app(settings, hub, engine)
        async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
            await app.state.ready.wait()
            yield Kept(http, hub)

    return opened


async def converse(server: Kept) -> None:
    await server.said(
        1, "Bonjour à tous.", server.into(1, "en", "Hello everybody.", voice="closest"),
        server.into(1, "pl", "Cześć wszystkim.", quality="basic"),
    )  # fmt: skip
    await server.said(2, "Good morning!", speaker_name="Dan", language="en")


# --- who --------------------------------------------------------------------------------------


async def test_promise_17_no_transcript_without_a_seat_in_this_very_room(kept):
    async with kept() as server:
        await converse(server)
        other = server.hub.create("Other")
        eve = other.join(name="Eve", speaks="en", hears="en", microphone=False)
        gone = server.room.join(name="Leo", speaks="en", hears="en", microphone=False)
        await server.room.remove(gone.id)
        for path in ("", "/lines"):
            for key in (eve.key, server.room.token, gone.key, "wrong", server.dan.key + "x"):
                answer = await server.get(path, key)
                assert answer.status_code == 401 and "Bonjour" not in answer.text
            url = f"/api/rooms/{server.room.code}/transcript{path}"
            assert (await server.http.get(url)).status_code == 401
            assert (await server.http.get(url, params={"key": server.dan.key})).status_code == 401
            assert (await server.get(path)).status_code == 200
        mine = await server.http.get(
            f"/api/rooms/{other.code}/transcript", headers={"Authorization": f"Bearer {eve.key}"}
        )
        assert mine.status_code == 200 and "Bonjour" not in mine.text


async def test_a_download_is_noted_without_its_content(kept):
    async with kept() as server:
        await converse(server)
        await server.get("/lines", words="bonjour")
        await server.get(format="txt", words="bonjour")
        [entry] = await server.hub.storage.audit_log()
        assert (entry.actor, entry.act) == ("self", "transcript_downloaded")
        assert entry.subject == server.room.code


@pytest.mark.parametrize("query", [
    {"format": "pdf"}, {"language": "nonsense-language"}, {"words": "x" * 201}, {"after": "-1"},
    {"after": "x"},
])  # fmt: skip
async def test_bad_questions_are_explained(kept, query):
    async with kept() as server:
        answer = await server.get("/lines" if "after" in query else "", **query)
        assert answer.status_code == 422 and answer.json()["error"]["message"]


async def test_a_storage_in_trouble_says_so(kept):
    async with kept() as server:
        await server.hub.storage.close()
        for path in ("", "/lines"):
            answer = await server.get(path)
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "storage"


# --- what -------------------------------------------------------------------------------------


async def test_lines_to_read_and_search(kept):
    async with kept() as server:
        await converse(server)
        body = (await server.get("/lines")).json()
        assert (body["kept"], body["more"], len(body["lines"])) == ("until_close", False, 2)
        first = body["lines"][0]
        assert (first["speaker"], first["language"], first["at"]) == ("Pierre", "fr", START + 1)
        english, polish = first["translations"]
        assert english["text"] == "Hello everybody." and english["synthetic"]
        assert polish["quality"] == "basic" and not polish["synthetic"]
        found = (await server.get("/lines", words="CZEŚĆ")).json()["lines"]
        assert [line["number"] for line in found] == [1]
        assert (await server.get("/lines", words="dAN")).json()["lines"][0]["number"] == 2
        assert (await server.get("/lines", after=1)).json()["lines"][0]["number"] == 2


async def test_long_transcripts_come_whole(kept):
    async with kept() as server:
        for number in range(1, PAGE + 4):
            await server.said(number, f"line {number}")
        page = (await server.get("/lines")).json()
        assert len(page["lines"]) == MOST_LINES and page["more"]
        entries = (await server.get(format="json")).json()["entries"]
        assert [e["text"] for e in entries] == [f"line {n}" for n in range(1, PAGE + 4)]
        assert [e["number"] for e in entries] == list(range(1, PAGE + 4))
        captions = list(webvtt.from_buffer(io.StringIO((await server.get(format="vtt")).text)))
        assert len(captions) == PAGE + 3


async def test_files_say_who_spoke_when_and_what_a_machine_did(kept):
    async with kept() as server:
        await converse(server)
        answer = await server.get(format="txt")
        assert re.fullmatch(
            r'attachment; filename="babblefish-\d{8}-\d{4}\.txt"',
            answer.headers["content-disposition"],
        )
        assert answer.headers["cache-control"] == "no-store"
        assert "Board meeting" in answer.text and "made by a machine" in answer.text
        whole = (
            "Pierre: Bonjour à tous.\n    English: Hello everybody. (synthetic voice)\n"
            "    Polish: Cześć wszystkim. (basic translation)\n"
        )
        assert whole in answer.text
        english = (await server.get(format="txt", language="en")).text
        assert (
            "Pierre: Hello everybody. (synthetic voice)\n" in english and "Bonjour" not in english
        )
        assert "Dan: Good morning!\n" in english
        polish = (await server.get(format="txt", language="pl")).text
        assert "Dan: Good morning! (English)\n" in polish
        original = (await server.get(format="txt", language="original")).text
        assert "Pierre: Bonjour à tous.\n" in original and "Hello" not in original
        assert (await server.get(format="txt", words="morning")).text.count("] ") == 1

        vtt = await server.get(format="vtt", language="en")
        assert vtt.headers["content-type"] == "text/vtt; charset=utf-8"
        first, second = webvtt.from_buffer(io.StringIO(vtt.text))
        assert (first.start, first.end) == ("00:00:00.000", "00:00:02.000")
        assert first.text == "Pierre: Hello everybody. (synthetic voice)"
        assert second.start == "00:00:01.000"
        srt = await server.get(format="srt")
        first, _ = _srt(srt.text)
        assert first.text.splitlines()[1] == "English: Hello everybody. (synthetic voice)"

        body = (await server.get(format="json", language="en")).json()
        assert body["room"] == "Board meeting"
        assert body["entries"][0]["translations"] == {
            "en": {"text": "Hello everybody.", "quality": "good", "voice": "closest",
                   "synthetic_voice": True, "own_voice": False},
        }  # fmt: skip


async def test_promise_29_files_mark_what_was_said_in_an_imitated_voice(kept):
    async with kept() as server:
        await server.said(1, "Bonjour.", server.into(1, "en", "Hello.", voice="cloned"))
        (line,) = (await server.get("/lines")).json()["lines"]
        assert line["translations"][0]["synthetic"] and line["translations"][0]["own_voice"]
        for kind in ("txt", "srt", "vtt"):
            text = (await server.get(format=kind, language="en")).text
            assert "Hello. (own voice, synthetic)" in text
        translation = (await server.get(format="json")).json()["entries"][0]["translations"]["en"]
        assert translation["synthetic_voice"] and translation["own_voice"]
        assert translation["voice"] == "cloned"


def _srt(text: str):
    return list(webvtt.from_buffer(io.StringIO(text), "srt"))


async def test_nothing_said_is_an_empty_file_and_valid(kept):
    async with kept() as server:
        assert (await server.get(format="json")).json()["entries"] == []
        assert (await server.get(format="vtt")).text.startswith("WEBVTT")
        assert (await server.get(format="srt")).text == ""
        assert (await server.get("/lines")).json()["lines"] == []


async def test_promise_22_whatever_is_said_or_called_is_inert_in_every_file(kept):
    async with kept() as server:
        evil = server.into(1, "en", EVIL, voice="neutral")
        await server.said(1, EVIL, evil, speaker_name=EVIL)
        await server.said(2, "After.")
        files = {kind: (await server.get(format=kind)).text for kind in SHEETS}
        for kind in ("vtt", "srt"):
            assert files[kind].count("-->") == 2, "one for each cue"
            assert "<" not in files[kind].replace("-->", "")
            assert "\u202e" not in files[kind]
        assert "\\" not in files["srt"], "no code that a player would take"
        [first, second] = webvtt.from_buffer(io.StringIO(files["vtt"]))
        assert html.unescape(first.raw_text).count("<script>") == 3 and second.text
        assert len(_srt(files["srt"])) == 2
        assert files["txt"].count("\n[") == 2 and "\u202e" not in files["txt"]
        entries = json.loads(files["json"])["entries"]
        assert entries[0]["text"] == entries[0]["speaker"] == EVIL
        assert (await server.get(format="json")).headers["content-type"] == "application/json"
        assert (await server.get()).headers["x-content-type-options"] == "nosniff"


async def test_promise_22_words_from_right_to_left_do_not_turn_their_neighbours():
    assert one_line("a\u202e\u2066b\x00\u2028c\u2069") == "ab c"
    assert isolated("abc") == "abc"
    assert isolated("مرحبا") == "\u2068مرحبا\u2069"
    heading = Heading("R", START, START)
    assert SHEETS["vtt"](heading).tail() == ""


# --- coming back ------------------------------------------------------------------------------


async def test_promise_5_the_way_back_to_a_seat_over_http(kept):
    async with kept() as server:
        body = {"name": "Dan", "speaks": "en", "hears": "fr", "microphone": False}
        server.room.expire(-1.0)
        path = f"/api/rooms/{server.room.code}"
        headers = {"Authorization": f"Bearer {server.dan.key}"}
        offer = {"sdp": "x", "type": "offer"}
        refused = await server.http.post(f"{path}/offer", json=offer, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "seat")
        answer = await server.http.post(f"{path}/return", json=body, headers=headers)
        assert answer.status_code == 200 and answer.json()["member"] == server.dan.id
        again = server.hub.member(server.room.code, answer.json()["key"])
        assert (again.hears, again.microphone) == ("fr", False)
        assert (await server.get(key=again.key)).status_code == 200
        wrong = {"Authorization": f"Bearer {server.room.token}"}
        answer = await server.http.post(f"{path}/return", json=body, headers=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "member_key")


async def test_the_room_says_how_long_things_are_kept(kept):
    async with kept() as server:
        headers = {"Authorization": f"Bearer {server.room.token}"}
        body = (await server.http.get(f"/api/rooms/{server.room.code}", headers=headers)).json()
        assert (body["kept"], body["kept_days"]) == ("until_close", 0)
