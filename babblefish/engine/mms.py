"""Speech with MMS-TTS: one small VITS network for each language, which reads letter by letter.

Knows what the networks can read, how the one voice that each has becomes several, and how to stop
one that rambles. Does not know who speaks with which voice (``voices.py``) or where weights come
from (``catalogue.py``); these are CC-BY-NC. A language's network is loaded when it is first heard,
and kept.
"""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.util
import json
import math
import re
import textwrap
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import langcodes
import numpy as np
import sentencex
from num2words import num2words
from safetensors import SafetensorError, safe_open

from babblefish import languages
from babblefish.audio import match_loudness, resample
from babblefish.engine import interruption
from babblefish.engine.clauses import PAUSES
from babblefish.engine.espeak import trim
from babblefish.engine.stages import PLAYOUT_RATE, SynthesiserCapabilities
from babblefish.engine.torchaudio_import import import_torchaudio
from babblefish.errors import BabbleFishError, SynthesisError, WeightsError

VARIANTS = {"plain": 1.0, "m1": 0.853, "f1": 1.173, "m2": 0.923, "f2": 1.083}
"""voice → how many times higher than the recorded one: pitch and resonances alike, as of a larger
or smaller person. Neighbours are 8 % apart. Whether a language's recorded voice is a woman's or a
man's is not known, so m and f mean lower and higher than that"""
SPEEDS = (0.5, 2.0)
"""slowest and fastest that stay intelligible; others are clamped"""
_FILES = ("config.json", "model.safetensors", "tokenizer_config.json", "vocab.json")
_MAX_CHARACTERS = 4000
_LONGEST = 300
"""characters that a network reads at once; time and memory grow with them"""
_SILENT = 1e-3
_SECONDS_PER_TOKEN, _SECONDS_PER_LETTER = 0.8, 0.35
"""longest that one token may take, and all of them on average; there is a blank between letters"""
_FIX = "Run `python app.py models fetch` for the profile in use, see `python app.py models`."


class MmsSynthesiser:
    """A ``Synthesiser``. Voice names look like ``pl+m1``.

    Numbers are written out where num2words knows the language; elsewhere digits are skipped, for
    hardly any network can read them. Languages whose text must be romanised first (Korean is one)
    are served where uroman is installed: without it transformers' own tokenizer would drop every
    letter of them.
    """

    def __init__(self, weights_dir: Path | str, threads: int = 2, device: str = "cpu") -> None:
        """Serves the languages that have a folder; raises WeightsError("missing" | "broken") for
        an incomplete one. Loads no network yet."""
        self._device = device
        self._folders = _folders(Path(weights_dir) / "mms-tts")
        self._alphabets = {
            code: alphabet for code, folder in self._folders.items() if (alphabet := _read(folder))
        }
        self._networks: dict[str, _Network] = {}
        self.capabilities = SynthesiserCapabilities(
            voices={code: tuple(f"{code}+{name}" for name in VARIANTS) for code in self._alphabets},
            quality="good",
            on_demand=True,
            speeds=SPEEDS,
        )
        if self._alphabets:  # takes seconds, so now, while nobody waits
            import_torchaudio()
            _transformers()
            import torch

            torch.set_num_threads(max(1, threads))

    def synthesise(self, text: str, language: str, voice: str, speed: float) -> np.ndarray:
        """See ``Synthesiser.synthesise``. Raises WeightsError("broken") too, at the first use of a
        language."""
        pitch = self._pitch(language, voice)
        if not (math.isfinite(speed) and speed > 0):
            raise SynthesisError("voice", "The speaking speed must be above 0; 1.0 is natural.")
        speed = float(np.clip(speed, *SPEEDS))
        pause = np.zeros(int(PAUSES["sentence"] / speed * PLAYOUT_RATE), np.float32)
        said: list[np.ndarray] = []
        for letters in self._readable(text, language):
            network = self._network(language)
            samples = network.speak(letters, speed / pitch, zlib.crc32(voice.encode()))
            samples = _finished(samples, round(network.rate * pitch))
            said += [pause, samples] if said else [samples]
        return np.concatenate(said) if said else np.zeros(0, np.float32)

    def prepare(self, language: str) -> None:
        """See ``Synthesiser.prepare``. Raises WeightsError("broken")."""
        if language in self._alphabets:
            self._network(language)

    def _pitch(self, language: str, voice: str) -> float:
        voices = self.capabilities.voices.get(language)
        if voices is None:
            raise SynthesisError("language", f"There is no MMS voice for {language!r}.")
        if voice not in voices:
            raise SynthesisError(
                "voice", f"There is no such voice for {language}. Known: {', '.join(voices)}."
            )
        return VARIANTS[voice.rpartition("+")[2]]

    def _readable(self, text: str, language: str) -> Iterable[str]:
        """What the network can read of ``text``, sentence by sentence: it knows no full stop, and
        would run them together."""
        alphabet = self._alphabets[language]
        written = spell_numbers(text[:_MAX_CHARACTERS], language)
        sentences = sentencex.segment(language, written)  # pyright: ignore[reportAttributeAccessIssue]
        for sentence in sentences:
            for piece in textwrap.wrap(alphabet.spell(sentence), _LONGEST, break_on_hyphens=False):
                if any(c.isalnum() for c in piece):
                    yield piece

    def _network(self, language: str) -> _Network:
        if language not in self._networks:
            model = _load(self._folders[language])
            self._networks[language] = _Network(model, self._alphabets[language], self._device)
        return self._networks[language]


# --- text -----------------------------------------------------------------------------------

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SAME = {"’": "'", "ʼ": "'", "ʻ": "'", "`": "'", "‐": "-", "‑": "-", "–": "-", "ț": "ţ", "ș": "ş"}
"""what may be read in place of a character that an alphabet lacks"""
_SOUNDLESS = frozenset("'’ʼʻ`´\"")
"""left out where an alphabet lacks them; other signs end a word"""


class Alphabet:
    """What one network reads: its letters, and how texts are written in them."""

    def __init__(
        self,
        letters: Mapping[str, int],
        blanks: bool,
        romanise: Callable[[str], str] | None = None,
    ) -> None:
        """letters: character → token. blanks: whether token 0 stands between any two."""
        self._letters, self._blanks, self._romanise = dict(letters), blanks, romanise
        self._spelt = functools.lru_cache(maxsize=4096)(self._spell_one)

    def spell(self, text: str) -> str:
        """``text`` in nothing but the network's letters; empty where none of it can be read."""
        if self._romanise is not None and not text.isascii():
            text = self._romanise(text)
        spelt = "".join(map(self._spelt, _composed(text)))
        return " ".join(spelt.split()) if " " in self._letters else "".join(spelt.split())

    def tokens(self, letters: str) -> list[int]:
        """Of a text that ``spell`` returned."""
        known = [self._letters[letter] for letter in letters]
        if not self._blanks:
            return known
        tokens = [0] * (2 * len(known) + 1)
        tokens[1::2] = known
        return tokens

    def _spell_one(self, character: str) -> str:
        """A character with the marks that belong to it, by the likeliest way to write it."""
        small = character.lower()
        forms = [character, small, _SAME.get(small, small)]
        forms += [unicodedata.normalize(form, small) for form in ("NFC", "NFD")]
        for form in forms:
            if all(letter in self._letters for letter in form):
                return form
        if small[0].isalnum():  # é without its accent is nearer than nothing
            plain = unicodedata.normalize("NFKD", small)
            return "".join(letter for letter in plain if letter in self._letters)
        formatting = unicodedata.category(small[0]) in ("Cf", "Mn", "Me")
        return "" if formatting or small in _SOUNDLESS else " "


def _composed(text: str) -> Iterable[str]:
    """The characters of ``text``, combining marks together with what they are on."""
    begun = ""
    for character in text:
        if begun and not unicodedata.category(character).startswith("M"):
            yield begun
            begun = ""
        begun += character
    if begun:
        yield begun


def spell_numbers(text: str, language: str) -> str:
    """``text`` with its numbers as words, where num2words knows the language."""

    def spell(match: re.Match[str]) -> str:
        try:
            words = [num2words(number, lang=language) for number in _values(match[0])]
        except (NotImplementedError, ArithmeticError, ValueError, LookupError, TypeError):
            return match[0]
        return f" {' '.join(words)} "

    return _NUMBER.sub(spell, text)


def _values(digits: str) -> list[int | float]:
    """``1.500.000`` is one whole number, ``1,5`` and ``3.14`` are fractions, ``24.12.2026`` is
    three numbers."""
    groups = re.split("[.,]", digits)
    if all(len(group) == 3 for group in groups[1:]):
        return [int("".join(groups))]
    return [float(".".join(groups))] if len(groups) == 2 else [int(group) for group in groups]


@functools.cache
def _romaniser() -> Callable[[str], str]:
    """Kept, because it reads its tables for seconds; transformers' tokenizer would each time."""
    return importlib.import_module("uroman").Uroman().romanize_string


# --- folders --------------------------------------------------------------------------------


def _folders(parent: Path) -> dict[str, Path]:
    """Our language code → folder; of several scripts the one that the language is written in."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
        try:
            code = languages.normalise(folder.name.partition("-")[0])
        except BabbleFishError:
            continue
        if folder.is_dir():
            found.setdefault(code, []).append(folder)
    return {code: min(folders, key=_unusual(code)) for code, folders in sorted(found.items())}


def _unusual(code: str) -> Callable[[Path], bool]:
    script = langcodes.Language.get(code).maximize().script_name().lower()
    return lambda folder: not folder.name.endswith(f"-script_{script}")


def _read(folder: Path) -> Alphabet | None:
    """The alphabet of a folder in which everything is there; None where it takes a program that
    is not installed. Raises WeightsError("missing" | "broken")."""
    for name in _FILES:
        if not (folder / name).is_file():
            raise WeightsError("missing", f"{folder / name} is missing. {_FIX}")
    try:
        with safe_open(folder / "model.safetensors", "np"):
            pass  # its table of contents is sound, and the file as long as that says
        config, tokenizer, vocabulary = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("config.json", "tokenizer_config.json", "vocab.json")
        )
        size = int(config["vocab_size"])
        letters = {c: int(n) for c, n in vocabulary.items() if len(c) == 1 and int(n) < size}
        romanised, phonemes = tokenizer.get("is_uroman", False), tokenizer.get("phonemize", True)
        blanks = tokenizer.get("add_blank", True)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise _broken(folder) from error
    if phonemes or (romanised and importlib.util.find_spec("uroman") is None):
        return None
    return Alphabet(letters, blanks, _romaniser() if romanised else None)


def _broken(folder: Path) -> WeightsError:
    return WeightsError("broken", f"{folder} cannot be loaded. Delete it. {_FIX}")


# --- the network ----------------------------------------------------------------------------


@functools.cache
def _transformers() -> Any:
    """transformers' VITS, silent: no progress bars on the server's terminal."""
    from transformers import VitsModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return VitsModel


def _load(folder: Path) -> Any:
    """Its VitsModel, without what only training needs. Raises WeightsError("broken")."""
    from torch.nn.utils import parametrize

    try:
        model, report = _transformers().from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:
        raise _broken(folder) from error
    if not all(name.startswith("posterior_encoder.") for name in report["missing_keys"]):
        raise _broken(folder)
    model.posterior_encoder = None  # a fifth of all weights
    for module in list(model.flow.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
    for parameter in model.parameters():  # it would stay mapped, all of it, for as long
        parameter.data = parameter.data.clone()
    gc.collect()
    return model


class _Network:
    """One language's VITS."""

    def __init__(self, model: Any, alphabet: Alphabet, device: str) -> None:
        import torch

        self._torch, self._alphabet, self._device = torch, alphabet, torch.device(device)
        model.duration_predictor.register_forward_hook(self._bounded)
        for block in model.decoder.resblocks:
            block.register_forward_pre_hook(lambda *_: interruption.check())
        self._model = model.eval().requires_grad_(False).to(self._device)
        self.rate: int = model.config.sampling_rate
        """Hertz"""
        self._frame = math.prod(model.config.upsample_rates) / self.rate
        """seconds"""
        self._longest = 0.0

    def speak(self, letters: str, pace: float, seed: int) -> np.ndarray:
        """(n,) float32 at ``rate``, the same for the same arguments.

        Raises SynthesisError("bad_audio") for what is no speech."""
        torch = self._torch
        interruption.check()
        tokens = torch.tensor([self._alphabet.tokens(letters)], device=self._device)
        self._longest = 2.0 + _SECONDS_PER_LETTER * len(letters)
        random_states = [] if self._device.type == "cpu" else [self._device]
        with torch.inference_mode(), torch.random.fork_rng(random_states):
            torch.manual_seed(seed)
            waveform = self._model(tokens, speaking_rate=pace).waveform
        return waveform[0].float().cpu().numpy()

    def _bounded(self, _module: Any, _inputs: Any, log_durations: Any) -> Any:
        """Durations of tokens, as logarithms of frames at natural pace, before any are rendered:
        that takes hundreds of times as long as planning them."""
        torch = self._torch
        kept = torch.clamp(log_durations, max=math.log(_SECONDS_PER_TOKEN / self._frame))
        if not float(torch.exp(kept).sum()) * self._frame <= self._longest:  # NaN neither
            raise _no_speech()
        return kept


def _finished(samples: np.ndarray, rate: int) -> np.ndarray:
    """What a network said, at PLAYOUT_RATE. ``rate`` may be other than the network's own: then
    the voice becomes higher or lower."""
    if len(samples) == 0 or not np.isfinite(samples).all() or np.abs(samples).max() < _SILENT:
        raise _no_speech()
    said = trim(match_loudness(resample(samples, rate, PLAYOUT_RATE)))
    if len(said) == 0:
        raise _no_speech()
    return said


def _no_speech() -> SynthesisError:
    return SynthesisError("bad_audio", "The MMS voice returned something that is no speech.")
