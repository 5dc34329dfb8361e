"""F5's networks from tiny real checkpoints: loading, batches, masks, giving up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from babblefish.accelerator import f5
from babblefish.accelerator.f5 import CheckpointFiles, F5Network, Vocabulary, Vocoder, mel_of
from babblefish.accelerator.f5_library import convert_char_to_pinyin
from babblefish.accelerator.sampling import CHANNELS, Row, Sampling, noise
from babblefish.errors import WeightsError
from tests import tiny_f5

SEVEN = Sampling(7)
pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ("A short one. Yes.", "Bonjour à tous. This is a longer sentence.", "好的。你好世界")
FRAMES = (130, 260, 90)


@pytest.fixture(scope="module")
def one_thread():
    """Networks this small wait for their threads more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1.safetensors and v0.pt, each with its vocabulary; a vocoder."""
    root = tmp_path_factory.mktemp("f5")
    tiny_f5.write_checkpoint(root / "v1" / "model.safetensors", 1)
    tiny_f5.write_checkpoint(root / "v0" / "model.pt", 1, **tiny_f5.V0)
    tiny_f5.write_vocoder(root / "vocos")
    return root


def files(folder: Path, generation: str) -> CheckpointFiles:
    name = "model.safetensors" if generation == "v1" else "model.pt"
    where = folder / generation
    return CheckpointFiles(where / name, where / "vocab.txt", generation)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=["v1", "v0"])
def network(request: pytest.FixtureRequest, folder: Path) -> F5Network:
    return F5Network(files(folder, request.param), "cpu", "fp32")


def rows(network: F5Network) -> list[Row]:
    source = np.random.default_rng(0)
    return [
        Row(
            mel_of(source.normal(0, 0.1, frames // 2 * 256).astype(np.float32)),
            network.vocabulary.numbers(convert_char_to_pinyin([text])[0]), frames, seed,
        )
        for seed, (text, frames) in enumerate(zip(TEXTS, FRAMES, strict=True))
    ]  # fmt: skip


def test_one_utterance_is_exactly_what_the_library_makes_of_it(network, folder):
    generation = "v1" if network.network.text_embed.mask_padding else "v0"
    library = tiny_f5.network(1, **({} if generation == "v1" else tiny_f5.V0))
    for row, text in zip(rows(network), TEXTS, strict=True):
        ours = network.sample([row], SEVEN)[0]
        theirs, _ = library.sample(
            cond=row.mel[None], text=convert_char_to_pinyin([text]), duration=row.frames, steps=7,
            cfg_strength=2.0, sway_sampling_coef=-1.0, seed=row.seed,
        )  # fmt: skip
        assert ours.shape == (row.frames - len(row.mel), CHANNELS)
        assert torch.allclose(ours, theirs[0, len(row.mel) :], atol=1e-5)


def test_a_batch_says_what_each_says_alone(network):
    """References, texts and lengths differ; the library's own batches differ, too: from it."""
    alone = [network.sample([row], SEVEN)[0] for row in rows(network)]
    for order in ((0, 1, 2), (2, 1), (1, 0)):
        together = network.sample([rows(network)[i] for i in order], SEVEN)
        for i, mel in zip(order, together, strict=True):
            assert mel.shape == alone[i].shape
            assert torch.allclose(mel, alone[i], atol=1e-4)


def test_what_is_said_depends_on_reference_text_noise_and_guidance(network):
    first, other, _ = rows(network)
    said = network.sample([first], SEVEN)[0]
    changes = (
        Row(first.mel.flip(0), first.tokens, first.frames, first.seed),
        Row(first.mel, other.tokens, first.frames, first.seed),
        Row(first.mel, first.tokens, first.frames, 99),
    )
    for changed in changes:
        assert not torch.allclose(said, network.sample([changed], SEVEN)[0], atol=1e-3)
    for sampling in (Sampling(7, 0.0), Sampling(12)):
        assert not torch.allclose(said, network.sample([first], sampling)[0], atol=1e-3)


def test_noise_is_the_row_s_own():
    row = Row(torch.zeros(1, CHANNELS), torch.zeros(1, dtype=torch.long), 50, 3)
    assert torch.equal(noise(row), noise(Row(torch.ones(5, CHANNELS), row.tokens, 50, 3)))
    assert not torch.equal(noise(row), noise(Row(row.mel, row.tokens, 50, 4)))


def test_it_can_be_given_up_between_two_steps_and_goes_on_with_the_next(network):
    class Enough(Exception):
        pass

    steps = iter(range(3))

    def check() -> None:
        if next(steps, None) is None:
            raise Enough

    before = network.sample([rows(network)[0]], SEVEN)[0]
    with pytest.raises(Enough):
        network.sample(rows(network), SEVEN, check)
    assert network.network.text_cond is None, "nothing of the text stays in the network"
    assert torch.equal(network.sample([rows(network)[0]], SEVEN)[0], before)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bits_stay_near_32(folder, precision):
    exact = F5Network(files(folder, "v1"), "cpu", "fp32")
    half = F5Network(files(folder, "v1"), "cpu", precision)
    assert half.network.proj_out.weight.dtype is not torch.float32
    assert half.network.rotary_embed.inv_freq.dtype is torch.float32, "positions stay exact"
    for row in rows(exact):
        near, far = half.sample([row], SEVEN)[0], exact.sample([row], SEVEN)[0]
        assert (near - far).abs().mean() < 0.02


def test_the_vocoder_makes_256_samples_of_a_frame(folder, network):
    mel = network.sample([rows(network)[0]], SEVEN)[0]
    sound = Vocoder(folder / "vocos", "cpu").speak(mel)
    assert sound.dtype == np.float32 and abs(len(sound) - 256 * len(mel)) <= 256
    assert np.isfinite(sound).all() and 0.01 < np.sqrt(np.mean(sound**2)) < 0.5


def test_a_reference_has_a_frame_for_every_256_samples():
    assert mel_of(np.zeros(24_000, np.float32)).shape == (24_000 // 256, CHANNELS)


def test_unreadable_files_are_named(folder, tmp_path):
    whole = files(folder, "v1")
    with pytest.raises(WeightsError, match=r"model\.gone is missing"):
        F5Network(CheckpointFiles(tmp_path / "model.gone", whole.vocabulary, "v1"), "cpu", "fp32")
    with pytest.raises(WeightsError, match="missing"):
        Vocabulary(tmp_path / "vocab.txt")
    for name, content in (
        ("cut.safetensors", whole.weights.read_bytes()[:5000]),
        ("cut.pt", files(folder, "v0").weights.read_bytes()[:5000]),
        ("page.safetensors", b"<html>sign in</html>"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match="cannot be read") as caught:
            F5Network(CheckpointFiles(tmp_path / name, whole.vocabulary, "v1"), "cpu", "fp32")
        assert caught.value.code == "broken"


def test_a_vocabulary_of_another_checkpoint_is_refused(folder, tmp_path):
    other = tmp_path / "vocab.txt"
    other.write_text("".join(f"{letter}\n" for letter in " abcdefghijklmnop"))
    with pytest.raises(WeightsError, match="do not belong together"):
        F5Network(CheckpointFiles(files(folder, "v1").weights, other, "v1"), "cpu", "fp32")


def test_a_checkpoint_of_something_else_is_refused(folder, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "model.pt")
    with pytest.raises(WeightsError, match="no checkpoint of F5-TTS"):
        F5Network(
            CheckpointFiles(tmp_path / "model.pt", files(folder, "v1").vocabulary, "v1"),
            "cpu", "fp32",
        )  # fmt: skip


def test_a_vocoder_file_cannot_name_code_to_run(folder, tmp_path):
    tiny_f5.write_vocoder(tmp_path)
    config = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(config.replace("vocos.heads.ISTFTHead", "os.system"))
    with pytest.raises(WeightsError, match="does not describe a Vocos"):
        Vocoder(tmp_path, "cpu")


def test_the_trainer_s_libraries_are_not_loaded():
    import subprocess
    import sys

    script = (
        "import sys; import babblefish.accelerator.f5; "
        "print(*{'wandb', 'datasets', 'accelerate', 'gradio', 'hydra'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        cwd=Path(f5.__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.split() == []
