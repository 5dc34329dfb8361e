"""The table of checkpoints, and how their files get here."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from babblefish.accelerator import checkpoints
from babblefish.accelerator.checkpoints import BASE, CHECKPOINTS, VOCOS
from babblefish.errors import WeightsError
from babblefish.languages import normalise
from tests import tiny_f5


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repositories of the base, of French and of Vocos, as somebody copied them by hand."""
    made, copies = (tmp_path_factory.mktemp(name) for name in ("made", "copies"))
    tiny_f5.install(made, "base", "fr")
    for model in (VOCOS, BASE.model, checkpoints.named("fr").model):
        for file in model.files:
            assert file.hub is not None
            target = copies / file.hub.repo.rpartition("/")[2] / file.hub.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(made / file.path, target)
    return copies


def test_the_table_is_sound():
    keys = [checkpoint.key for checkpoint in CHECKPOINTS]
    folders = [checkpoint.model.folder for checkpoint in CHECKPOINTS]
    assert len(set(keys)) == len(keys) and len(set(folders)) == len(folders)
    for checkpoint in CHECKPOINTS:
        weights, vocabulary = checkpoint.model.files
        assert weights.path.endswith((".safetensors", ".pt")) and vocabulary.path.endswith(".txt")
        assert all(normalise(language) == language for language in checkpoint.languages)
        assert checkpoint.model.licence
    assert not BASE.model.commercial and checkpoints.named("hi").model.commercial
    assert "NC" in checkpoints.NOTE


def test_it_is_the_list_that_the_library_keeps():
    listed = (tiny_f5.vocabulary_file().parents[1] / "SHARED.md").read_text()
    for checkpoint in CHECKPOINTS:
        weights, vocabulary = (file.hub for file in checkpoint.model.files)
        assert f"huggingface.co/{weights.repo}" in listed
        if checkpoint.key not in ("ar", "es"):  # where it names no file
            assert f"hf://{weights.repo}/{weights.name}" in listed
            assert f"hf://{vocabulary.repo}/{vocabulary.name}" in listed


def test_a_checkpoint_is_named_by_key_or_language():
    assert checkpoints.named("zh") is checkpoints.named("EN") is BASE
    with pytest.raises(WeightsError, match="There are: base, ar, de") as caught:
        checkpoints.named("tlh")
    assert caught.value.code == "choice"


def test_files_copied_by_hand_are_installed_and_their_languages_spoken(copied, tmp_path):
    said: list[str] = []
    assert checkpoints.installed(tmp_path) == ()
    checkpoints.fetch(["fr"], tmp_path, source_dir=copied,
                      progress=lambda what, done, total: said.append(what))  # fmt: skip
    assert set(checkpoints.speakers_of(tmp_path)) == {"fr"}
    assert any("f5/fr" in what for what in said)
    checkpoints.fetch(["en", "zh"], tmp_path, source_dir=copied)
    assert set(checkpoints.speakers_of(tmp_path)) == {"en", "zh", "fr"}
    checkpoints.verify(BASE, tmp_path)


def test_what_is_missing_is_named_with_its_place(copied, tmp_path):
    with pytest.raises(WeightsError, match="F5-TTS-German") as caught:
        checkpoints.fetch(["de"], tmp_path, source_dir=copied)
    assert caught.value.code == "download"
    assert checkpoints.installed(tmp_path) == ()


def test_weights_that_changed_are_found_before_they_are_loaded(copied, tmp_path):
    checkpoints.fetch(["base"], tmp_path, source_dir=copied)
    path = BASE.weights(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError, match=r"not the original.*--fetch base"):
        checkpoints.verify(BASE, tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    assert checkpoints.installed(tmp_path) == ()


def test_without_the_vocoder_nothing_is_spoken(copied, tmp_path):
    checkpoints.fetch(["base"], tmp_path, source_dir=copied)
    (tmp_path / VOCOS.folder / "pytorch_model.bin").unlink()
    assert checkpoints.speakers_of(tmp_path) == {}


def test_a_fetch_without_a_network_says_so(tmp_path, monkeypatch):
    from babblefish.engine import hub

    monkeypatch.setattr(hub, "PAUSES", ())
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(WeightsError, match="Is there a network") as caught:
        checkpoints.fetch(["base"], tmp_path, endpoint=endpoint)
    assert caught.value.code == "download"
