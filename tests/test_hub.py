"""One file from the hub, over real HTTP: whole, interrupted, altered, refused."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import pytest

from babblefish.engine import hub
from babblefish.engine.catalogue import HubFile
from babblefish.errors import WeightsError
from tests import hub_server
from tests.hub_server import FILES, git_hash, sha256
from tests.patience import awake
from tests.small_profile import (
    MODEL,
    as_the_fetch_command,
    server,
    small,
)


def test_a_file_arrives_and_is_what_the_hub_says(server, small, tmp_path):
    for name, data in FILES["org/listener"].items():
        remote = hub.look(HubFile("org/listener", "main", name), server.endpoint)
        assert remote.commit == server.repos["org/listener"].main and remote.size == len(data)
        assert remote.etag == (sha256(data) if len(data) > hub_server.LARGE else git_hash(data))
        received = []
        hub.download(remote, tmp_path / name, received.append)
        assert (tmp_path / name).read_bytes() == data and sum(received) == len(data)
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_a_broken_transfer_goes_on_where_it_stopped(server, small, tmp_path, ignores_ranges):
    server.cut["model.bin"] = [100_000, 50_000]
    server.ignores_ranges = ignores_ranges
    remote = hub.look(HubFile("org/listener", "main", "model.bin"), server.endpoint)
    received = []
    hub.download(remote, tmp_path / "model.bin", received.append)
    assert (tmp_path / "model.bin").read_bytes() == MODEL
    assert sum(received) == len(MODEL), "bytes that came twice are not counted twice"
    ranges = [r.range for r in server.transfers()]
    second = 50_000 if ignores_ranges else 150_000
    assert ranges == ["", "bytes=100000-", f"bytes={second}-"]


def test_a_busy_server_is_asked_again(server, small, tmp_path):
    server.busy = 2
    remote = hub.look(HubFile("org/voice-pol", "main", "config.json"), server.endpoint)
    server.busy = 2
    hub.download(remote, tmp_path / "config.json", lambda n: None)
    server.busy = 9
    with pytest.raises(WeightsError, match="503"):
        hub.look(HubFile("org/voice-pol", "main", "config.json"), server.endpoint)


def test_a_file_of_another_version_is_not_gone_on_with(server, small, tmp_path):
    server.cut["model.bin"] = [100_000] * 4
    wanted = HubFile("org/listener", "main", "model.bin")
    server.dies = True
    with pytest.raises(WeightsError):
        hub.download(hub.look(wanted, server.endpoint), tmp_path / "model.bin", lambda n: None)
    server.off, server.cut = False, {}
    newer = b"newer " * 50_000
    server.repos["org/listener"].commit({"model.bin": newer})
    hub.download(hub.look(wanted, server.endpoint), tmp_path / "model.bin", lambda n: None)
    assert (tmp_path / "model.bin").read_bytes() == newer
    assert server.transfers()[-1].range == ""


def test_the_token_goes_to_the_hub_and_not_to_where_it_redirects(
    server, small, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "good")
    remote = hub.look(HubFile("org/people", "main", "people.bin"), server.endpoint)
    hub.download(remote, tmp_path / "people.bin", lambda n: None)
    tokens = {r.token for r in server.requests if not r.path.startswith("/content/")}
    assert tokens == {"good"}
    assert {r.token for r in server.requests if r.path.startswith("/content/")} == {""}


@pytest.mark.parametrize("repo, name, token, code, words", [
    ("org/people", "people.bin", "", "gated", ["huggingface.co/org/people", "HF_TOKEN", "again"]),
    ("org/people", "people.bin", "stranger", "gated", ["accept", "hf auth login"]),
    ("org/listener", "model.bin", "stale", "gated", ["still valid"]),
    ("org/nowhere", "x", "", "gone", ["org/nowhere"]),
    ("org/listener", "nothing", "", "gone", ["nothing", "org/listener"]),
])  # fmt: skip
def test_what_is_refused_is_explained(server, small, monkeypatch, repo, name, token, code, words):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(WeightsError) as error:
        hub.look(HubFile(repo, "main", name), server.endpoint)
    assert error.value.code == code
    assert all(word in error.value.message for word in words)
    assert len(server.requests) == 1, "nothing that a second try would change"


def test_what_is_not_a_hub_is_named(tmp_path):
    import http.server
    import threading

    class Portal(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Portal) as portal:
        threading.Thread(target=portal.serve_forever, args=(0.01,), daemon=True).start()
        with pytest.raises(WeightsError, match="sign-in page"):
            hub.look(HubFile("org/x", "main", "x"), f"http://127.0.0.1:{portal.server_port}")
        portal.shutdown()


def test_these_tests_take_no_real_pauses():
    begun = awake()
    with pytest.raises(WeightsError):
        hub.look(HubFile("org/x", "main", "x"), "http://127.0.0.1:9")
    assert awake() - begun < 2
