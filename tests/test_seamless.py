"""Seamless on a toy checkpoint: its decoding against transformers' own, its batches, its guards."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from babblefish.engine import interruption
from babblefish.engine.beam_search import Hypothesis
from babblefish.engine.generation import NO_RULES
from babblefish.engine.seamless import Seamless, SeamlessRecogniser, pieces
from babblefish.engine.seamless_model import Row, SeamlessModel
from babblefish.engine.stages import SPEECH_RATE, RecognitionRequest
from babblefish.engine.transformer import Encoding
from babblefish.errors import RecognitionError, WeightsError, WorkerError
from tests import read_aloud, tiny_seamless
from tests.tiny_seamless import SAYS

OURS = {"en": "eng", "fr": "fra", "pl": "pol", "de": "deu", "es": "spa"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, weights_dir):
    """The toy beside the real weights that the stage needs."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_seamless.build(folder)
    for name in ("whisper-base", "silero"):
        (folder / name).symlink_to(weights_dir / name)
    return folder


@pytest.fixture(scope="module")
def stages(folder):
    return Seamless(folder, threads=2, precision="fp32")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """(folder, model) of a checkpoint that was taught nothing."""
    folder = tiny_seamless.build(tmp_path_factory.mktemp("raw"), learnt=False)
    return folder, SeamlessModel(folder, "fp32", threads=1)


@pytest.fixture(scope="module")
def speech(weights_dir):
    return read_aloud.speech(weights_dir)


def talk(speech, seconds):
    """That much of somebody who pauses between sentences."""
    pause = np.zeros(SPEECH_RATE // 2, np.float32)
    parts = [part for clip in speech for part in (clip.samples, pause)] * 3
    return np.concatenate(parts)[: int(seconds * SPEECH_RATE)]


def noise(seconds, seed=0):
    samples = np.random.default_rng(seed).normal(0, 0.1, int(seconds * SPEECH_RATE))
    return samples.astype(np.float32)


def fixed(language, *targets):
    return RecognitionRequest(language, language_fixed=True, translate_into=targets)


@pytest.mark.parametrize("beam", [1, 3])
def test_one_batch_is_token_for_token_what_transformers_generates_for_each_language(raw, beam):
    from transformers import SeamlessM4TFeatureExtractor, SeamlessM4Tv2ForSpeechToText

    folder, model = raw
    reference = SeamlessM4Tv2ForSpeechToText.from_pretrained(folder).eval()
    extract = SeamlessM4TFeatureExtractor.from_pretrained(folder)
    clips = [noise(2.0, 1), noise(3.1, 2), noise(0.7, 3)]
    languages = ["eng", "fra", "pol", "zsm"]
    rows = [Row(item, language, 24) for item in range(3) for language in languages]
    found = iter(model.decode(model.encode_speech(clips), rows, beam=beam))
    differing = set()
    for clip in clips:
        inputs = extract(clip, sampling_rate=SPEECH_RATE, return_tensors="pt")
        for language in languages:
            (expected,) = reference.generate(
                **inputs, tgt_lang=language, max_new_tokens=24, num_beams=beam, do_sample=False
            ).tolist()
            tokens = next(found).tokens
            wanted = expected[2:]
            wanted = wanted[: wanted.index(3)] if 3 in wanted else wanted
            assert tokens == wanted
            differing.add(tuple(tokens))
    assert len(differing) > 6, "the checkpoint tells languages and clips apart, so this test does"


def test_text_is_token_for_token_what_transformers_generates(raw):
    from transformers import SeamlessM4TTokenizer, SeamlessM4Tv2ForTextToText

    folder, model = raw
    reference = SeamlessM4Tv2ForTextToText.from_pretrained(folder).eval()
    tokenizer = SeamlessM4TTokenizer.from_pretrained(folder)
    texts = [SAYS["fra"], "Bonjour"]
    encoding = model.encode_text(texts, "fra")
    rows = [Row(item, language, 20) for item in (0, 1) for language in ("eng", "pol")]
    found = iter(model.decode(encoding, rows))
    for text in texts:
        inputs = tokenizer(text, src_lang="fra", return_tensors="pt")
        for language in ("eng", "pol"):
            (expected,) = reference.generate(
                **inputs, tgt_lang=language, max_new_tokens=20, do_sample=False
            ).tolist()
            wanted = expected[2:]
            assert next(found).tokens == (wanted[: wanted.index(3)] if 3 in wanted else wanted)


def test_each_row_ends_at_its_own_limit(raw):
    _, model = raw
    rows = [Row(0, "eng", 3), Row(0, "eng", 17)]
    short, long = model.decode(model.encode_speech([noise(2.0)]), rows)
    assert long.tokens[: len(short.tokens)] == short.tokens
    assert len(short.tokens) <= 3 < len(long.tokens) <= 17
    assert short.complete is False and np.isfinite(short.score)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_every_precision_says_the_same(folder, precision):
    model = SeamlessModel(folder / "seamless-m4t-v2-large", precision, threads=1)
    assert model.precision == precision
    rows = [Row(0, language, 40) for language in SAYS]
    decoded = model.decode(model.encode_speech([noise(2.0, 5)]), rows)
    assert [model.text(d.tokens) for d in decoded] == list(SAYS.values())
    assert all(d.complete and d.score > -0.3 for d in decoded)


def test_transcript_and_all_translations_come_from_one_encoding(stages, speech):
    encodings = count_calls(stages.model.speech_encoder)
    clip = next(clip for clip in speech if clip.language == "fr")
    heard = stages.recogniser.transcribe(clip.samples, fixed("fr", "en", "pl", "de", "fr"))
    assert heard.text == SAYS["fra"] and heard.language == "fr"
    assert heard.translations == {code: SAYS[OURS[code]] for code in ("en", "pl", "de")}
    assert heard.confidence > 0.9
    assert len(encodings) == 1


def test_utterances_that_wait_together_are_encoded_together(stages, speech):
    encodings = count_calls(stages.model.speech_encoder)
    clips = [clip.samples for clip in speech[:3]]
    jobs = [
        (clips[0], fixed("en", "pl")), (np.zeros(0, np.float32), fixed("en")),
        (clips[1], fixed("pl")), (noise(0.05), fixed("de")), (clips[2], fixed("de", "en", "fr")),
    ]  # fmt: skip
    one, refused, two, silent, three = stages.recogniser.transcribe_batch(jobs)
    assert (one.text, dict(one.translations)) == (SAYS["eng"], {"pl": SAYS["pol"]})
    assert isinstance(refused, RecognitionError) and refused.code == "bad_audio"
    assert (two.text, dict(two.translations)) == (SAYS["pol"], {})
    assert silent.text == ""
    assert dict(three.translations) == {"en": SAYS["eng"], "fr": SAYS["fra"]}
    assert len(encodings) == 1


def test_an_open_language_is_heard_by_whisper(stages, speech):
    for language in ("fr", "es", "en"):
        clip = next(c for c in speech if c.language == language and c.seconds > 2)
        heard = stages.recogniser.transcribe(clip.samples, RecognitionRequest())
        assert (heard.language, heard.text) == (language, SAYS[OURS[language]])
        assert 0.5 < heard.language_probability <= 1


def test_translations_are_left_out_where_they_are_not_wanted(stages, speech):
    clip = next(clip for clip in speech if clip.language == "fr")
    request = RecognitionRequest("fr", True, ("en",), translate_when=frozenset({"de"}))
    assert stages.recogniser.transcribe(clip.samples, request).translations == {}


def test_nobody_speaking_is_nothing(stages):
    for samples in (noise(2.0), np.zeros(SPEECH_RATE, np.float32), noise(0.02)):
        assert stages.recogniser.transcribe(samples, fixed("en", "pl")).text == ""


def test_a_decoding_can_be_given_up(stages, speech, monkeypatch):
    monkeypatch.setattr(interruption, "_asked", True)
    with pytest.raises(WorkerError) as caught:
        stages.recogniser.transcribe(speech[0].samples, fixed("en"))
    assert caught.value.code == "superseded"


def test_text_is_translated_sentence_by_sentence(stages):
    translator = stages.translator
    (said,) = translator.translate(["Hello. How are you?\n\n…"], "en", "pl")
    assert said == f"{SAYS['pol']} {SAYS['pol']}\n\n…"
    assert translator.capabilities.pairs["de", "ms"] == "good"


class Scripted:
    """A model that says what it was told to, for each row in turn."""

    def __init__(self, *attempts):
        self.languages = {"eng": 1, "fra": 2}
        self.attempts, self.pieces, self.rules = list(attempts), [], []

    def encode_speech(self, clips):
        self.pieces.append([len(clip) / SPEECH_RATE for clip in clips])
        return Encoding(torch.zeros(len(clips)), torch.zeros(len(clips)))

    def decode(self, encoding, rows, *, beam, rules, between):
        self.rules.append(rules)
        texts = self.attempts.pop(0)[: len(rows)]
        assert len(texts) == len(rows)
        return [Hypothesis(text.split(), -0.1, len(text.split()) < row.limit)
                for text, row in zip(texts, rows, strict=True)]  # fmt: skip

    def text(self, tokens):
        return " ".join(tokens)


def recogniser(stages, model):
    return SeamlessRecogniser(model, stages.recogniser._identifier, 1, 4)


def test_a_loop_is_decoded_again_without_repetitions(stages, speech):
    model = Scripted(["so " * 40, "Bonjour à tous"], ["so it goes"])
    heard = recogniser(stages, model).transcribe(speech[0].samples, fixed("en", "fr"))
    assert heard.text == "so it goes" and heard.translations == {"fr": "Bonjour à tous"}
    assert model.rules[0] == NO_RULES and model.rules[1].no_repeat_ngram_size == 3


def test_a_translation_that_stays_broken_is_left_to_others(stages, speech):
    model = Scripted(["It goes on.", "la " * 60], ["la " * 60])
    heard = recogniser(stages, model).transcribe(speech[0].samples, fixed("en", "fr"))
    assert heard.text == "It goes on." and heard.translations == {}


def test_a_sentence_invented_over_a_cough_is_not_believed(stages, speech):
    cough = speech[0].samples[: int(0.9 * SPEECH_RATE)]
    invented = (
        "And so, my dear friends, I would like to thank all of you for this wonderful evening"
    )
    model = Scripted([invented])
    assert recogniser(stages, model).transcribe(cough, fixed("en")).text == ""


def test_a_lost_end_is_looked_for_in_smaller_pieces(stages, speech):
    long = talk(speech, 12)
    parts = ["It began at nine and then", "it went on until", "late in the evening"]
    model = Scripted(["It began"], parts)
    heard = recogniser(stages, model).transcribe(long, fixed("en"))
    assert len(model.pieces[0]) == 1 and len(model.pieces[1]) > 1
    assert heard.text == " ".join(parts[: len(model.pieces[1])])


def test_long_speech_is_cut_at_pauses_and_decoded_at_once(stages, speech):
    long = talk(speech, 28)
    heard = stages.recogniser.transcribe(long, fixed("de", "en"))
    count = heard.text.count(SAYS["deu"])
    assert count >= 2 and heard.text == " ".join([SAYS["deu"]] * count)
    assert heard.translations["en"] == " ".join([SAYS["eng"]] * count)


def test_pieces_are_cut_where_it_is_quietest():
    voice = np.ones(1000, np.float32)
    voice[600:612] = 0.0
    (_, cut), _ = pieces(voice, 25.6)
    assert 602 * 512 <= cut <= 610 * 512
    for count in (1, 30, 401, 937):
        cuts = pieces(np.ones(count, np.float32), 3.2)
        assert cuts[0][0] == 0 and cuts[-1][1] == count * 512
        assert all(end - start <= 3.2 * SPEECH_RATE for start, end in cuts)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(cuts))


def test_promise_11_missing_and_broken_weights_name_the_fix(folder, tmp_path):
    with pytest.raises(WeightsError, match="models fetch seamless") as caught:
        Seamless(tmp_path)
    assert caught.value.code == "missing"
    broken = tiny_seamless.build(tmp_path)
    shard = next(broken.glob("model-00001-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-500])
    with pytest.raises(WeightsError, match="models fetch seamless") as caught:
        Seamless(tmp_path)
    assert caught.value.code == "broken"


def count_calls(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls
