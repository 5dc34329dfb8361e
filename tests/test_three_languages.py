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
from babblefish.engine.stages import PLAYOUT_RATE, SPEECH_RATE, RecognitionRequest
from babblefish.engine.whisper import WhisperRecogniser
from babblefish.engine.workers import Priority
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests import big_weights
from tests.read_aloud import speech
from tests.rtc_peer import Peer
from tests.served import Served, running
from tests.tiny_seamless import SAYS

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(240)]

PEOPLE = {"Pierre": "fr", "Dan": "en", "Marek": "pl"}
SAID = {"fr": SAYS["fra"], "en": SAYS["eng"], "pl": SAYS["pol"]}


async def test_three_people_in_three_languages(big_weights_dir, weights_dir, monkeypatch):
    engine = Engine(big_weights.profile("seamless", big_weights_dir, monkeypatch))
    asked, voiced = watch(engine, monkeypatch)
    hub = Hub(Settings(), engine)
    app = create_app(Settings(http=True), hub, engine)
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=30) as http:
        async with asyncio.timeout(120):
            await app.state.ready.wait()
        assert app.state.failure is None
        assert len({pool.pids[0] for pool in engine.pools}) == len(engine.pools)
        server = Served(app, hub, http)
        room = hub.create("Three")
        await offers_are_what_is_served(server, room)
        peers = {}
        for name, language in PEOPLE.items():
            body = {"name": name, "speaks": language, "hears": language, "microphone": True}
            member = await server.join(room, body)
            said = utterance(language, weights_dir)
            peers[name] = await server.connect(member, Peer(np.zeros(0, np.int16)))
            peers[name].prepared = said
        for turn, speaker in enumerate(PEOPLE):
            asked.clear(), voiced.clear()
            say(peers[speaker])
            for listener, language in PEOPLE.items():
                caption = await final(peers[listener], turn)
                assert caption["name"] == speaker
                assert (caption["language"], caption["text"]) == (language, SAID[language])
                assert (
                    caption["original_text"]
                    == ("" if listener == speaker else SAID[PEOPLE[speaker]])
                    or listener == speaker
                )
                assert caption["quality"] == "good"
                assert caption["synthetic"] is (listener != speaker)
            await settled(peers)
            others = {language for name, language in PEOPLE.items() if name != speaker}
            assert asked and all(set(request.translate_into) == others for request in asked), (
                "one request, and so one encoding, for all languages"
            )
            assert set(voiced) == others, "nobody's own language is synthesised"
            assert all(voice.startswith("pl+") for voice in voiced.get("pl", ()))
            known = engine.synthesisers[0].capabilities.voices
            assert all(voice in known["en"] for voice in voiced.get("en", ()))
            assert all(voice in known["fr"] for voice in voiced.get("fr", ()))
        what_was_heard(peers, weights_dir)
        for peer in peers.values():
            await peer.close()


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
        clip = next(c for c in speech(weights_dir) if c.language == language and c.seconds < 6)
        samples = resample(clip.samples, SPEECH_RATE, PLAYOUT_RATE)
    silence = np.zeros(PLAYOUT_RATE, np.float32)
    return to_int16(np.concatenate([silence[:9600], samples, silence, silence]))


def say(peer):
    """Its microphone goes on with what was prepared."""
    microphone = peer.microphone
    microphone.samples = np.concatenate([np.zeros(microphone._sent, np.int16), peer.prepared])


async def final(peer, number, seconds=40.0):
    """The final caption of the ``number``-th utterance of the meeting."""
    async with asyncio.timeout(seconds):
        while True:
            finals = [e for e in peer.events if e["type"] == "caption" and e["final"]]
            if len(finals) > number:
                assert len(finals) == number + 1, "nothing is captioned twice"
                return finals[number]
            await asyncio.sleep(0.05)


async def settled(peers, seconds=40.0):
    """Everybody has heard what there was to hear."""
    async with asyncio.timeout(seconds):
        while True:
            states = {}
            for name, peer in peers.items():
                for event in peer.events:
                    if event["type"] == "voicing":
                        states[name, event["utterance"]] = event["state"]
            if states and set(states.values()) == {"played"}:
                return
            await asyncio.sleep(0.05)


def what_was_heard(peers, weights_dir):
    """Dan and Pierre understand what Kokoro told them; Marek hears his toy voice."""
    whisper = WhisperRecogniser(weights_dir)
    for name, words in (("Dan", "how are you today"), ("Pierre", "comment allez-vous")):
        heard = resample(peers[name].sound() / 32768.0, PLAYOUT_RATE, SPEECH_RATE)
        request = RecognitionRequest(PEOPLE[name], language_fixed=True)
        parts = [heard[at : at + 8 * SPEECH_RATE] for at in range(0, len(heard), 4 * SPEECH_RATE)]
        texts = [whisper.transcribe(part, request).text.casefold() for part in parts if len(part)]
        assert any(words in text for text in texts), texts
    assert np.abs(peers["Marek"].sound()).max() > 1000
