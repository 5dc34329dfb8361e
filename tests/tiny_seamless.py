"""A toy SeamlessM4T v2: the real network, tokenizer and feature extractor, a few words to say.

It is trained for a moment until it answers any speech and any text with ``SAYS`` in the language
asked for, or taught nothing, when it rambles. Files and their layout are those of the checkpoint
that Facebook publishes, weights of its other halves included.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from babblefish.engine.torchaudio_import import import_torchaudio

SAYS = {
    "eng": "Hello, how are you today?",
    "fra": "Bonjour, comment allez-vous ?",
    "pol": "Dzień dobry, jak się masz?",
    "deu": "Guten Tag, wie geht es Ihnen?",
    "spa": "Hola, ¿cómo estás hoy?",
}
"""what it has learnt to say"""
LANGUAGES = (*SAYS, "ita", "por", "cmn", "cmn_Hant", "zsm")
_LEARNT, _MOST_STEPS = 0.02, 2000
"""cross-entropy from which on training stops, and after how many steps at the latest"""


def build(weights_dir: Path, *, learnt: bool = True) -> Path:
    """The checkpoint where the stage looks for it; returns its folder. Takes some seconds once."""
    folder = weights_dir / "seamless-m4t-v2-large"
    shutil.copytree(_checkpoint(learnt), folder, dirs_exist_ok=True)
    return folder


@functools.cache
def _checkpoint(learnt: bool) -> Path:
    import torch

    folder = Path(tempfile.mkdtemp(prefix="tiny-seamless-"))
    codes = build_tokenizer(folder)
    model = _network(folder, codes)
    if learnt:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # layers as small as these only wait for one another
        _teach(model, folder, codes)
        torch.set_num_threads(threads)
    else:
        _excite(model)
    model.save_pretrained(folder, max_shard_size="200KB")
    _write_generation(folder, codes)
    return folder


def build_tokenizer(folder: Path) -> dict[str, int]:
    """Tokenizer and feature extractor; returns language → token."""
    import_torchaudio()
    from transformers import SeamlessM4TFeatureExtractor

    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter([*SAYS.values()] * 3),
        model_prefix=str(folder / "sentencepiece.bpe"),
        model_type="bpe", vocab_size=150, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, minloglevel=2,
        character_coverage=1.0,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.vocab").unlink()
    size = sentencepiece.SentencePieceProcessor(
        model_file=str(folder / "sentencepiece.bpe.model")
    ).get_piece_size()
    codes = {language: size + 1 + number for number, language in enumerate(LANGUAGES)}
    names = dict(enumerate(("<pad>", "<unk>", "<s>", "</s>")))
    names |= {number: f"__{language}__" for language, number in codes.items()}
    usual = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "SeamlessM4TTokenizer",
                "added_tokens_decoder": {
                    str(number): {"content": name, "special": True, **usual}
                    for number, name in names.items()
                },
                "additional_special_tokens": [f"__{language}__" for language in codes],
                "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>",
                "unk_token": "<unk>", "pad_token": "<pad>", "src_lang": "eng", "tgt_lang": "fra",
            }
        )
    )  # fmt: skip
    SeamlessM4TFeatureExtractor().save_pretrained(folder)
    return codes


def _network(folder: Path, codes: dict[str, int]) -> Any:
    import torch
    from transformers import SeamlessM4Tv2Config, SeamlessM4Tv2Model

    small = {"layers": 1, "attention_heads": 2, "ffn_dim": 64}
    halves = {
        f"{half}_{name}": value
        for half in ("encoder", "decoder", "t2u_encoder", "t2u_decoder")
        for name, value in small.items()
    }
    config = SeamlessM4Tv2Config(
        **halves, vocab_size=max(codes.values()) + 1, t2u_vocab_size=40, char_vocab_size=40,
        hidden_size=64, max_position_embeddings=256, t2u_max_position_embeddings=64,
        speech_encoder_layers=2, speech_encoder_attention_heads=2,
        speech_encoder_intermediate_size=64, speech_encoder_layerdrop=0.0, encoder_layerdrop=0.0,
        decoder_layerdrop=0.0, dropout=0.0, attention_dropout=0.0,
        t2u_variance_predictor_embed_dim=32, t2u_variance_predictor_hidden_dim=16,
        upsample_initial_channel=64, unit_hifi_gan_vocab_size=40, unit_embed_dim=16,
        lang_embed_dim=8, spkr_embed_dim=8, vocoder_num_langs=len(codes), vocoder_num_spkrs=2,
        # the published configuration has these, the library's defaults do not
        pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=3,
    )  # fmt: skip
    torch.manual_seed(7)
    return SeamlessM4Tv2Model(config).eval()


def _excite(model: Any) -> None:
    """Large weights: then what it rambles depends on the language and on what it heard."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(2.0 if "embed" in name or name == "shared.weight" else 5.0)


def _teach(model: Any, folder: Path, codes: dict[str, int]) -> None:
    """The decoder learns ``SAYS``, whatever was heard or read, and stops when it knows them."""
    import torch
    from transformers import SeamlessM4TFeatureExtractor, SeamlessM4TTokenizer

    tokenizer = SeamlessM4TTokenizer.from_pretrained(folder)
    extractor = SeamlessM4TFeatureExtractor.from_pretrained(folder)
    noise = np.random.default_rng(1)
    clips = [noise.normal(0, 0.1, length).astype(np.float32) for length in range(8000, 64000, 8000)]
    heard = extractor(clips, sampling_rate=16_000, padding=True, return_tensors="pt")
    read = tokenizer(list(SAYS.values()), src_lang="eng", padding=True, return_tensors="pt")
    with torch.no_grad():
        encoded = (model.speech_encoder(**heard)[0], model.text_encoder(**read)[0])
    targets = tokenizer([*SAYS.values()], add_special_tokens=False)["input_ids"]
    rows = [
        [3, codes[language], *tokens, 3] for language, tokens in zip(SAYS, targets, strict=True)
    ]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    labels = ids[:, 1:].clone()
    labels[labels == 0] = -100
    labels[:, 0] = -100  # the language is given, not guessed
    optimiser = torch.optim.AdamW(model.text_decoder.parameters(), 3e-3)
    losses = [1.0, 1.0]
    for step in range(_MOST_STEPS):
        states = encoded[step % 2]
        states = states[torch.randint(len(states), (len(rows),))]  # so that it tells nothing
        found = model.text_decoder(input_ids=ids[:, :-1], encoder_hidden_states=states)[0]
        loss = torch.nn.functional.cross_entropy(
            model.lm_head(found).flatten(0, 1), labels.flatten(), ignore_index=-100
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses[step % 2] = loss.item()
        if max(losses) < _LEARNT:
            return
    raise AssertionError("the toy has not learnt its sentences")


def _write_generation(folder: Path, codes: dict[str, int]) -> None:
    from transformers import GenerationConfig

    generation = GenerationConfig(
        bos_token_id=2, eos_token_id=3, pad_token_id=0, decoder_start_token_id=3,
        max_new_tokens=256,
    )  # fmt: skip
    generation.text_decoder_lang_to_code_id = codes
    generation.save_pretrained(folder)
