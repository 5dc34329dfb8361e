"""Offers of phones: what is refused, what is narrowed, what an answer asks for, what floods do."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from babblefish.errors import TransportError
from babblefish.ui.sdp import (
    MICROPHONE_BIT_RATE,
    ask_for_quality,
    microphone_bit_rate,
    narrow_offer,
)
from tests.patience import awake
from tests.rtc_peer import Peer, sample_offer
from tests.served import served

pytestmark = pytest.mark.asyncio


def malformed(sdp: str) -> dict[str, str]:
    """What is wrong → an offer with that fault."""
    audio, data = sdp.index("m=audio"), sdp.index("m=application")
    head, audio, data = sdp[:audio], sdp[audio:data], sdp[data:]
    return {
        "empty": "",
        "words": "hello",
        "no media": head,
        "no audio": head.replace("BUNDLE 0 1", "BUNDLE 1") + data,
        "no channel": head.replace("BUNDLE 0 1", "BUNDLE 0") + audio,
        "two audio": head + audio + audio + data,
        "video": head + audio.replace("m=audio", "m=video") + data,
        "extra video": head + audio + data + audio.replace("m=audio", "m=video"),
        "port 0": sdp.replace(audio[: audio.index(" UDP")], "m=audio 0"),
        "no fingerprint": "\r\n".join(li for li in sdp.splitlines() if "fingerprint" not in li),
        "bad fingerprint": sdp.replace("sha-256 ", "sha-256 ZZ:"),
        "weak fingerprint": sdp.replace("sha-256", "md5"),
        "no ufrag": "\r\n".join(li for li in sdp.splitlines() if "ufrag" not in li),
        "short password": "\r\n".join(
            "a=ice-pwd:x" if "ice-pwd" in li else li for li in sdp.splitlines()
        ),
        "no role": "\r\n".join(li for li in sdp.splitlines() if "a=setup" not in li),
        "no opus": sdp.replace("opus/48000", "opux/48000"),
        "no rtcp-mux": sdp.replace("a=rtcp-mux\r\n", ""),
        "receive only": sdp.replace("a=sendrecv", "a=recvonly"),
        "no bundle": sdp.replace("BUNDLE 0 1", "BUNDLE 0"),
        "same mids": sdp.replace("a=mid:1", "a=mid:0"),
        "no sctp port": "\r\n".join(li for li in sdp.splitlines() if "sctp-port" not in li),
        "too long": sdp + "a=x\r\n" * 20000,
    }


async def test_promise_15_malformed_repeated_and_oversized_offers_hold_no_slot():
    async with served("tone", offers_per_minute=500) as server:
        room = server.hub.create("A")
        member, other = await server.join(room), await server.join(room)
        good = await sample_offer()
        for fault, sdp in malformed(good).items():
            answer = await server.offer(member, sdp)
            assert 400 <= answer.status_code < 500, fault
            assert answer.json()["error"]["code"] in ("bad_offer", "too_large"), fault
            assert answer.json()["error"]["message"]
            assert not server.calls, fault
        assert (await server.offer(member, "x" * 200_000)).status_code == 413
        assert (await server.offer(member, good, kind="answer")).status_code == 422
        for _ in range(5):
            assert (await server.offer(member, good)).status_code == 200
            assert len(server.calls) == 1
        at_once = await asyncio.gather(*(server.offer(member, good) for _ in range(6)))
        assert {answer.status_code for answer in at_once} <= {200, 422}
        assert len(server.calls) <= 1
        peer = await server.connect(other, Peer())
        mine = await server.connect(member, Peer())
        assert len(server.calls) == 2
        await peer.close()
        await mine.close()
        await server.until(lambda: not server.calls)
        assert not server.app.state.offers.pcs


async def test_promise_15_an_offer_that_fails_inside_leaves_nothing(monkeypatch):
    async with served() as server:
        member = await server.join(server.hub.create("A"))
        offers = server.app.state.offers
        good = await sample_offer()

        async def failing(self):
            raise RuntimeError("no sockets")

        with monkeypatch.context() as patch:
            patch.setattr("aiortc.RTCPeerConnection.createAnswer", failing)
            for _ in range(3):
                answer = await server.offer(member, good)
                assert answer.status_code == 422
                assert not (server.calls or offers.pcs or offers.handlers or offers.connections)
        peer = await server.connect(member, Peer())
        await peer.close()


async def test_promise_16_floods_are_limited_per_address_and_room_and_calls_go_on():
    async with served("tone", offers_per_minute=6) as server:
        room, second = server.hub.create("A"), server.hub.create("B")
        caller, flooder = await server.join(room), await server.join(room)
        elsewhere = await server.join(second)
        peer = await server.connect(caller, Peer())
        await server.until(lambda: len(peer.heard) > 25)
        heard, start = len(peer.heard), awake()
        good = await sample_offer()
        answers = [await server.offer(flooder, good) for _ in range(30)]
        codes = [answer.status_code for answer in answers]
        assert codes.count(200) == 5
        assert codes.count(429) == 25
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
        assert answers[-1].json()["error"]["code"] == "rate_limited"
        await asyncio.sleep(0.5)
        expected = (awake() - start) / 0.02
        await server.until(lambda: len(peer.heard) - heard > expected * 0.8)
        assert caller.connected
        other = await server.connect(elsewhere, Peer())
        await other.close()
        await peer.close()


async def test_only_usable_candidates_are_tried():
    sdp = await sample_offer()
    line = next(li for li in sdp.splitlines() if li.startswith("a=candidate"))
    part = line.split()
    host, port = part[4], part[5]
    strange = ["239.1.1.1", "127.0.0.1", "0.0.0.0", "phone.local", "255.255.255.255", "::1"]
    lines = [line.replace(f" {host} {port} ", f" {address} {port} ") for address in strange]
    lines.append(line.replace(f" {port} ", " 53 "))
    lines.append(line.replace(" udp ", " tcp "))
    narrowed = narrow_offer(sdp.replace(line, "\r\n".join([*lines, line])))
    kept = [li.split()[4] for li in narrowed.splitlines() if li.startswith("a=candidate")]
    assert host in kept
    assert not set(kept) & set(strange)
    assert " 53 typ" not in narrowed
    assert " tcp " not in narrowed


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_promise_15_mutated_offers_are_refused_or_sane(data):
    lines = _OFFER.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "copy", "cut", "text"])):
            case "drop":
                del lines[place]
            case "copy":
                lines.insert(place, lines[data.draw(st.integers(0, len(lines) - 1))])
            case "cut":
                lines[place] = lines[place][: data.draw(st.integers(0, len(lines[place])))]
            case "text":
                lines[place] = lines[place][:6] + data.draw(st.text(max_size=20))
        if not lines:
            break
    try:
        narrowed = narrow_offer("\r\n".join(lines) + "\r\n")
    except TransportError as error:
        assert error.code == "bad_offer"
    else:
        assert narrow_offer(narrowed) == narrowed


async def test_the_answer_asks_for_what_recognition_needs():
    async with served() as server:
        member = await server.join(server.hub.create("A"))
        answer = (await server.offer(member, await sample_offer())).json()["sdp"]
    assert microphone_bit_rate(answer) == MICROPHONE_BIT_RATE
    again = ask_for_quality(answer)
    assert again == answer and again.count("maxaveragebitrate") == 1


_OFFER = """v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
a=msid-semantic:WMS *
m=audio 50000 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 192.0.2.9
a=sendrecv
a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid
a=mid:0
a=msid:s t
a=rtcp:9 IN IP4 0.0.0.0
a=rtcp-mux
a=ssrc:1 cname:x
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:0 PCMU/8000
a=candidate:1 1 udp 2130706431 192.0.2.9 50000 typ host
a=end-of-candidates
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=fingerprint:sha-256 FINGERPRINT
a=setup:actpass
m=application 50000 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.9
a=mid:1
a=sctp-port:5000
a=max-message-size:65536
a=ice-ufrag:abcd
a=ice-pwd:abcdefghijklmnopqrstuv
a=fingerprint:sha-256 FINGERPRINT
a=setup:actpass
""".replace("FINGERPRINT", ":".join(["AB"] * 32))
