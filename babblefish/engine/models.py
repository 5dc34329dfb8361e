"""Which model weights are on disk, and whether they are exactly those of the catalogue.

Nothing here runs a model, and nothing reaches the network but ``fetch``. What the catalogue cannot
know (files of a repository without a pinned commit, files made by a conversion) is recorded in
``source.json`` beside the files when they are fetched, and held against that from then on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from babblefish.engine.catalogue import (
    CATALOGUE,
    COMPACT,
    VOICE_LANGUAGES,
    Choice,
    HubFile,
    Model,
    ProfileWeights,
    WeightFile,
)
from babblefish.engine.packages import pack
from babblefish.errors import WeightsError

__all__ = [
    "CATALOGUE", "COMPACT", "VOICE_LANGUAGES", "Choice", "Chosen", "HubFile", "Model",
    "ProfileWeights", "Progress", "Source", "State", "Verified", "WeightFile", "best_installed",
    "check", "chosen", "command", "fetch", "files_of", "installed", "pack", "partly_installed",
    "selection", "sha256", "silent", "state", "verify", "weights_of",
]  # fmt: skip

State = Literal["installed", "damaged", "absent"]
Progress = Callable[[str, int, int], None]
"""(what is being done, bytes done, bytes in all)"""

_SOURCE = "source.json"
_VERIFIED = "verified.json"
_CHUNK = 1 << 20


def silent(what: str, done: int, total: int) -> None:
    """A Progress that shows nothing."""


def weights_of(profile: str) -> ProfileWeights:
    """Raises WeightsError("profile") for an unknown profile."""
    if profile not in CATALOGUE:
        raise WeightsError("profile", f"Unknown profile. Known: {', '.join(CATALOGUE)}.")
    return CATALOGUE[profile]


@dataclass
class Source:
    """Where the files of one folder came from, and what they were then. Kept in the folder, so
    that it travels with it."""

    revision: str = ""
    """commit on the hub; empty while nothing was fetched"""
    files: dict[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
    """name → (bytes, sha256)"""
    converted: bool = False
    """the files were made here, from those of the hub"""

    @classmethod
    def load(cls, folder: Path) -> Source:
        """An empty one where there is none, or none that can be read."""
        try:
            known = json.loads((folder / _SOURCE).read_text())
            files = {
                str(name): (int(size), str(digest))
                for name, (size, digest) in known["files"].items()
                if Path(name).name == name
            }
            return cls(str(known["revision"]), files, known["converted"] is True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def save(self, folder: Path) -> None:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / _SOURCE, json.dumps(dataclasses.asdict(self), indent=1))


def files_of(model: Model, weights_dir: Path) -> tuple[WeightFile, ...]:
    """What belongs on disk, completed by what was recorded at the fetch. A file without a
    ``sha256`` was never fetched, or its record is lost."""
    if model.exact:
        return model.files
    source = Source.load(weights_dir / model.folder)
    if not model.converter:
        return tuple(
            file if file.sha256 or file.name not in source.files
            else dataclasses.replace(
                file, size=source.files[file.name][0], sha256=source.files[file.name][1]
            )
            for file in model.files
        )  # fmt: skip
    if not source.converted:
        return (WeightFile(f"{model.folder}/model.bin", model.converted),)
    return tuple(
        WeightFile(f"{model.folder}/{name}", size, digest)
        for name, (size, digest) in source.files.items()
    )


def state(model: Model, weights_dir: Path) -> State:
    """By names and lengths alone: reads no file but small records."""
    files = files_of(model, weights_dir)
    if all(file.sha256 and _size(weights_dir / file.path) == file.size for file in files):
        return "installed"
    traces = [weights_dir / file.path for file in files]
    traces.append(weights_dir / model.folder / _SOURCE)
    return "damaged" if any(path.is_file() for path in traces) else "absent"


def installed(profile: str, weights_dir: Path) -> bool:
    """Whether all that the profile cannot do without is there in full length. Cheap."""
    weights = weights_of(profile)

    def there(model: Model) -> bool:
        return state(model, weights_dir) == "installed"

    return all(there(model) for model in weights.models if model.required) and all(
        any(there(model) for model in choice.models)
        for choice in weights.choices if choice.required
    )  # fmt: skip


def partly_installed(profile: str, weights_dir: Path) -> bool:
    """Whether anything is there that belongs to this profile, and not to ``compact`` too."""
    weights = weights_of(profile)
    own = [m for m in weights.every_model if weights is COMPACT or m not in COMPACT.models]
    return any(state(model, weights_dir) != "absent" for model in own)


def best_installed(weights_dir: Path) -> str:
    """The best profile that is installed; ``compact`` when none is."""
    there = [profile for profile in CATALOGUE if installed(profile, weights_dir)]
    return there[-1] if there else COMPACT.profile


@dataclass(frozen=True, slots=True)
class Chosen:
    """Of what a profile may have, what it has on this machine."""

    whisper: str | None
    """size, as in folder ``whisper-<size>``"""
    nllb: str | None
    """size, as in folder ``nllb-200-<size>``"""
    voices: tuple[str, ...]
    """ISO 639-3, as in folder ``mms-tts/<code>``"""
    has_pyannote: bool


def chosen(profile: str, weights_dir: Path) -> Chosen:
    """Which of the installed models the profile uses: the largest of each kind, and all voices."""
    weights = weights_of(profile)
    there = [m for m in weights.every_model if state(m, weights_dir) == "installed"]

    def last(choice: str, fixed: str) -> str | None:
        models = next((c.models for c in weights.choices if c.option == choice), there)
        keys = [m.key for m in models if m in there and m.folder == fixed + m.key]
        return keys[-1] if keys else None

    return Chosen(
        last("whisper", "whisper-"),
        last("nllb", "nllb-200-"),
        tuple(m.key for m in there if m.folder == f"mms-tts/{m.key}"),
        any(m.folder == "pyannote-embedding" for m in there),
    )


def selection(
    profile: str, options: Mapping[str, Sequence[str]], weights_dir: Path
) -> tuple[Model, ...]:
    """The models that ``models fetch`` gets, required ones first: of each choice what ``options``
    (option → keys) names, else what is there of a kind that one is needed of, else the default.

    Raises WeightsError("choice") that names what there is.
    """
    weights = weights_of(profile)
    for option in options:
        if option not in [choice.option for choice in weights.choices]:
            raise WeightsError("choice", f"Profile {profile} has no --{option} to choose.")
    models = list(weights.models)
    for choice in weights.choices:
        there = [
            model.key for model in choice.models
            if model.required and model not in weights.models
            and state(model, weights_dir) != "absent"
        ]  # fmt: skip
        keys = options.get(choice.option) or there or choice.default
        for key in () if list(keys) == ["none"] and not choice.required else keys:
            model = choice.named(key)
            if model is None:
                known = ", ".join(m.key for m in choice.models)
                raise WeightsError(
                    "choice", f"There is no --{choice.option} {key}. There are: {known}."
                )
            models.append(model)
    return tuple(sorted(dict.fromkeys(models), key=lambda model: not model.required))


def command(profile: str, options: Mapping[str, Sequence[str]]) -> str:
    """What to type to fetch this."""
    chosen = "".join(f" --{option} {','.join(keys)}" for option, keys in options.items())
    return f"python app.py models fetch {profile}{chosen}"


def verify(
    profile: str, weights_dir: Path, *, full: bool = False, progress: Progress = silent,
    done: set[str] | None = None,
) -> None:  # fmt: skip
    """Make sure that the weights are exactly those that were published. Of models that the
    profile can do without, those that are there are checked.

    A file that was hashed before and has the same size and time since is taken as verified,
    unless ``full``. done: paths that need no second look; those checked are added.
    Raises WeightsError("missing" | "truncated" | "altered").
    """
    done = set() if done is None else done
    work = [
        (file, _fix(weights_of(profile), model))
        for model in _to_verify(weights_of(profile), weights_dir)
        for file in files_of(model, weights_dir) if file.path not in done
    ]  # fmt: skip
    check(work, weights_dir, full=full, progress=progress)
    done.update(file.path for file, _ in work)


def check(
    work: Sequence[tuple[WeightFile, str]], weights_dir: Path, *, full: bool = False,
    progress: Progress = silent,
) -> None:  # fmt: skip
    """Hold files, each with the sentence that names its fix, against what they should be; ``full``
    and errors as those of ``verify``."""
    record = Verified(weights_dir)
    total, checked = sum(file.size for file, _ in work), 0
    for file, fix in work:
        _check(file, weights_dir / file.path, fix, None if full else record,
               lambda n, before=checked: progress("Checking", before + n, total))  # fmt: skip
        record.add(file, weights_dir / file.path)
        checked += file.size
        progress("Checking", checked, total)
    record.save()


def _to_verify(weights: ProfileWeights, weights_dir: Path) -> list[Model]:
    """What is required, and what else is there, whole or not."""
    there = [m for m in weights.every_model if state(m, weights_dir) != "absent"]
    wanted = [model for model in weights.models if model.required or model in there]
    for choice in weights.choices:
        some = [model for model in choice.models if model in there]
        if not some and choice.required:
            some = [model for model in choice.models if model.key in choice.default]
        wanted += some
    return list(dict.fromkeys(wanted))


def _check(
    file: WeightFile, path: Path, fix: str, record: Verified | None, tick: Callable[[int], None]
) -> None:
    size = _size(path)
    if size is None:
        raise WeightsError("missing", f"{path} is missing. {fix}")
    if not file.sha256:
        raise WeightsError("altered", f"Nothing tells what {path} should be. {fix}")
    if size != file.size:
        raise WeightsError("truncated", f"{path} has {size} bytes instead of {file.size}. {fix}")
    if (record is None or not record.knows(file, path)) and sha256(path, tick) != file.sha256:
        raise WeightsError("altered", f"{path} is not the original. {fix}")


def fetch(
    profile: str, weights_dir: Path, *, options: Mapping[str, Sequence[str]] | None = None,
    source_dir: Path | None = None, progress: Progress = silent, endpoint: str | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """Download what is missing, assemble and verify it. May be interrupted and run again:
    what was downloaded is kept, half a file too.

    options: of each choice, the keys wanted, such as ``{"whisper": ["medium"]}``.
    source_dir: a folder with copies made by hand, instead of the network.
    endpoint: address of the hub; huggingface_hub's own (HF_ENDPOINT) unless told.
    Returns what could not be had and is not needed, as sentences for people.
    Raises WeightsError with codes of ``verify``, "download", "gated", "gone", "disk", "busy".
    """
    from babblefish.engine.fetching import Fetch

    return Fetch(
        selection(profile, options or {}, weights_dir),
        lambda: verify(profile, weights_dir, progress=progress),
        weights_dir, source_dir, progress, endpoint,
    ).run()  # fmt: skip


def sha256(path: Path, tick: Callable[[int], None] = lambda done: None) -> str:
    """tick: called with the bytes read so far."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
            done += len(block)
            tick(done)
    return digest.hexdigest()


class Verified:
    """Which files were hashed, and their size and time then."""

    def __init__(self, weights_dir: Path) -> None:
        self._path = weights_dir / _VERIFIED
        try:
            known = json.loads(self._path.read_text())
            self._known = known if isinstance(known, dict) else {}
        except (OSError, ValueError):
            self._known = {}
        self._changed = False

    def knows(self, file: WeightFile, path: Path) -> bool:
        return self._known.get(file.path) == self._entry(file, path)

    def add(self, file: WeightFile, path: Path) -> None:
        entry = self._entry(file, path)
        if self._known.get(file.path) != entry:
            self._known[file.path] = entry
            self._changed = True

    def save(self) -> None:
        if not self._changed:
            return
        try:
            _replace(self._path, json.dumps(self._known, indent=1))
        except OSError:
            self._path.with_suffix(".partial").unlink(missing_ok=True)
            # a read-only disk: hash again next time

    @staticmethod
    def _entry(file: WeightFile, path: Path) -> list[int | str]:
        stat = path.stat()
        return [stat.st_size, stat.st_mtime_ns, file.sha256]


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    os.replace(partial, path)


def _fix(weights: ProfileWeights, model: Model) -> str:
    """The command that gets ``model``."""
    if model in COMPACT.models:
        return f"Run `make setup`, or `{command(COMPACT.profile, {})}`."
    options = {
        choice.option: [model.key]
        for choice in weights.choices if model in choice.models and model.key not in choice.default
    }  # fmt: skip
    return f"Run `{command(weights.profile, options)}`."


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
