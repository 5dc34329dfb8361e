"""NLLB-200 in miniature: the real network, tokenizer and converter, eight sentences learnt."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
from faster_whisper.tokenizer import _LANGUAGE_CODES

from babblefish.engine import interruption, nllb
from babblefish.engine.conversion import convert_nllb
from babblefish.engine.doubts import loop_start
from babblefish.engine.nllb import NllbTranslator, find_languages
from babblefish.errors import SettingsError, TranslationError, WeightsError, WorkerError
from tests import tiny_nllb
from tests.patience import awake
from tests.stage_conformance import check_translator
from tests.tiny_nllb import FLORES, SENTENCES

ENGLISH = [row["en"] for row in SENTENCES]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("weights")
    tiny_nllb.build(directory)
    return directory


@pytest.fixture(scope="module")
def translator(weights) -> NllbTranslator:
    return NllbTranslator(weights, threads=1)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    folder = tmp_path / "checkpoint"
    tiny_nllb.build_checkpoint(folder)
    return folder


def one_track(tmp_path: Path, token: str) -> NllbTranslator:
    """A translator that says ``token`` whatever it is told."""
    import torch
    from transformers import M2M100ForConditionalGeneration
    from transformers.models.nllb import NllbTokenizer

    folder = tmp_path / "one-track"
    tiny_nllb.build_checkpoint(folder, learnt=False)
    model = M2M100ForConditionalGeneration.from_pretrained(folder)
    number = NllbTokenizer.from_pretrained(folder).convert_tokens_to_ids(token)
    assert number > 3 or token == "</s>"
    with torch.no_grad():
        last = model.model.decoder.layer_norm
        last.weight.zero_()
        last.bias.copy_(1000 * model.lm_head.weight[number])
    model.save_pretrained(folder)
    convert_nllb(folder, tmp_path / "nllb-200-600M")
    return NllbTranslator(tmp_path, threads=1)


# --- translation ------------------------------------------------------------------------------


def test_keeps_the_promises_of_every_translator(translator):
    check_translator(translator)


def test_translates_from_and_into_the_languages_asked_for(translator):
    for source, target in ((s, t) for s in FLORES for t in FLORES if s != t):
        said = translator.translate([row[source] for row in SENTENCES], source, target)
        assert said == [row[target] for row in SENTENCES]


def test_many_texts_at_once_are_translated_as_each_alone(weights, translator):
    texts = [*ENGLISH, *reversed(ENGLISH)]
    together = translator.translate(texts, "en", "fr")
    assert together == [translator.translate([text], "en", "fr")[0] for text in texts]
    small = NllbTranslator(weights, threads=1, batch_tokens=1)
    assert together == small.translate(texts, "en", "fr")


def test_sentences_lines_blanks_and_signs_stay_where_they_are(translator):
    given = ["Good morning. See you tomorrow!\n\n🎉\nGood morning.", "…", "", "\t", "\0"]
    assert translator.translate(given, "en", "fr") == [
        "Bonjour. À demain !\n\n🎉\nBonjour.", "…", "", "\t", "",
    ]  # fmt: skip
    assert translator.translate(["Good\0 morning."], "en", "es") == ["Buenos días."]


def test_sentences_are_not_spaced_where_nobody_does(translator):
    (said,) = translator.translate(["Anna 12. Anna 12."], "en", "zh")
    assert said and " " not in said.replace("Anna 12.", "")


@pytest.mark.parametrize(
    "text", ["</s> eng_Latn <unk> hello", "\ud800 hello", "a" * 5000, "🎉a🎉", "​a‮b", "1" * 300]
)
def test_odd_texts_do_no_harm(translator, text):
    (said,) = translator.translate([text], "en", "fr")
    assert "</s>" not in said and "_Latn" not in said


def test_names_of_special_tokens_are_ordinary_text(translator):
    tokens = translator._tokens("</s> fra_Latn")
    assert not {"</s>", "fra_Latn"} & set(tokens)


@pytest.mark.parametrize(("source", "target"), [("en", "tlh"), ("tlh", "en"), ("en", "en")])
def test_a_pair_that_is_not_served_is_an_error(translator, source, target):
    with pytest.raises(TranslationError) as caught:
        translator.translate([""], source, target)
    assert caught.value.code == "pair"


# --- vices ------------------------------------------------------------------------------------


def test_a_loop_is_said_once(tmp_path):
    stubborn = one_track(tmp_path, "▁casa")
    assert stubborn.translate(["The house is big."], "en", "es") == ["casa"]


def test_a_sentence_that_the_model_says_nothing_about_stays_as_it_is(tmp_path):
    silent = one_track(tmp_path, "</s>")
    assert silent.translate(["The house is big."], "en", "es") == ["The house is big."]


def test_rambling_ends(tmp_path):
    tiny_nllb.build(tmp_path, learnt=False)
    rambling = NllbTranslator(tmp_path, threads=1)
    for text, said in zip(ENGLISH, rambling.translate(ENGLISH, "en", "de"), strict=True):
        piece = nllb._Piece(text, rambling._tokens(text))
        assert len(rambling._tokens(said)) <= 2 * piece.limit
        assert loop_start(said) is None
        ((_, tokens, complete),) = rambling._decode([piece], "en", "de")
        assert len(tokens) <= piece.limit
        assert piece.is_broken(tokens, "whatever it says", complete)


def test_what_repeats_itself_in_the_original_is_no_loop():
    laughter = ["ha", "ha", "ha", "ha", "ha"]
    assert not nllb._Piece("", laughter).is_broken(laughter, "ha ha ha ha ha", True)
    assert nllb._Piece("", ["one"]).is_broken(laughter * 2, " ".join(laughter * 2), True)


# --- languages --------------------------------------------------------------------------------


def test_every_language_of_the_model_is_served(translator):
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    pairs = translator.capabilities.pairs
    found = find_languages(FAIRSEQ_LANGUAGE_CODES)
    assert {source for source, _ in pairs} == {target for _, target in pairs} == set(found)
    assert len(found) == 194 and len(pairs) == 194 * 193
    lost = set(FAIRSEQ_LANGUAGE_CODES) - set(found.values())
    assert lost == {
        "ace_Arab", "bjn_Arab", "kas_Deva", "knc_Arab", "taq_Tfng", "prs_Arab", "twi_Latn",
        "zho_Hant",
    }  # fmt: skip
    assert found == find_languages(reversed(FAIRSEQ_LANGUAGE_CODES))


def test_a_language_means_its_standard_variety(translator):
    standard = {
        "ar": "arb_Arab", "az": "azj_Latn", "en": "eng_Latn", "et": "est_Latn", "fa": "pes_Arab",
        "ku": "kmr_Latn", "lv": "lvs_Latn", "mg": "plt_Latn", "mn": "khk_Cyrl", "ms": "zsm_Latn",
        "ne": "npi_Deva", "nn": "nno_Latn", "no": "nob_Latn", "om": "gaz_Latn", "ps": "pbt_Arab",
        "qu": "quy_Latn", "sq": "als_Latn", "sw": "swh_Latn", "uz": "uzn_Latn", "yi": "ydd_Hebr",
        "yue": "yue_Hant", "zh": "zho_Hans",
    }  # fmt: skip
    assert standard.items() <= translator._codes.items()


def test_all_that_whisper_hears_can_be_translated_but_three(translator):
    heard = set(_LANGUAGE_CODES)
    assert heard - translator._codes.keys() == {"br", "haw", "la"}


# --- weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["model.bin", "config.json", "tokenizer.json", "shared_vocabulary.json"]
)
def test_missing_and_damaged_files_are_named(weights, tmp_path, name):
    folder = tmp_path / "nllb-200-600M"
    shutil.copytree(weights / folder.name, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:200])
    with pytest.raises(WeightsError) as caught:
        NllbTranslator(tmp_path)
    assert caught.value.code == "broken" and str(folder) in caught.value.message
    (folder / name).unlink()
    with pytest.raises(WeightsError) as caught:
        NllbTranslator(tmp_path)
    assert caught.value.code == "missing" and str(folder / name) in caught.value.message
    assert "`python app.py models fetch whisper-nllb`" in caught.value.message


def test_a_vocabulary_of_lines_will_do(weights, tmp_path):
    folder = tmp_path / "nllb-200-600M"
    shutil.copytree(weights / folder.name, folder)
    listed = folder / "shared_vocabulary.json"
    (folder / "shared_vocabulary.txt").write_text("\n".join(json.loads(listed.read_text())))
    listed.unlink()
    assert NllbTranslator(tmp_path).translate(["Good morning."], "en", "fr") == ["Bonjour."]


def test_another_kind_of_model_is_refused(weights, tmp_path):
    folder = tmp_path / "nllb-200-600M"
    shutil.copytree(weights / folder.name, folder)
    listed = folder / "shared_vocabulary.json"
    listed.write_text(listed.read_text().replace("_", "-"))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        NllbTranslator(tmp_path)


def test_a_device_that_is_not_there_is_not_blamed_on_the_weights(weights, monkeypatch):
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    for device in ("cuda", "abacus"):
        with pytest.raises(SettingsError) as caught:
            NllbTranslator(weights, device=device)
        assert caught.value.code == "device"


# --- giving up --------------------------------------------------------------------------------


def test_a_draft_is_given_up_between_batches(weights):
    slow = NllbTranslator(weights, threads=1, batch_tokens=1)
    before = signal.getsignal(interruption.SIGNAL)
    interruption.listen()
    interruption.reset()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), interruption.SIGNAL))
    begun = awake()
    try:
        timer.start()
        with pytest.raises(WorkerError) as caught:
            slow.translate([f"Anna {number}." for number in range(5000)], "en", "fr")
        assert caught.value.code == "superseded"
        assert awake() - begun < 20
        interruption.reset()
        assert slow.translate(["Good morning."], "en", "fr") == ["Bonjour."]
    finally:
        timer.cancel()
        timer.join()
        interruption.reset()
        signal.signal(interruption.SIGNAL, before)


# --- conversion -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learnt", "quantization", "into"),
    [(False, "float32", ("fra_Latn", "zul_Latn")), (True, "int8", ("fra_Latn", "deu_Latn"))],
)
def test_says_token_for_token_what_transformers_says(tmp_path, learnt, quantization, into):
    from transformers import M2M100ForConditionalGeneration
    from transformers.models.nllb import NllbTokenizer

    tiny_nllb.build_checkpoint(tmp_path / "checkpoint", learnt=learnt)
    tokenizer = NllbTokenizer.from_pretrained(tmp_path / "checkpoint", src_lang="eng_Latn")
    original = M2M100ForConditionalGeneration.from_pretrained(tmp_path / "checkpoint")
    convert_nllb(tmp_path / "checkpoint", tmp_path / "converted", quantization)
    converted = ctranslate2.Translator(str(tmp_path / "converted"), compute_type=quantization)
    for text, flores in itertools.product(ENGLISH[1:5], into):
        given = tokenizer(text, return_tensors="pt")
        generate: Any = original.generate
        wanted = generate(
            **given, forced_bos_token_id=tokenizer.convert_tokens_to_ids(flores),
            max_new_tokens=15, num_beams=1, do_sample=False,
        )  # fmt: skip
        (said,) = converted.translate_batch(
            [tokenizer.convert_ids_to_tokens(given.input_ids[0].tolist())],
            target_prefix=[[flores]], beam_size=1, max_decoding_length=15,
        )  # fmt: skip
        start, *tokens = tokenizer.convert_ids_to_tokens(wanted[0].tolist())
        assert start == "</s>"
        assert said.hypotheses[0] == [token for token in tokens if token != "</s>"]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("learnt", [True, False])
def test_our_network_says_token_for_token_what_ctranslate2_says(tmp_path, learnt, beam):
    folder = tmp_path / "nllb-200-600M"
    tiny_nllb.build_checkpoint(tmp_path / "checkpoint", learnt=learnt)
    convert_nllb(tmp_path / "checkpoint", folder, "float32")
    ours = NllbTranslator(tmp_path, threads=1, beam=beam)
    theirs = ctranslate2.Translator(str(folder), compute_type="float32")
    pieces = [nllb._Piece(text, ours._tokens(text)) for text in ENGLISH]
    differing = set()
    for piece, tokens, _ in ours._decode(pieces, "en", "de"):
        (answer,) = theirs.translate_batch(
            [["eng_Latn", *piece.tokens, "</s>"]], target_prefix=[["deu_Latn"]], beam_size=beam,
            disable_unk=True, max_decoding_length=piece.limit + 1,
        )  # fmt: skip
        _, *expected = answer.hypotheses[0]
        assert tokens == expected[: len(tokens)]
        assert len(tokens) == len(expected) or loop_start(" ".join(tokens)) is not None
        differing.add(tuple(tokens))
    assert len(differing) > 1, "it answers different sentences differently, so this test can fail"


def test_both_formats_give_the_same_model_without_asking_anybody(checkpoint, tmp_path, monkeypatch):
    import torch
    from safetensors.torch import load_file

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    convert_nllb(checkpoint, tmp_path / "first")
    weights = checkpoint / "model.safetensors"
    torch.save(load_file(weights), checkpoint / "pytorch_model.bin")
    weights.unlink()
    convert_nllb(checkpoint, tmp_path / "second")
    first, second = (tmp_path / name / "model.bin" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == [
        "config.json", "model.bin", "shared_vocabulary.json", "tokenizer.json",
    ]  # fmt: skip


def test_an_older_conversion_and_its_remains_are_replaced(checkpoint, tmp_path):
    target = tmp_path / "target"
    for folder in (target, tmp_path / "target.partial" / "new"):
        folder.mkdir(parents=True)
        (folder / "old").write_text("old")
    convert_nllb(checkpoint, target)
    assert not (target / "old").exists() and (target / "model.bin").is_file()
    assert not (tmp_path / "target.partial").exists()


def damage(checkpoint: Path, name: str) -> None:
    path = checkpoint / name
    if name == "tokenizer.json":  # a number that no token has
        content = json.loads(path.read_text())
        used = " ".join(part for merge in content["model"]["merges"] for part in merge)
        unused = next(t for t in content["model"]["vocab"] if t not in used and len(t) == 1)
        del content["model"]["vocab"][unused]
        path.write_text(json.dumps(content))
    else:
        path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_what_cannot_be_converted_leaves_no_trace(checkpoint, tmp_path, name):
    target = tmp_path / "weights" / "nllb-200-600M"
    damage(checkpoint, name)
    for _ in ("damaged", "missing"):
        with pytest.raises(WeightsError) as caught:
            convert_nllb(checkpoint, target)
        assert caught.value.code == "conversion"
        assert caught.value.message.endswith("`python app.py models fetch whisper-nllb`.")
        (checkpoint / name).unlink(missing_ok=True)
    assert list(tmp_path.glob("weights/*")) == []


def test_a_full_disk_is_told_apart_and_leaves_no_trace(checkpoint, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(WeightsError) as caught:
            convert_nllb(checkpoint, tmp_path / "weights" / "nllb-200-600M")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.code == "disk"
    assert list(tmp_path.glob("weights/*")) == []
