"""Pierre speaks French, Dan English, Marek Polish: the engine of the big server in a real room.

Seamless is a toy that answers any speech with the same words, in whichever language it is asked
for; the rest of the way is real: WebRTC, segmenter, worker processes, language identification,
Kokoro.
"""

from __future__ import annotations

import asyncio

import httpx
import numpy as np
import pytest

from babblefish.audio import resample, to_int16
from babblefish.engine.engine import Engine
from babblefish.engine.espeak import EspeakSynthesiser
from babblefish.engine.job_queue import Priority
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests import big_weights
from tests.patience import PATIENCE
from tests.read_aloud import sentence
from tests.rtc_peer import Peer
from tests.served import Served, running
from tests.tiny_seamless import SAYS

pytestmark = pytest.mark.asyncio

PEOPLE = {"Pierre": "fr", "Dan": "en", "Marek": "pl"}
SAID = {"fr": SAYS["fra"], "en": SAYS["eng"], "pl": SAYS["pol"]}


async def test_three_people_in_three_languages(big_weights_dir, weights_dir, whisper, monkeypatch):
    sounds = {name: utterance(language, weights_dir) for name, language in PEOPLE.items()}
    engine = Engine(big_weights.profile("seamless", big_weights_dir, monkeypatch))
    asked, voiced = watch(engine, monkeypatch)
    hub = Hub(Settings(), engine)
    app = create_app(Settings(http=True), hub, engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=PATIENCE) as http:
        async with asyncio.timeout(120):
            await app.state.ready.wait()
        assert app.state.failure is None
        assert len({pool.pids[0] for pool in engine.pools}) == len(engine.pools)
        server = Served(app, hub, http)
        room = hub.create("Three")
        await offers_are_what_is_served(server, room)
        peers = await everybody_joins(server, room)
        for turn, speaker in enumerate(PEOPLE):
            asked.clear(), voiced.clear()
            peers[speaker].microphone.say(sounds[speaker])
            for listener in PEOPLE:
                check_caption(await final(peers[listener], turn), speaker, listener)
            await settled(peers, (turn + 1) * (len(PEOPLE) - 1))
            others = set(PEOPLE.values()) - {PEOPLE[speaker]}
            assert asked and all(set(request.translate_into) == others for request in asked), (
                "one request, and so one encoding, for all languages"
            )
            check_voices(voiced, others, engine)
        what_was_heard(peers, whisper)
        for peer in peers.values():
            await peer.close()


async def everybody_joins(server, room):
    """Name → phone, with a silent microphone."""
    peers = {}
    for name, language in PEOPLE.items():
        body = {"name": name, "speaks": language, "hears": language, "microphone": True}
        peers[name] = await server.connect(await server.join(room, body), Peer())
    return peers


def check_caption(caption, speaker, listener):
    """Everybody reads what was said in their own language, and beside it the original where that
    is another; the speaker reads the transcript, which no voice repeats."""
    spoken, read = PEOPLE[speaker], PEOPLE[listener]
    assert caption["name"] == speaker
    assert (caption["language"], caption["text"]) == (read, SAID[read])
    assert caption["original_language"] == spoken
    assert caption["original_text"] == ("" if listener == speaker else SAID[spoken])
    assert caption["quality"] == "good"
    assert caption["translated"] is caption["synthetic"] is (listener != speaker)


def check_voices(voiced, languages, engine):
    """voiced: language → voices that spoke it."""
    assert set(voiced) == languages, "nobody's own language is synthesised"
    kokoro = engine.synthesisers[0].capabilities.voices
    plain = engine.synthesisers[-1].capabilities.voices  # where a natural one would be too late
    for language, voices in voiced.items():
        if language == "pl":
            assert all(voice.startswith("pl+") for voice in voices)
        else:
            assert voices <= {*kokoro[language], *plain[language]}


def watch(engine, monkeypatch):
    """(requests of final recognitions, language → voices that spoke it), as they come."""
    asked, voiced = [], {}
    recognise = engine.recogniser.pool.call

    async def call(method, *args, **options):
        if method == "recogniser.transcribe":
            asked.append(args[1])
        elif options.get("priority") is not Priority.DRAFT:
            assert method != "translator.translate", "finals are translated with the transcript"
        return await recognise(method, *args, **options)

    monkeypatch.setattr(engine.recogniser.pool, "call", call)
    for pool in engine.synthesisers:
        speak = pool.call

        async def spoken(method, *args, speak=speak, **options):
            if method == "synthesise":
                voiced.setdefault(args[1], set()).add(args[2])
            return await speak(method, *args, **options)

        monkeypatch.setattr(pool, "call", spoken)
    return asked, voiced


async def offers_are_what_is_served(server, room):
    """The join page's list: what Seamless and the voices can do, best heard first."""
    page = (await server.http.get(f"/api/rooms/{room.code}", headers=bearer(room))).json()
    offers = {offer["code"]: offer for offer in page["languages"]}
    heard = [offer["hear"] for offer in page["languages"]]
    assert heard == sorted(heard, key=["voice", "basic_voice", "captions"].index)
    assert [offers[code]["hear"] for code in ("fr", "en", "pl", "de")] == ["voice"] * 4
    assert (offers["ms"]["speak"], offers["ms"]["hear"]) == (False, "basic_voice")
    assert set(offers) == {"en", "fr", "pl", "de", "es", "it", "pt", "zh", "ms"}


def bearer(room):
    return {"Authorization": f"Bearer {room.token}"}


def utterance(language, weights_dir):
    """(n,) int16 at 48 kHz, with the silence that ends it."""
    if language == "pl":
        text = "Dzień dobry, bardzo się cieszę, że dzisiaj wszyscy tutaj jesteśmy."
        samples = EspeakSynthesiser().synthesise(text, "pl", "pl+m3", 1.0)
    else:
        clip = sentence(weights_dir, language)
        samples = resample(clip.samples, SPEECH_RATE, PLAYOUT_RATE)
    silence = np.zeros(PLAYOUT_RATE, np.float32)
    return to_int16(np.concatenate([silence[:9600], samples, silence, silence]))


async def final(peer, number, seconds=40.0):
    """The final caption of the ``number``-th utterance of the meeting."""
    async with asyncio.timeout(seconds):
        while True:
            finals = [e for e in peer.events if e["type"] == "caption" and e["final"]]
            if len(finals) > number:
                assert len(finals) == number + 1, "nothing is captioned twice"
                return finals[number]
            await asyncio.sleep(0.05)


async def settled(peers, count, seconds=40.0):
    """Each of ``count`` translations was heard to its end."""
    async with asyncio.timeout(seconds):
        while True:
            states = {}
            for name, peer in peers.items():
                for event in peer.events:
                    if event["type"] == "voicing":
                        states[name, event["utterance"]] = event["state"]
            if len(states) == count and set(states.values()) == {"played"}:
                return
            await asyncio.sleep(0.05)


def what_was_heard(peers, whisper):
    """Dan and Pierre understand what Kokoro told them; Marek hears his toy voice."""
    for name, words in (("Dan", "how are you today"), ("Pierre", "comment allez-vous")):
        heard = resample(peers[name].sound() / 32768.0, PLAYOUT_RATE, SPEECH_RATE)
        request = RecognitionRequest(PEOPLE[name], language_fixed=True)
        parts = [heard[at : at + 8 * SPEECH_RATE] for at in range(0, len(heard), 4 * SPEECH_RATE)]
        texts = []
        for part in parts:
            texts.append(whisper.transcribe(part, request).text.casefold())
            if words in texts[-1]:
                break
        else:
            raise AssertionError(texts)
    assert np.abs(peers["Marek"].sound()).max() > 1000
