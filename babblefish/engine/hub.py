"""One file of the Hugging Face hub: what the hub says about it, its download, resumed where an
earlier one stopped, and copies of it that somebody put into a folder.

Addresses, tokens and the meaning of answers are huggingface_hub's business; the transfer is not:
its ``hf_hub_download`` deletes an unfinished file when it is interrupted. Knows nothing of the
catalogue. Only ``fetching.py`` imports this, and only when something is to be fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from babblefish.engine.catalogue import HubFile
from babblefish.errors import WeightsError

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""seconds before another try; as many again once something arrived"""
_BUSY = (408, 429, 500, 502, 503, 504)
_CHUNK = 1 << 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file as the hub has it."""

    file: HubFile
    url: str
    """of this commit, so that a resumed download goes on with the same file"""
    commit: str
    etag: str
    """sha256 of a large file, git's hash of a small one"""
    size: int | None
    """bytes; None where the server does not say"""


def look(file: HubFile, endpoint: str | None = None) -> Remote:
    """What the hub says about ``file``.

    Raises WeightsError("gated" | "gone" | "download").
    """
    with _explained(file):
        url = hf_hub_url(file.repo, file.name, revision=file.revision, endpoint=endpoint)
        found = _patiently(lambda: get_hf_file_metadata(url, endpoint=endpoint))
        if not found.commit_hash or not found.etag:
            raise FileMetadataError(
                "what answers is not the hub, but perhaps a proxy or a sign-in page"
            )
        commit = found.commit_hash
        fixed = hf_hub_url(file.repo, file.name, revision=commit, endpoint=endpoint)
        return Remote(file, fixed, commit, found.etag, found.size)


def download(remote: Remote, target: Path, received: Callable[[int], None]) -> None:
    """Write the file to ``target``, which appears when it is complete and is what the hub says.

    received: called with the number of bytes that came, negative for bytes that are to come again.
    Raises WeightsError("gated" | "gone" | "download" | "altered"), and OSError.
    """
    partial = _unfinished(remote, target)
    with _explained(remote.file):
        if kept(remote, target) < _length(partial):
            partial.unlink()
        pauses = iter(PAUSES)
        while (before := _length(partial)) != remote.size or not partial.is_file():
            try:
                _receive(remote, partial, before, received)
                break
            except (httpx.TransportError, HfHubHTTPError) as error:
                if _length(partial) > before:
                    pauses = iter(PAUSES)
                _pause_or_raise(pauses, error)
    if not matches(partial, remote):
        partial.unlink()
        raise WeightsError(
            "altered",
            f"What arrived as {remote.file.name} of {remote.file.repo} is not what the hub "
            "announced. Run the same command again.",
        )
    partial.replace(target)


def kept(remote: Remote, target: Path) -> int:
    """Bytes of an earlier, interrupted download that need not come again."""
    length = _length(_unfinished(remote, target))
    return length if remote.size is not None and length <= remote.size else 0


def _unfinished(remote: Remote, target: Path) -> Path:
    """Where a download gathers its bytes; another version of the file has another place."""
    return target.with_name(f"{target.name}.{remote.etag[:16]}.partial")


def matches(path: Path, remote: Remote) -> bool:
    """Whether the file at ``path`` is the hub's, as far as its server lets us know."""
    if remote.size is not None and _length(path) != remote.size:
        return False
    return has_etag(path, remote.etag)


def has_etag(path: Path, etag: str) -> bool:
    """Whether ``etag`` is the sha256 or git's hash of this file; an etag that is neither says
    nothing against it."""
    if len(etag) == 64:
        digest = hashlib.sha256()
    elif len(etag) == 40:
        digest = hashlib.sha1(b"blob %d\0" % _length(path), usedforsecurity=False)
    else:
        return True
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest() == etag


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that somebody copied."""

    path: Path
    revision: str = ""
    """commit, where the folder tells"""
    etag: str = ""
    """its hash, where the folder tells"""


def copies(file: HubFile, folder: str, source: Path) -> Iterator[Copy]:
    """Files in ``source`` that may be ``file``: in a folder named as ours, as the repository, or
    in the layout of Hugging Face's own cache, likeliest first."""
    owner, _, repo = file.repo.rpartition("/")
    for where in (source / folder, source / repo, source / owner / repo):
        if (where / file.name).is_file():
            yield Copy(where / file.name, *_noted(where, file.name))
    for where in (source, source / "hub"):
        yield from _cached(file, where / f"models--{owner}--{repo}")


def _cached(file: HubFile, cache: Path) -> Iterator[Copy]:
    main = cache / "refs" / "main"
    heads = [file.revision, main.read_text().strip() if main.is_file() else ""]
    snapshots = sorted(path.name for path in cache.glob("snapshots/*"))
    for revision in dict.fromkeys([*heads, *snapshots]):
        path = cache / "snapshots" / revision / file.name
        if revision and path.is_file():
            yield Copy(path.resolve(), revision, path.resolve().name if path.is_symlink() else "")


def _noted(where: Path, name: str) -> tuple[str, str]:
    """(commit, etag) that `hf download --local-dir` wrote down, or empty."""
    note = where / ".cache" / "huggingface" / "download" / f"{name}.metadata"
    lines = note.read_text().split() if note.is_file() else []
    return (lines[0], lines[1]) if len(lines) >= 2 else ("", "")


def _receive(remote: Remote, partial: Path, have: int, received: Callable[[int], None]) -> None:
    """Append what is missing after ``have`` bytes."""
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", remote.url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        again = have > 0 and response.status_code != 206
        if again:
            received(-have)
        with partial.open("ab" if have and not again else "wb") as out:
            for block in response.iter_bytes():
                out.write(block)
                received(len(block))


def _patiently(ask: Callable[[], T]) -> T:
    pauses = iter(PAUSES[:3])
    while True:
        try:
            return ask()
        except (httpx.TransportError, HfHubHTTPError) as error:
            _pause_or_raise(pauses, error)


def _pause_or_raise(pauses: Iterator[float], error: httpx.HTTPError) -> None:
    """Wait for the next try, unless there is none left, or none would help."""
    passing = not isinstance(error, HfHubHTTPError) or error.response.status_code in _BUSY
    pause = next(pauses, None)
    if not passing or pause is None:
        raise error
    time.sleep(pause)


@contextlib.contextmanager
def _explained(file: HubFile) -> Iterator[None]:
    """Errors of the hub and the network as WeightsErrors."""
    try:
        yield
    except GatedRepoError as error:
        raise WeightsError("gated", _gated(file.repo)) from error
    except (RevisionNotFoundError, RemoteEntryNotFoundError, RepositoryNotFoundError) as error:
        raise WeightsError(
            "gone",
            f"The hub has no {file.name} of {file.repo}, revision {file.revision}, or no longer.",
        ) from error
    except HfHubHTTPError as error:
        raise _refused(file, error) from error
    except (httpx.HTTPError, httpx.InvalidURL, OfflineModeIsEnabled, FileMetadataError) as error:
        raise WeightsError(
            "download",
            f"{file.repo} could not be downloaded. Is there a network? Finished files are kept, "
            "half ones too: run the same command again. Without a network: copy the files by hand "
            f"and name their folder with --from DIR. It said: {_first_line(error)}",
        ) from error


def _gated(repo: str) -> str:
    return (
        f"{repo} is only given to people who accepted its terms. Sign in and accept them at "
        f"https://huggingface.co/{repo}, create a token (to read) at "
        "https://huggingface.co/settings/tokens, and set HF_TOKEN to it, or run "
        "`.venv/bin/hf auth login`. Then run the same command again."
    )


def _refused(file: HubFile, error: HfHubHTTPError) -> WeightsError:
    status = error.response.status_code
    if status in (401, 403):
        return WeightsError(
            "gated",
            f"The hub refuses access to {file.repo} (status {status}). Is the token still valid "
            "that is in HF_TOKEN, or that `hf auth login` was given, and may it read this?",
        )
    return WeightsError(
        "download",
        f"The hub answers with status {status} for {file.name} of {file.repo}. Run the same "
        "command again later: what was downloaded is kept.",
    )


def _first_line(error: Exception) -> str:
    return next(itertools.chain(str(error).splitlines(), [type(error).__name__]))


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
