"""A toy NLLB-200: the real tokenizer class, network and languages, eight sentences of vocabulary.

It is trained for a moment until it translates ``SENTENCES`` between four languages by heart, or
left as it is born, when it rambles and loops. Files and their layout are those of the checkpoint
that Facebook publishes.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import sentencepiece

from babblefish.engine.conversion import convert_nllb
from babblefish.engine.torchaudio_import import import_torchaudio

SENTENCES = (
    {"en": "Anna 12.", "es": "Anna 12.", "fr": "Anna 12.", "de": "Anna 12."},
    {"en": "Good morning.", "es": "Buenos días.", "fr": "Bonjour.", "de": "Guten Morgen."},
    {
        "en": "The house is big.", "es": "La casa es grande.",
        "fr": "La maison est grande.", "de": "Das Haus ist groß.",
    },
    {
        "en": "Where is the station?", "es": "¿Dónde está la estación?",
        "fr": "Où est la gare ?", "de": "Wo ist der Bahnhof?",
    },
    {
        "en": "Thank you, I am well.", "es": "Gracias, estoy bien.",
        "fr": "Merci, je vais bien.", "de": "Danke, mir geht es gut.",
    },
    {
        "en": "We begin at nine.", "es": "Empezamos a las nueve.",
        "fr": "Nous commençons à neuf heures.", "de": "Wir fangen um neun an.",
    },
    {
        "en": "I would like a coffee.", "es": "Quisiera un café.",
        "fr": "Je voudrais un café.", "de": "Ich möchte einen Kaffee.",
    },
    {"en": "See you tomorrow!", "es": "¡Hasta mañana!", "fr": "À demain !", "de": "Bis morgen!"},
)  # fmt: skip
"""what it knows by heart, by our language codes"""
FLORES = {"en": "eng_Latn", "es": "spa_Latn", "fr": "fra_Latn", "de": "deu_Latn"}
_OTHERS = (
    "Доброе утро. Дом большой. Где вокзал? Спасибо, хорошо.",
    "早上好。房子很大。车站在哪里？谢谢，我很好。",
    "صباح الخير. البيت كبير. أين المحطة؟ شكرا، أنا بخير.",
    "नमस्ते। घर बड़ा है। स्टेशन कहाँ है? धन्यवाद, मैं ठीक हूँ।",
)
"""what the tokenizer alone knows"""
_SPARE = 2
"""places in the real model's table that no token uses"""
_LEARNT, _MOST_STEPS = 0.001, 500
"""cross-entropy from which on training stops, and after how many steps at the latest"""


def build(weights_dir: Path, *, learnt: bool = True) -> Path:
    """The converted model where the translator looks for it; returns its folder."""
    target = weights_dir / "nllb-200-600M"
    with tempfile.TemporaryDirectory() as folder:
        build_checkpoint(Path(folder), learnt=learnt)
        convert_nllb(Path(folder), target)
    return target


def build_checkpoint(folder: Path, *, learnt: bool = True) -> None:
    """The files of a Hugging Face checkpoint. learnt: whether it knows ``SENTENCES``; takes five
    seconds, once in a process."""
    shutil.copytree(_checkpoint(learnt), folder, dirs_exist_ok=True)


@functools.cache
def _checkpoint(learnt: bool) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="tiny-nllb-")
    _folders.enter_context(folder)
    path = Path(folder.name)
    tokenizer = save_tokenizer(path)
    layers = 1 if learnt else 2
    model = build_model(
        vocab_size=len(tokenizer) + _SPARE, d_model=64, encoder_layers=layers,
        decoder_layers=layers, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=128, decoder_ffn_dim=128,
    )  # fmt: skip
    if learnt:
        _learn(model, tokenizer)
    model.save_pretrained(path)
    return path


_folders = contextlib.ExitStack()
"""removed when the process ends"""


def save_tokenizer(folder: Path, fill_up_to: int = 0) -> Any:
    """Trains a tokenizer on the sentences and saves it; returns the ``NllbTokenizer``.

    fill_up_to: number of word pieces, as if it had been trained on more text.
    """
    with contextlib.suppress(ImportError):
        import_torchaudio()
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES, NllbTokenizer

    lines = [text for row in SENTENCES for text in row.values()] + list(_OTHERS)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "sentencepiece.bpe"),
        model_type="bpe", vocab_size=460, character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.vocab").unlink()
    parts = NllbTokenizer.convert_to_native_format(
        vocab_file=str(folder / "sentencepiece.bpe.model")
    )
    vocabulary = parts["vocab"]
    fillers = (f"▁filler{number}" for number in range(len(vocabulary), fill_up_to))
    # The real vocabulary ends with the languages and the mask.
    for token in (*fillers, *FAIRSEQ_LANGUAGE_CODES, "<mask>"):
        vocabulary[token] = len(vocabulary)
    tokenizer = NllbTokenizer(**{**parts, "extra_special_tokens": FAIRSEQ_LANGUAGE_CODES})
    tokenizer.save_pretrained(folder)
    _write_as_published(folder, FAIRSEQ_LANGUAGE_CODES)
    return tokenizer


def build_model(**sizes: Any) -> Any:
    """An ``M2M100ForConditionalGeneration`` with random weights, the same every time."""
    with contextlib.suppress(ImportError):
        import_torchaudio()
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return M2M100ForConditionalGeneration(M2M100Config(**sizes)).eval()


def _write_as_published(folder: Path, language_codes: list[str]) -> None:
    """The published checkpoint was saved by an older transformers: its languages are in a file of
    their own."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config.pop("extra_special_tokens", None)
    path.write_text(json.dumps(config))
    names = ("bos_token", "eos_token", "sep_token", "cls_token", "unk_token", "pad_token")
    special = {name: config[name] for name in names}
    special["additional_special_tokens"] = language_codes
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def _learn(model: Any, tokenizer: Any) -> None:
    import torch

    sources, targets = [], []
    for row in SENTENCES:
        for source, target in itertools.permutations(FLORES, 2):
            tokenizer.src_lang = FLORES[source]
            sources.append(torch.tensor(tokenizer(row[source]).input_ids))
            tokenizer.src_lang = FLORES[target]
            targets.append(torch.tensor(tokenizer(row[target]).input_ids))
    pad = functools.partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    given = pad(sources, padding_value=tokenizer.pad_token_id)
    wanted = pad([target[1:] for target in targets], padding_value=-100)
    starts = torch.tensor([tokenizer.eos_token_id])
    before = pad(
        [torch.cat([starts, target[:-1]]) for target in targets],
        padding_value=tokenizer.pad_token_id,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network gets slower with more
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    attention = (given != tokenizer.pad_token_id).long()
    for _ in range(_MOST_STEPS):
        logits = model(input_ids=given, attention_mask=attention, decoder_input_ids=before).logits[
            :, 1:
        ]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss.item() < _LEARNT:
            break
    torch.set_num_threads(threads)
