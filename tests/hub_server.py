"""A small hub on this machine: real HTTP, the resolve protocol of huggingface.co, and the faults
that a real one has. And a catalogue of small weights that live on it.

As on huggingface.co, files above a size are redirected to another host (``localhost`` here, which
stands for the content network), their ``X-Linked-Etag`` is the sha256; the ETag of small ones is
git's hash. An unknown repository answers 401, like one that is private.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from babblefish.engine.catalogue import Choice, HubFile, Model, ProfileWeights, WeightFile

LARGE = 10_000
"""bytes above which a file is stored like a large one"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class Repo:
    token: str = ""
    """whose it takes to read it; empty: anybody's"""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """the last one is main"""

    def commit(self, files: dict[str, bytes]) -> str:
        before = list(self.commits.values())[-1] if self.commits else {}
        name = hashlib.sha1(repr([len(self.commits), files]).encode()).hexdigest()
        self.commits[name] = {**before, **files}
        return name

    @property
    def main(self) -> str:
        return list(self.commits)[-1]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str
    token: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class HubServer:
    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.cut: dict[str, list[int]] = {}
        """file → after how many bytes its next transfers break off"""
        self.dies = False
        """whether a cut is the last thing that the server does"""
        self.off = False
        """hangs up on everybody"""
        self.busy = 0
        """how many requests are answered with 503"""
        self.ignores_ranges = False
        self.replaced: dict[str, bytes] = {}
        """file → what is sent instead, under its own name and hash"""
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> HubServer:
        hub = self

        class Handler(_Handler):
            server_of_files = hub

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that hung up is no error here."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def repo(self, name: str, files: dict[str, bytes], token: str = "") -> Repo:
        self.repos[name] = Repo(token)
        self.repos[name].commit(files)
        return self.repos[name]

    def transfers(self) -> list[Request]:
        """Requests that asked for content, where it was delivered from."""
        return [
            r for r in self.requests
            if r.method == "GET" and (r.path.startswith("/content/") or not self._is_large(r.path))
        ]  # fmt: skip

    def _is_large(self, path: str) -> bool:
        repo, revision, name = parse(path)
        files = self.repos[repo].commits.get(revision, {}) if repo in self.repos else {}
        return len(files.get(name, b"")) >= LARGE


def parse(path: str) -> tuple[str, str, str]:
    """(repository, revision, file)"""
    match = re.fullmatch(r"(?:/content)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
    return (match[1], match[2], match[3]) if match else ("", "", "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_files: HubServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server_of_files
        path = urlsplit(self.path).path
        if hub.off:
            self.close_connection = True
            return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        asked = self.headers.get("Range", "")
        hub.requests.append(Request(self.command, path, asked, token))
        if hub.busy:
            hub.busy -= 1
            return self._refuse(503, "")
        name, revision, file = parse(path)
        repo = hub.repos.get(name)
        if repo is None:
            return self._refuse(401, "RepoNotFound")
        content = path.startswith("/content/")
        if token not in ("", "good", "stranger"):
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if repo.token and not content and token != repo.token:
            return self._refuse(403 if token else 401, "GatedRepo")
        commit = repo.main if revision == "main" else revision
        if commit not in repo.commits:
            return self._refuse(404, "RevisionNotFound")
        if file not in repo.commits[commit]:
            return self._refuse(404, "EntryNotFound")
        data = repo.commits[commit][file]
        if len(data) >= LARGE and not content:
            return self._redirect(path.replace("/main/", f"/{commit}/"), data, commit)
        self._send(file, data, {"X-Repo-Commit": commit, "ETag": f'"{git_hash(data)}"'})

    def _refuse(self, status: int, code: str, message: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _redirect(self, path: str, data: bytes, commit: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"http://localhost:{self.server_of_files.port}/content{path}")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("X-Linked-Etag", f'"{sha256(data)}"')
        self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, file: str, data: bytes, headers: dict[str, str]) -> None:
        hub = self.server_of_files
        data = hub.replaced.get(file, data)
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and not hub.ignores_ranges:
            start = int(asked[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = data[start:]
        if hub.cut.get(file):
            body = body[: hub.cut[file].pop(0)]
            hub.off = hub.dies
            self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)


def join_files(source: Path, target: Path) -> None:
    """A conversion as the catalogue may name one."""
    target.mkdir()
    (target / "model.bin").write_bytes(b"converted " + (source / "weights.bin").read_bytes())
    (target / "config.json").write_bytes((source / "config.json").read_bytes().upper())


FILES = {
    "org/listener": {"config.json": b'{"n": 1}', "model.bin": b"listen " * 50_000},
    "org/translator": {"config.json": b'{"n": 2}', "weights.bin": b"translate " * 20_000},
    "org/voice-pol": {"config.json": b'{"n": 3}', "model.safetensors": b"polish " * 10_000},
    "org/voice-deu": {"config.json": b'{"n": 4}', "model.safetensors": b"german " * 10_000},
    "org/people": {"people.bin": b"people " * 5_000},
}
"""repository → its files"""


def fill(hub: HubServer) -> ProfileWeights:
    """Put FILES on the hub; a profile "small" that needs them, as the real ones need theirs."""
    for name, files in FILES.items():
        hub.repo(name, files, token="good" if name == "org/people" else "")
    listener = Model(
        "Listener", "MIT", True, _files(hub, "listener", "listener", pinned=True, hashed=True)
    )
    translator = Model(
        "Translator", "CC-BY-NC-4.0", False,
        _files(hub, "translator", "translator-1", pinned=True, hashed=False),
        key="1", converter="tests.hub_server:join_files", converted=200_000,
    )  # fmt: skip
    voices = tuple(
        Model(f"Voice {iso}", "CC-BY-NC-4.0", False,
              _files(hub, f"voice-{iso}", f"voices/{iso}", pinned=False, hashed=False),
              required=False, key=iso, without="a robot speaks")
        for iso in ("pol", "deu")
    )  # fmt: skip
    people = Model(
        "People", "MIT", True, _files(hub, "people", "people", pinned=True, hashed=True),
        required=False, gated=True, without="nobody is told apart",
    )  # fmt: skip
    return ProfileWeights(
        "small", "for tests", (people, listener),
        (Choice("translator", (translator,), ("1",)),
         Choice("voices", voices, ("pol",), several=True)),
        memory=1,
    )  # fmt: skip


def _files(
    hub: HubServer, repo: str, folder: str, *, pinned: bool, hashed: bool
) -> tuple[WeightFile, ...]:
    revision = hub.repos[f"org/{repo}"].main if pinned else "main"
    return tuple(
        WeightFile(
            f"{folder}/{name}", len(data) if hashed else 1_000_000, sha256(data) if hashed else "",
            hub=HubFile(f"org/{repo}", revision, name),
        )
        for name, data in FILES[f"org/{repo}"].items()
    )  # fmt: skip
