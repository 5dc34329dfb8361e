"""The voices that a laptop keeps: what is refused, how many there are, what deleting leaves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from babblefish.accelerator.reference_voices import ReferenceVoices
from babblefish.accelerator_protocol import PutVoice, digest_of, encode_audio
from babblefish.errors import SynthesisError

RATE = 16_000
TEXT = "Today only platforms one and three are used, the others are closed."


def speech(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Something with the rhythm of speech."""
    count = round(seconds * RATE)
    time = np.arange(count) / RATE
    source = np.random.default_rng(seed).normal(0, level, count)
    return (source * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def voice(samples: np.ndarray, speaker: str = "p1", text: str = TEXT, **changes) -> PutVoice:
    clip = encode_audio(samples)
    values = {"speaker_id": speaker, "digest": digest_of(clip, text, RATE), "text": text,
              "language": "en", "clip": clip, "sample_rate": RATE}  # fmt: skip
    return PutVoice(**(values | changes))


def test_a_reference_is_kept_by_speaker_and_digest():
    voices = ReferenceVoices()
    put = voice(speech(5))
    kept = voices.put(put)
    assert voices.get("p1", put.digest) is kept and len(voices) == 1
    assert kept.mel.shape[1] == 100 and len(kept.mel) == pytest.approx(5.3 * 93.75, rel=0.05)
    assert 8 <= kept.pace <= 21
    assert voices.put(put) is kept, "the same again costs nothing"
    for speaker, digest in (("p2", put.digest), ("p1", "0" * 32)):
        with pytest.raises(SynthesisError) as caught:
            voices.get(speaker, digest)
        assert caught.value.code == "unknown_voice"


def test_a_new_reference_takes_the_place_of_the_old_one():
    voices = ReferenceVoices()
    old = voices.put(voice(speech(5)))
    new = voice(speech(5, seed=1))
    voices.put(new)
    assert len(voices) == 1 and voices.get("p1", new.digest).digest == new.digest
    assert not old.mel.any() and not old.words


def test_the_one_not_used_for_longest_goes_first():
    voices = ReferenceVoices(most=3)
    put = [voice(speech(4, seed=i), f"p{i}") for i in range(4)]
    kept = [voices.put(one) for one in put[:3]]
    voices.get("p0", put[0].digest)
    voices.put(put[3])
    assert len(voices) == 3 and not kept[1].mel.any()
    voices.get("p0", put[0].digest)
    with pytest.raises(SynthesisError):
        voices.get("p1", put[1].digest)


def test_deleting_leaves_nothing_of_a_voice():
    """No tensor that is alive holds what was made of the recording, nor does anything hold the
    words."""
    import gc

    voices = ReferenceVoices()
    text = "Unmistakable words that nobody else says, zanzibar."
    kept = voices.put(voice(speech(4), text=text))
    kept.symbols["base"] = list(text)
    mel = kept.mel.clone()
    probe = mel[10, :20].tolist()
    del mel
    assert voices.delete("p1") and not voices.delete("p1")
    assert len(voices) == 0 and not kept.mel.any() and kept.words == "" and not kept.symbols
    gc.collect()
    alive = [o for o in gc.get_objects() if type(o) is torch.Tensor and o.shape[-1:] == (100,)]
    assert not [t for t in alive if t.dim() == 2 and len(t) > 10 and t[10, :20].tolist() == probe]


@pytest.mark.parametrize(
    ("samples", "text", "says"),
    [
        (np.zeros(5 * RATE, np.float32), TEXT, "silent"),
        (np.zeros(1, np.float32), TEXT, "silent"),
        (speech(5, level=1e-5), TEXT, "silent"),
        (speech(1.2), "Too short.", "2 s or more"),
        (speech(25), TEXT * 4, "longer than 15 s"),
        (np.sign(speech(5)), TEXT, "distorted"),
        (speech(5), "Hm.", "not what is said"),
        (speech(3), TEXT * 6, "not what is said"),
        (speech(5), "🙂 …", "no words"),
    ],
)
def test_what_cannot_be_a_reference_is_refused_in_words(samples, text, says):
    voices = ReferenceVoices()
    with pytest.raises(SynthesisError, match=says) as caught:
        voices.put(voice(samples, text=text))
    assert caught.value.code == "bad_reference" and len(voices) == 0


def test_a_damaged_message_is_refused():
    voices = ReferenceVoices()
    for changes in ({"digest": "0" * 32}, {"text": "Something else is said here."}):
        with pytest.raises(SynthesisError, match="digest"):
            voices.put(voice(speech(5)).model_copy(update=changes))
    clip = "no base64!"
    with pytest.raises(SynthesisError, match="base64"):
        voices.put(voice(speech(5), clip=clip, digest=digest_of(clip, TEXT, RATE)))


def test_a_bad_reference_does_not_cost_the_good_one():
    voices = ReferenceVoices()
    good = voice(speech(5))
    voices.put(good)
    with pytest.raises(SynthesisError):
        voices.put(voice(np.zeros(5 * RATE, np.float32)))
    assert voices.get("p1", good.digest)


def test_silence_around_the_speech_is_not_part_of_its_pace():
    quiet = np.zeros(3 * RATE, np.float32)
    voices = ReferenceVoices()
    plain = voices.put(voice(speech(5), "a"))
    padded = voices.put(voice(np.concatenate([quiet, speech(5), quiet]), "b"))
    assert padded.pace == pytest.approx(plain.pace, rel=0.05)
    assert len(padded.mel) == pytest.approx(len(plain.mel), abs=20)
    assert (padded.mel[-20:] < -11).all(), "it ends in silence, or F5 begins with its end"
