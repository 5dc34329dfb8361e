"""A toy Whisper with the shape of large-v3 (128 mel bands, a hundred languages), converted by
CTranslate2's own converter as the published ones are; it understands nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from babblefish.engine.torchaudio_import import import_torchaudio

_YUE = 50_358
"""token of Cantonese, which came with large-v3 and moved those behind it"""
_VOCABULARY = 51_866


def build(weights_dir: Path, base: Path) -> Path:
    """base: folder of Whisper base, whose tokenizer all sizes share but for Cantonese."""
    import_torchaudio()
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperTokenizerFast

    target = weights_dir / "whisper-large-v3"
    torch.manual_seed(1)
    config = WhisperConfig(
        vocab_size=_VOCABULARY, num_mel_bins=128, d_model=64, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=128,
        decoder_ffn_dim=128,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder)
        WhisperForConditionalGeneration(config).save_pretrained(checkpoint)
        vocabulary = checkpoint / "tokenizer.json"
        vocabulary.write_text(_tokenizer(base / "tokenizer.json"))
        WhisperTokenizerFast(tokenizer_file=str(vocabulary)).save_pretrained(checkpoint)
        vocabulary.write_text(_tokenizer(base / "tokenizer.json"))
        TransformersConverter(str(checkpoint), copy_files=["tokenizer.json"]).convert(
            str(target), quantization="float16"
        )
    return target


def _tokenizer(path: Path) -> str:
    """Base's tokenizer with Cantonese in it."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    added = tokenizer["added_tokens"]
    for token in added:
        token["id"] += token["id"] >= _YUE
    like = next(token for token in added if token["content"] == "<|su|>")
    added.append({**like, "id": _YUE, "content": "<|yue|>"})
    added.sort(key=lambda token: token["id"])
    vocabulary = tokenizer["model"]["vocab"]
    for name, number in vocabulary.items():
        vocabulary[name] = number + (number >= _YUE)
    return json.dumps(tokenizer, ensure_ascii=False)
