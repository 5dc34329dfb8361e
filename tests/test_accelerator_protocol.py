"""The messages between server and laptop: there and back again, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish import accelerator_protocol as wire
from babblefish.errors import TransportError

CLIP = wire.encode_audio(np.zeros(160, np.float32))
TO_LAPTOP = [
    wire.PutVoice(
        speaker_id="s1", digest="d1", text="Bonjour", language="fr", clip=CLIP, sample_rate=24000
    ),
    wire.DeleteVoice(speaker_id="s1"),
    wire.Synthesize(
        request_id="r1", text="Hello, you", clauses=["Hello,", "you"], language="en",
        speaker_id="s1", reference="d1",
    ),
    wire.Cancel(request_id="r1"),
    wire.AskHealth(),
]  # fmt: skip
TO_SERVER = [
    wire.Health(ready=True, languages=["en", "zh"], real_time_factor=0.5),
    wire.ClauseSpoken(
        request_id="r1", clause=0, last=True, audio=CLIP, sample_rate=24000, latency_ms=12.5
    ),
    wire.Failed(request_id="r1", code="busy", message="Too much to do."),
    wire.VoiceStored(speaker_id="s1", digest="d1"),
    wire.VoiceDeleted(speaker_id="s1", existed=True),
]


@pytest.mark.parametrize("message", TO_LAPTOP, ids=lambda message: message.type)
def test_what_a_laptop_is_told_arrives_as_it_was(message: wire.ToLaptop) -> None:
    assert wire.message_for_laptop(message.model_dump_json()) == message


@pytest.mark.parametrize("message", TO_SERVER, ids=lambda message: message.type)
def test_what_a_server_is_told_arrives_as_it_was(message: wire.ToServer) -> None:
    assert wire.message_for_server(message.model_dump_json()) == message


def test_one_side_does_not_take_the_messages_of_the_other() -> None:
    with pytest.raises(TransportError, match="no message"):
        wire.message_for_server(TO_LAPTOP[0].model_dump_json())
    with pytest.raises(TransportError, match="no message"):
        wire.message_for_laptop(TO_SERVER[0].model_dump_json())


@pytest.mark.parametrize(
    "text",
    ["", "<html>busy</html>", "[]", '{"type":"health"}',
     '{"type":"health","ready":true,"expected_wait_s":NaN}',
     '{"type":"tts_result","request_id":"r","clause":0,"last":true,"audio":"","sample_rate":7,'
     '"latency_ms":1}',
     '{"type":"error","request_id":"r","code":"No Such!"}'],
)  # fmt: skip
def test_what_is_no_message_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(TransportError) as refused:
        wire.message_for_server(text)
    assert refused.value.code == "bad_message"
    assert "busy" not in refused.value.message


def test_sound_survives_the_way_within_half_a_step_and_is_never_wrapped() -> None:
    sound = np.array([0.0, 0.5, -0.5, 1.5, -1.5], np.float32)
    back = wire.decode_audio(wire.encode_audio(sound))
    assert np.abs(back - np.clip(sound, -1, 1)).max() < 1 / 16000
    for broken in ("%%%", "AAA", "AAAA"):  # no base64, wrong padding, a byte and a half sample
        with pytest.raises(TransportError):
            wire.decode_audio(broken)


def test_a_reference_is_named_by_its_content() -> None:
    name = wire.digest_of(CLIP, "Bonjour", 24000)
    assert name == wire.digest_of(CLIP, "Bonjour", 24000)
    others = {wire.digest_of(CLIP, "Bonsoir", 24000), wire.digest_of(CLIP, "Bonjour", 16000)}
    assert name not in others and len(others) == 2
