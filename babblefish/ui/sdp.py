"""Checks a phone's WebRTC offer before anything is spent on it, narrows it to what is served, and
asks in the answer for sound that is good enough to be recognised.

Text in, text out: one Opus track, one data channel, one transport, candidates on usable
addresses. Knows no connections, rooms or sockets.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import replace

from aiortc.rtcsctptransport import RTCSctpCapabilities
from aiortc.sdp import MediaDescription, SessionDescription

from babblefish.errors import TransportError

MAX_SDP_CHARS = 64_000
MAX_CANDIDATES = 12
MAX_MESSAGE_SIZE = 65536
MICROPHONE_BIT_RATE = 128_000
"""bit/s asked of phones. Browsers would send 32 000, tuned for ears: in hard recordings it costs a
recogniser words, and a local network does not feel the difference"""

_DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+./^_`|~-]{1,64}")
_UFRAG = re.compile(r"[A-Za-z0-9+/=-]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/=-]{22,256}")


def bad_offer(why: str) -> TransportError:
    return TransportError("bad_offer", f"The WebRTC offer cannot be used: {why}")


def narrow_offer(sdp: str) -> str:
    """The offer as it is handed on: checked, written anew, without what is not served.

    Raises TransportError("bad_offer") that says what is wrong.
    """
    if len(sdp) > MAX_SDP_CHARS:
        raise bad_offer(f"it is longer than {MAX_SDP_CHARS} characters.")
    try:
        description = SessionDescription.parse(sdp)
        _narrow(description)
        return str(description)
    except TransportError:
        raise
    except Exception as error:
        # The parser asserts, indexes and converts: any exception means malformed text.
        raise bad_offer("it is not valid SDP.") from error


def ask_for_quality(answer: str) -> str:
    """The answer, asking the phone to code its microphone at ``MICROPHONE_BIT_RATE`` (RFC 7587)."""
    description = SessionDescription.parse(answer)
    for media in description.media:
        for codec in media.rtp.codecs:
            codec.parameters = codec.parameters | {"maxaveragebitrate": MICROPHONE_BIT_RATE}
    return str(description)


def also_at(answer: str, addresses: Sequence[str]) -> str:
    """The answer, with the server's ports at these addresses as well: where a router or a
    container network passes them on, the server does not know them by itself."""
    if not addresses:
        return answer
    description = SessionDescription.parse(answer)
    for media in description.media:
        known = {(candidate.ip, candidate.port) for candidate in media.ice_candidates}
        for candidate in tuple(media.ice_candidates):
            for number, address in enumerate(addresses):
                place = (address, candidate.port)
                if place in known or (":" in address) != (":" in candidate.ip):
                    continue
                known.add(place)
                media.ice_candidates.append(
                    replace(candidate, ip=address, foundation=f"{candidate.foundation}{number}")
                )
    return str(description)


def reachable(answer: str) -> bool:
    """Whether the answer names any place to send sound to."""
    return any(media.ice_candidates for media in SessionDescription.parse(answer).media)


def microphone_bit_rate(answer: str) -> int | None:
    """What an answer asks for, in bit/s."""
    for media in SessionDescription.parse(answer).media:
        for codec in media.rtp.codecs:
            if rate := codec.parameters.get("maxaveragebitrate"):
                return int(rate)
    return None


def _narrow(description: SessionDescription) -> None:
    kinds = sorted(media.kind for media in description.media)
    if kinds != ["application", "audio"]:
        raise bad_offer("it must have exactly one audio track and one data channel.")
    for media in description.media:
        _check_transport(media)
        if media.kind == "audio":
            _narrow_audio(media)
        else:
            _check_channel(media)
    _check_bundle(description)


def _check_transport(media: MediaDescription) -> None:
    if not 0 < media.port <= 65535:
        raise bad_offer("the audio track and the data channel must be switched on.")
    if media.ice is None or not _UFRAG.fullmatch(media.ice.usernameFragment or ""):
        raise bad_offer("the ICE user name is missing or malformed.")
    if not _PASSWORD.fullmatch(media.ice.password or ""):
        raise bad_offer("the ICE password is missing or malformed.")
    if media.dtls is None or not media.dtls.fingerprints:
        raise bad_offer("the certificate fingerprint is missing.")
    for fingerprint in media.dtls.fingerprints:
        size = _DIGEST_BYTES.get(fingerprint.algorithm.lower())
        if size is None:
            raise bad_offer("the certificate fingerprint must be SHA-256 or longer.")
        if not re.fullmatch(
            rf"([0-9A-Fa-f]{{2}}:){{{size - 1}}}[0-9A-Fa-f]{{2}}", fingerprint.value
        ):
            raise bad_offer("the certificate fingerprint is malformed.")
    candidates = [c for c in media.ice_candidates[:64] if usable_candidate(c)]
    media.ice_candidates = candidates[:MAX_CANDIDATES]
    # Without an end, the browser may also be found by the checks it sends itself.
    media.ice_candidates_complete = False


def usable_candidate(candidate) -> bool:
    """Whether checks may be sent to this address: UDP to a unicast address of the peer itself.

    Names under ``.local`` are left out: resolving them costs a second each, and the
    browser's own checks reveal the address sooner.
    """
    try:
        address = ipaddress.ip_address(candidate.ip)
    except ValueError:
        return False
    return (
        candidate.protocol.lower() == "udp"
        and candidate.type == "host"
        and candidate.component == 1
        and 1024 <= candidate.port <= 65535
        and not (
            address.is_multicast
            or address.is_unspecified
            or address.is_loopback
            or address.is_reserved
        )
    )


def _narrow_audio(media: MediaDescription) -> None:
    if media.direction not in (None, "sendrecv"):
        raise bad_offer("the audio track must send and receive (a silent track will do).")
    media.direction = "sendrecv"
    if not media.rtcp_mux:
        raise bad_offer("it lacks rtcp-mux.")
    # rtcp-mux is written only beside a port for RTCP.
    media.rtcp_port, media.rtcp_host = 9, "0.0.0.0"
    opus = [
        codec
        for codec in media.rtp.codecs
        if codec.mimeType.lower() == "audio/opus"
        and codec.clockRate == 48000
        and codec.payloadType in media.fmt
    ]
    if not opus:
        raise bad_offer("the audio track does not offer Opus.")
    media.rtp.codecs = opus[:1]
    media.fmt = [opus[0].payloadType]
    if any(not 1 <= header.id <= 255 for header in media.rtp.headerExtensions):
        raise bad_offer("a header extension is malformed.")


def _check_channel(media: MediaDescription) -> None:
    if media.profile not in ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP"):
        raise bad_offer("the data channel must use UDP/DTLS/SCTP.")
    if media.sctp_port is None or not 0 < media.sctp_port <= 65535:
        raise bad_offer("the data channel lacks its sctp-port.")
    media.sctpCapabilities = RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE_SIZE)


def _check_bundle(description: SessionDescription) -> None:
    mids = [media.rtp.muxId for media in description.media]
    if len(set(mids)) != len(mids) or not all(_TOKEN.fullmatch(mid or "") for mid in mids):
        raise bad_offer("the media sections need distinct mids.")
    bundles = [group.items for group in description.group if group.semantic == "BUNDLE"]
    if len(bundles) != 1 or sorted(bundles[0]) != sorted(mids):
        raise bad_offer("sound and data must share one transport (BUNDLE).")
