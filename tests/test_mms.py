"""MMS voices, on tiny random networks in the form of the real ones."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from babblefish.engine import interruption, mms
from babblefish.engine.mms import VARIANTS, Alphabet, MmsSynthesiser
from babblefish.engine.voices import similar
from babblefish.errors import SynthesisError, WeightsError, WorkerError
from tests import stage_conformance, tiny_mms
from tests.patience import awake

TEXT = "Guten Morgen, wie geht es Ihnen heute?"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_mms.build(folder)
    return folder


@pytest.fixture(scope="module")
def voices(weights) -> MmsSynthesiser:
    return MmsSynthesiser(weights)


@pytest.fixture
def copy(weights, tmp_path) -> Path:
    """A folder ``deu`` to spoil, of weights directory ``tmp_path``."""
    return Path(shutil.copytree(weights / "mms-tts" / "deu", tmp_path / "mms-tts" / "deu"))


def say(stage: MmsSynthesiser, text: str = TEXT, voice: str = "plain", speed: float = 1.0):
    return stage.synthesise(text, "de", f"de+{voice}", speed)


def test_conforms(voices):
    stage_conformance.check_synthesiser(voices)


# --- sound ----------------------------------------------------------------------------------


def test_speaks_about_as_long_as_the_network_planned(voices):
    samples = say(voices)
    assert samples.dtype == np.float32
    assert 1.8 < len(samples) / 48_000 < 5.0
    assert -26 < 20 * np.log10(np.sqrt(np.mean(np.square(samples)))) < -14
    assert np.abs(samples).max() <= 1.0


def test_voices_differ_in_pitch_and_not_in_pace(voices):
    plain = say(voices)
    for name, factor in VARIANTS.items():
        samples = say(voices, voice=name)
        assert pitch(samples) / pitch(plain) == pytest.approx(factor, abs=0.02), name
        assert len(samples) / len(plain) == pytest.approx(1.0, abs=0.15), name


def test_neighbouring_voices_are_as_far_apart_as_can_be():
    factors = sorted(VARIANTS.values())
    assert min(b / a for a, b in itertools.pairwise(factors)) > 1.075
    assert factors[0] > 0.8
    assert factors[-1] < 1.2


def test_members_get_a_voice_that_fits_them(voices):
    names = voices.capabilities.voices["pl"]
    assert names[0] == "pl+plain"
    assert "+f" in similar("af_heart", names)
    assert "+m" in similar("am_adam", names)


def pitch(samples: np.ndarray) -> float:
    """Hertz between 95 and 160: near whose multiples a 48 kHz sound is loudest."""
    spectrum = np.abs(np.fft.rfft(samples, 480_000))  # a bin is 0.1 Hz

    def loudness(bin_: float) -> float:
        near = [slice(int(0.997 * n * bin_), int(1.003 * n * bin_) + 1) for n in range(1, 25)]
        return sum(float(spectrum[part].max()) for part in near)

    return max(range(950, 1600), key=loudness) / 10


def test_speed_is_obeyed(voices):
    slow, fast = (len(say(voices, speed=speed)) for speed in (1.0, 1.5))
    assert 1.3 < slow / fast < 1.7
    assert len(say(voices, speed=50.0)) == len(say(voices, speed=2.0))


def test_the_same_words_sound_the_same_and_nothing_else_becomes_less_random(voices):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = say(voices)
    assert torch.equal(torch.rand(3), expected)
    assert np.array_equal(first, say(voices))
    assert not np.array_equal(first[:20_000], say(voices, voice="f1")[:20_000])


def test_silence_is_trimmed_and_sentences_are_apart(voices):
    samples = say(voices, "Guten Morgen, liebe Leute. Wie geht es Ihnen denn heute?")
    audible = np.flatnonzero(np.abs(samples) > 0.01)
    assert audible[0] < 4800
    assert len(samples) - audible[-1] < 4800
    assert np.diff(audible).max() > 0.2 * 48_000


def test_long_text_is_read_in_pieces(voices):
    pieces = list(voices._readable("wort " * 2000, "de"))
    assert max(map(len, pieces)) <= 300
    assert 3800 < sum(map(len, pieces)) <= 4000
    assert list(voices._readable("a" * 700, "de")) == ["a" * 300, "a" * 300, "a" * 100]
    assert list(voices._readable("Ja, Dr. Mey. Nein! 12.\nJa", "de")) == [
        "ja dr mey", "nein zw\u00f6lf", "ja",
    ]  # fmt: skip


# --- text -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  ", "...", "\0", "🎉", "-", "你好", "²"])
def test_nothing_to_read_is_no_sound(voices, text):
    samples = say(voices, text)
    assert samples.shape == (0,)
    assert samples.dtype == np.float32


@pytest.mark.parametrize("text", ["Hallo\0 Welt", "<b>Hallo</b>", "<unk><pad>", "a\u0301" * 50])
def test_odd_text_is_spoken(voices, text):
    assert len(say(voices, text)) > 4800


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("Guten Morgen, Anna!", "guten morgen anna"),
        ("und/oder  (ja)", "und oder ja"),
        ("Caf\u00e9, Ma\u00f1ana", "cafe manana"),
        ("u\u0308ber", "\u00fcber"),
        ("Anna’s", "anna's"),
        ("a\u00adb\u200dc", "abc"),
        ("Привет Anna", "anna"),
    ],
)
def test_text_is_spelt_with_the_letters_there_are(voices, text, spelt):
    assert voices._alphabets["de"].spell(text) == spelt


def test_letters_of_several_code_points_are_kept_as_the_network_knows_them():
    composed, apart = Alphabet({"\u00fc": 0, "u": 1}, True), Alphabet({"u": 0, "\u0308": 1}, True)
    for text in ("\u00fc", "u\u0308"):
        assert composed.spell(text) == "\u00fc"
        assert apart.spell(text) == "u\u0308"


def test_tokens_are_those_of_the_tokenizer(weights, voices):
    from transformers import VitsTokenizer

    tokenizer = VitsTokenizer.from_pretrained(weights / "mms-tts" / "pol")
    for text in ("Dzień dobry, jak się masz", "łódź-ósma"):
        alphabet = voices._alphabets["pl"]
        assert alphabet.tokens(alphabet.spell(text)) == tokenizer(text).input_ids


@pytest.mark.parametrize(
    ("text", "language", "read"),
    [
        ("um 9 Uhr", "de", "um neun uhr"),
        (
            "1.500, 3,5 und 1.1.2026",
            "de",
            "eintausendf\u00fcnfhundert drei komma f\u00fcnf und eins eins",
        ),
        ("o 9", "pl", "o dziewi\u0119\u0107"),
    ],
)
def test_numbers_are_written_out(voices, text, language, read):
    spelt = voices._alphabets[language].spell(mms.spell_numbers(text, language))
    assert spelt.startswith(read)
    assert len(say(voices, "123")) > 0


def test_numbers_stay_where_no_words_are_known_for_them():
    assert mms.spell_numbers("12", "bg") == "12"


def test_what_must_be_romanised_is_served_where_uroman_is_installed(tmp_path, monkeypatch):
    tiny_mms.build(tmp_path, ["kor"], is_uroman=True)
    assert not MmsSynthesiser(tmp_path).capabilities.voices
    (tmp_path / "uroman.py").write_text(
        "class Uroman:\n    def romanize_string(self, text): return 'annyeong'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        stage = MmsSynthesiser(tmp_path)
        assert len(stage.synthesise("안녕", "ko", "ko+plain", 1.0)) > 4800
    finally:
        mms._romaniser.cache_clear()
        sys.modules.pop("uroman", None)


# --- requests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "voice", "speed", "code"),
    [
        ("tlh", "tlh+plain", 1.0, "language"),
        ("de", "pl+plain", 1.0, "voice"),
        ("de", "de+nobody", 1.0, "voice"),
        ("de", "de+plain", 0.0, "voice"),
        ("de", "de+plain", float("nan"), "voice"),
    ],
)
def test_bad_requests_are_named(voices, language, voice, speed, code):
    with pytest.raises(SynthesisError) as caught:
        voices.synthesise("Hallo", language, voice, speed)
    assert caught.value.code == code


def test_a_language_is_loaded_when_it_is_heard(weights):
    stage = MmsSynthesiser(weights)
    assert not stage._networks
    stage.prepare("tlh")
    stage.prepare("pl")
    assert list(stage._networks) == ["pl"]
    assert stage.capabilities.on_demand


def test_weights_are_read_once_so_that_their_file_may_be_replaced(weights):
    stage = MmsSynthesiser(weights)
    stage.prepare("de")
    assert str(weights) not in Path("/proc/self/maps").read_text()


def test_what_nobody_waits_for_is_given_up_in_the_middle(weights):
    stage = MmsSynthesiser(weights)
    stage.prepare("de")
    stage._networks["de"]._model.decoder.conv_pre.register_forward_hook(interruption._ask)
    stage._networks["de"]._model.decoder.conv_post.register_forward_hook(lambda *_: 1 / 0)
    try:
        with pytest.raises(WorkerError):
            say(stage)
    finally:
        interruption.reset()


# --- networks that fail ---------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1000.0, float("nan")])
def test_a_network_that_rambles_is_stopped_before_it_is_heard(weights, frames):
    stage = MmsSynthesiser(weights)
    stage.prepare("de")
    tiny_mms._slow_down(stage._networks["de"]._model, frames)
    begun = awake()
    with pytest.raises(SynthesisError) as caught:
        say(stage)
    assert caught.value.code == "bad_audio"
    assert awake() - begun < 1.0


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_what_is_no_sound_is_refused(weights, value):
    stage = MmsSynthesiser(weights)
    stage.prepare("de")
    with torch.no_grad():
        stage._networks["de"]._model.decoder.conv_post.weight.fill_(value)
    with pytest.raises(SynthesisError) as caught:
        say(stage)
    assert caught.value.code == "bad_audio"


# --- folders --------------------------------------------------------------------------------


def test_without_folders_no_language_is_served_and_nothing_heavy_is_loaded(tmp_path):
    script = (
        "import sys; from babblefish.engine.mms import MmsSynthesiser\n"
        f"stage = MmsSynthesiser({str(tmp_path)!r})\n"
        "sys.exit(len(stage.capabilities.voices) + len({'torch', 'transformers'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_folders_are_named_by_language_and_perhaps_script(tmp_path):
    tiny_mms.build(tmp_path, ["ron", "urd-script_latin", "urd-script_arabic"])
    (tmp_path / "mms-tts" / ".cache").mkdir()
    (tmp_path / "mms-tts" / "source.json").touch()
    stage = MmsSynthesiser(tmp_path)
    assert set(stage.capabilities.voices) == {"ro", "ur"}
    assert stage._folders["ur"].name == "urd-script_arabic"
    assert stage._alphabets["ro"].spell("Ești") == "eşti"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.json"])
def test_a_missing_file_is_named(copy, tmp_path, name):
    (copy / name).unlink()
    error = refused(tmp_path)
    assert error.code == "missing" and name in error.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", None),
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("vocab.json", b'{"a": "x"}'),
        ("tokenizer_config.json", b"\xff"),
    ],
)
def test_a_broken_file_is_named(copy, tmp_path, name, content):
    if content is None:
        content = (copy / name).read_bytes()[:-100]
    (copy / name).write_bytes(content)
    error = refused(tmp_path)
    assert error.code == "broken" and "deu" in error.message


def test_a_file_that_lacks_weights_is_noticed(copy, tmp_path):
    path = copy / "model.safetensors"
    weights = load_file(path)
    save_file({k: v for k, v in weights.items() if "conv_pre" not in k}, path, {"format": "pt"})
    stage = MmsSynthesiser(tmp_path)
    for use in (lambda: stage.prepare("de"), lambda: say(stage)):
        with pytest.raises(WeightsError) as caught:
            use()
        assert caught.value.code == "broken"


def test_weights_under_their_old_names_sound_the_same(voices, copy, tmp_path):
    """The published files are older than torch's present way to normalise weights."""
    path = copy / "model.safetensors"
    old = {"parametrizations.weight.original0": "weight_g",
           "parametrizations.weight.original1": "weight_v"}  # fmt: skip
    weights = load_file(path)
    renamed = {}
    for name, value in weights.items():
        for new, former in old.items():
            name = name.replace(new, former)
        renamed[name] = value
    assert renamed.keys() != weights.keys()
    save_file(renamed, path, {"format": "pt"})
    assert np.array_equal(say(MmsSynthesiser(tmp_path)), say(voices))


def test_letters_beyond_the_network_are_not_asked_of_it(copy, tmp_path):
    vocabulary = json.loads((copy / "vocab.json").read_text())
    (copy / "vocab.json").write_text(json.dumps({**vocabulary, "\u0436": 999, "<unk>": 1000}))
    stage = MmsSynthesiser(tmp_path)
    assert stage._alphabets["de"].spell("a\u0436b") == "ab"


def refused(weights_dir: Path) -> WeightsError:
    """Why it cannot be loaded."""
    with pytest.raises(WeightsError) as caught:
        MmsSynthesiser(weights_dir)
    assert "python app.py models fetch" in caught.value.message
    return caught.value


def test_nothing_reaches_for_the_network(weights, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(say(MmsSynthesiser(weights))) > 0
