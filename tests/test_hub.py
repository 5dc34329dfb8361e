"""Weights from the hub, over real HTTP: whole, interrupted, altered, refused, and by hand."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import filelock
import huggingface_hub
import pytest

from babblefish.engine import catalogue, fetching, hub, models
from babblefish.engine.catalogue import HubFile
from babblefish.errors import WeightsError
from tests import hub_server
from tests.hub_server import FILES, HubServer, git_hash, sha256

MODEL = FILES["org/listener"]["model.bin"]


@pytest.fixture(autouse=True)
def as_the_fetch_command(tmp_path, monkeypatch):
    """Online, without pauses, and with nobody's token but what a test sets."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hub, "PAUSES", (0.0, 0.0, 0.0))


@pytest.fixture
def server():
    with HubServer() as running:
        yield running


@pytest.fixture
def small(server, monkeypatch):
    weights = hub_server.fill(server)
    monkeypatch.setitem(models.CATALOGUE, "small", weights)
    return weights


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "weights"


def fetch(server, folder, **more) -> tuple[str, ...]:
    return models.fetch("small", folder, endpoint=server.endpoint, **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "source.json"}


# one file


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


# a profile


def test_a_profile_is_fetched_checked_and_recorded(server, small, folder):
    notices = fetch(server, folder)
    assert models.installed("small", folder) and models.best_installed(folder) == "small"
    assert contents(folder / "listener") == FILES["org/listener"]
    assert contents(folder / "voices/pol") == FILES["org/voice-pol"]
    assert not (folder / "voices/deu").exists() and not (folder / "downloads").exists()
    assert contents(folder / "translator-1") == {
        "model.bin": b"converted " + FILES["org/translator"]["weights.bin"],
        "config.json": b'{"N": 2}',
    }, "converted, and the fetched files are gone"
    assert len(notices) == 1 and "nobody is told apart" in notices[0], "the gated one"
    models.verify("small", folder, full=True)
    asked = len(server.requests)
    fetch(server, folder, options={"voices": ["pol"]})
    assert {r.name for r in server.requests[asked:]} == {"people.bin"}, "nothing twice"


def test_progress_is_byte_accurate(server, small, folder):
    seen = []
    fetch(server, folder, progress=lambda *step: seen.append(step))
    down = [s for s in seen if s[0] != "Checking"]
    assert all(0 <= done <= total for _, done, total in seen)
    _, done, total = down[-1]
    expected = sum(len(d) for r in ("listener", "translator", "voice-pol")
                   for d in FILES[f"org/{r}"].values())  # fmt: skip
    assert done == expected
    assert total == expected + len(FILES["org/people"]["people.bin"])
    assert len([s for s in down if s[0].endswith("listener/model.bin")]) > 3, "while it runs"
    checks = [s for s in seen if s[0] == "Checking"]
    assert checks[-1][1] == checks[-1][2]


def test_promise_11_a_killed_fetch_resumes_with_a_range_and_keeps_what_it_had(
    server, small, folder
):
    def kill(what, done, total):
        if what.endswith("listener/model.bin") and done > 150_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server, folder, progress=kill)
    assert models.state(small.models[1], folder) == "absent", "not damaged: not there yet"
    (partial,) = folder.rglob("*.partial")
    have = partial.stat().st_size
    assert 0 < have < len(MODEL)
    asked = len(server.transfers())
    seen = []
    fetch(server, folder, progress=lambda *step: seen.append(step))
    later = server.transfers()[asked:]
    assert [r.range for r in later if "listener" in r.path] == [f"bytes={have}-"]
    assert contents(folder / "listener") == FILES["org/listener"]
    rest = len(MODEL) - have + sum(
        len(data) for repo in ("translator", "voice-pol") for data in FILES[f"org/{repo}"].values()
    )  # fmt: skip
    assert [s for s in seen if s[0] != "Checking"][-1][1] == rest, "only what came now"


def test_promise_11_without_a_network_the_message_says_what_to_do(server, small, folder):
    server.cut, server.dies = {"model.bin": [90_000]}, True
    with pytest.raises(WeightsError) as error:
        fetch(server, folder)
    server.__exit__()
    with pytest.raises(WeightsError) as second:
        fetch(server, folder)
    for raised in (error, second):
        assert raised.value.code == "download"
        assert "network" in raised.value.message and "--from DIR" in raised.value.message
        assert "again" in raised.value.message
    assert not models.installed("small", folder)
    server.off, server.dies = False, False
    with server:
        fetch(server, folder)
    assert [r.range for r in server.transfers() if r.name == "model.bin"] == ["", "bytes=90000-"]
    assert models.installed("small", folder)


def test_promise_11_altered_on_the_way_nothing_is_installed(server, small, folder):
    server.replaced["model.bin"] = MODEL[:-7] + b"altered"
    with pytest.raises(WeightsError) as error:
        fetch(server, folder)
    assert error.value.code == "altered" and "again" in error.value.message
    assert not (folder / "listener").exists() and not list(folder.rglob("model.bin*"))
    server.replaced.clear()
    fetch(server, folder)
    assert contents(folder / "listener") == FILES["org/listener"]


@pytest.mark.parametrize("name, transferred", [("model.bin", 0), ("config.json", 1)])
def test_promise_11_altered_at_its_source_nothing_is_installed(
    server, small, folder, name, transferred
):
    data = FILES["org/listener"][name]
    server.repos["org/listener"].commits[server.repos["org/listener"].main][name] = data[::-1]
    with pytest.raises(WeightsError) as error:
        fetch(server, folder)
    assert error.value.code == "altered" and name in error.value.message
    assert not (folder / "listener").exists()
    assert len([r for r in server.transfers() if r.name == name]) == transferred, "seen at once"


def test_without_a_pin_the_first_commit_is_kept_to(server, small, folder):
    fetch(server, folder)
    repo = server.repos["org/voice-pol"]
    first = repo.main
    assert models.Source.load(folder / "voices/pol").revision == first
    repo.commit({"config.json": b"{}", "model.safetensors": b"other " * 10_000})
    (folder / "voices/pol/model.safetensors").unlink()
    with pytest.raises(WeightsError) as error:
        models.verify("small", folder)
    assert error.value.code == "missing" and "models fetch small" in error.value.message
    fetch(server, folder)
    assert contents(folder / "voices/pol") == FILES["org/voice-pol"]


def test_without_a_pin_a_killed_fetch_goes_on_with_the_same_commit(server, small, folder):
    def kill(what, done, total):
        if what.endswith("voices/pol/model.safetensors"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server, folder, progress=kill)
    server.repos["org/voice-pol"].commit({"config.json": b"{}", "model.safetensors": b"x" * 50_000})
    fetch(server, folder)
    assert contents(folder / "voices/pol") == FILES["org/voice-pol"]


def test_copies_of_an_unknown_commit_are_replaced_together(server, small, folder, tmp_path):
    by_repository(tmp_path / "source")
    models.fetch("small", folder, source_dir=tmp_path / "source")
    newer = {"config.json": b"{}", "model.safetensors": b"newer " * 10_000}
    server.repos["org/voice-pol"].commit(newer)
    (folder / "voices/pol/config.json").unlink()
    fetch(server, folder)
    assert contents(folder / "voices/pol") == newer
    assert models.Source.load(folder / "voices/pol").revision == server.repos["org/voice-pol"].main


def test_a_lost_record_is_made_again_without_downloading(server, small, folder):
    fetch(server, folder)
    (folder / "voices/pol/source.json").write_text("{")
    assert models.state(small.choices[1].models[0], folder) == "damaged"
    with pytest.raises(WeightsError) as error:
        models.verify("small", folder)
    assert error.value.code == "altered"
    asked = len(server.transfers())
    fetch(server, folder)
    assert not [r for r in server.transfers()[asked:] if "voice" in r.path]
    models.verify("small", folder, full=True)


def test_gated_weights_come_with_a_token_and_the_rest_comes_without(
    server, small, folder, monkeypatch
):
    (notice,) = fetch(server, folder)
    assert "huggingface.co/org/people" in notice and "HF_TOKEN" in notice and "again" in notice
    assert models.installed("small", folder)
    monkeypatch.setenv("HF_TOKEN", "good")
    asked = len(server.transfers())
    assert fetch(server, folder) == ()
    assert contents(folder / "people") == FILES["org/people"]
    assert {r.name for r in server.transfers()[asked:]} == {"people.bin"}


def test_a_missing_voice_is_a_notice_and_the_rest_comes(server, small, folder):
    del server.repos["org/voice-pol"]
    notices = fetch(server, folder, options={"voices": ["pol", "deu"]})
    assert any("org/voice-pol" in n and "a robot speaks" in n for n in notices)
    assert contents(folder / "voices/deu") == FILES["org/voice-deu"]


HARMS = [
    (lambda path: path.unlink(), "missing"),
    (lambda path: path.write_bytes(path.read_bytes()[:-7]), "truncated"),
    (lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]), "altered"),
]


@pytest.mark.parametrize("harm, code", HARMS)
@pytest.mark.parametrize("path", ["translator-1/model.bin", "voices/pol/model.safetensors"])
def test_promise_11_harm_is_found_in_files_whose_hash_was_recorded(
    server, small, folder, path, harm, code
):
    fetch(server, folder)
    harm(folder / path)
    with pytest.raises(WeightsError) as error:
        models.verify("small", folder)
    assert error.value.code == code and Path(path).name in error.value.message
    assert "models fetch small" in error.value.message
    fetch(server, folder)
    models.verify("small", folder, full=True)


def test_a_conversion_that_is_killed_is_done_again_without_downloading(
    server, small, folder, monkeypatch
):
    def killed(source, target):
        target.mkdir()
        (target / "model.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hub_server, "join_files", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch(server, folder)
    assert not (folder / "translator-1").exists()
    asked = len(server.transfers())
    fetch(server, folder)
    assert not [r for r in server.transfers()[asked:] if "translator" in r.path]
    models.verify("small", folder, full=True)


def test_only_one_fetch_at_a_time(server, small, folder):
    (folder / "downloads").mkdir(parents=True)
    with filelock.FileLock(folder / "downloads/lock"):
        with pytest.raises(WeightsError) as error:
            fetch(server, folder)
    assert error.value.code == "busy"


def test_a_disk_that_is_too_small_is_named_at_once(server, small, folder, monkeypatch):
    usage = shutil.disk_usage(folder.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(WeightsError) as error:
        fetch(server, folder)
    assert error.value.code == "disk" and "GB free" in error.value.message
    assert not server.requests


def test_a_disk_that_fills_up_is_named_and_what_came_is_kept(server, small, folder, monkeypatch):
    original = hub._receive

    def full(remote, partial, have, received):
        if remote.file.name == "model.bin" and not have:
            partial.write_bytes(MODEL[:1000])
            raise OSError(28, "No space left on device")
        original(remote, partial, have, received)

    monkeypatch.setattr(hub, "_receive", full)
    with pytest.raises(WeightsError) as error:
        fetch(server, folder)
    assert error.value.code == "disk" and "No space left" in error.value.message
    fetch(server, folder)
    assert [r.range for r in server.transfers() if r.name == "model.bin"] == ["bytes=1000-"]


# by hand


def by_folder_name(source: Path) -> None:
    for repo, place in (("listener", "listener"), ("translator", "translator-1")):
        put(source / place, FILES[f"org/{repo}"])


def by_repository(source: Path) -> None:
    for repo in ("listener", "translator", "voice-pol"):
        put(source / repo, FILES[f"org/{repo}"])


def by_owner_and_repository(source: Path) -> None:
    for repo in ("listener", "translator"):
        put(source / "org" / repo, FILES[f"org/{repo}"])


def by_cache(source: Path) -> None:
    for repo in ("listener", "translator", "voice-pol"):
        base = source / f"models--org--{repo}"
        put(base / "snapshots/c0ffee", {})
        put(base / "blobs", {sha256(d): d for d in FILES[f"org/{repo}"].values()})
        for name, data in FILES[f"org/{repo}"].items():
            (base / "snapshots/c0ffee" / name).symlink_to(base / "blobs" / sha256(data))


def by_home_of_the_cache(source: Path) -> None:
    by_cache(source / "hub")


def put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    "layout",
    [by_folder_name, by_repository, by_owner_and_repository, by_cache, by_home_of_the_cache],
)
def test_weights_copied_by_hand_are_taken(server, small, folder, tmp_path, layout):
    layout(tmp_path / "source")
    notices = models.fetch("small", folder, source_dir=tmp_path / "source")
    assert not server.requests
    assert models.installed("small", folder)
    assert contents(folder / "listener") == FILES["org/listener"]
    assert (folder / "translator-1/model.bin").read_bytes().startswith(b"converted")
    assert any("people.bin" in n and "nobody is told apart" in n for n in notices)
    voice = (folder / "voices/pol").exists()
    assert voice == (layout in (by_repository, by_cache, by_home_of_the_cache))
    if "cache" in layout.__name__:
        assert models.Source.load(folder / "voices/pol").revision == "c0ffee"
    models.verify("small", folder, full=True)


def test_the_weights_of_another_machine_are_taken_whole(server, small, folder, tmp_path):
    fetch(server, folder)
    asked = len(server.requests)
    models.fetch("small", tmp_path / "second", source_dir=folder)
    assert len(server.requests) == asked
    for name in ("listener", "translator-1", "voices/pol"):
        assert contents(tmp_path / "second" / name) == contents(folder / name)
        theirs = models.Source.load(folder / name)
        assert models.Source.load(tmp_path / "second" / name) == theirs
    models.verify("small", tmp_path / "second", full=True)


def test_copies_on_another_disk_are_copied(small, tmp_path, monkeypatch):
    by_repository(tmp_path / "source")
    monkeypatch.setattr(fetching.os, "link", refuse)
    models.fetch("small", tmp_path / "weights", source_dir=tmp_path / "source")
    assert contents(tmp_path / "weights/listener") == FILES["org/listener"]
    assert not list((tmp_path / "weights").rglob("*.partial"))


def refuse(*args: object, **kwargs: object) -> None:
    raise OSError(18, "Invalid cross-device link")


@pytest.mark.parametrize("layout, name", [
    (by_repository, "listener/model.bin"),
    (by_cache, f"models--org--voice-pol/blobs/{sha256(FILES['org/voice-pol']['config.json'])}"),
])  # fmt: skip
def test_promise_11_a_bad_copy_is_refused(small, folder, tmp_path, layout, name):
    layout(tmp_path / "source")
    path = tmp_path / "source" / name
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(WeightsError) as error:
        models.fetch("small", folder, source_dir=tmp_path / "source")
    assert error.value.code == "altered" and str(path) in error.value.message
    assert not (folder / "listener").exists() or "voice" in name


def test_a_bad_copy_is_found_by_the_note_of_the_download_command(small, folder, tmp_path):
    by_repository(tmp_path / "source")
    voice = tmp_path / "source/voice-pol"
    put(voice / ".cache/huggingface/download", {
        f"{name}.metadata": f"c0ffee\n{sha256(data)}\n1.5\n".encode()
        for name, data in FILES["org/voice-pol"].items()
    })  # fmt: skip
    whole = (voice / "model.safetensors").read_bytes()
    (voice / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(WeightsError, match="not the original"):
        models.fetch("small", folder, source_dir=tmp_path / "source")
    (voice / "model.safetensors").write_bytes(whole)
    models.fetch("small", folder, source_dir=tmp_path / "source")
    assert models.Source.load(folder / "voices/pol").revision == "c0ffee"


def test_a_missing_copy_is_named_with_its_place(small, folder, tmp_path):
    by_repository(tmp_path / "source")
    (tmp_path / "source/listener/model.bin").unlink()
    with pytest.raises(WeightsError) as error:
        models.fetch("small", folder, source_dir=tmp_path / "source")
    assert error.value.code == "download"
    assert "no model.bin of" in error.value.message and "source/listener" in error.value.message
    assert not (folder / "listener").exists()
    with pytest.raises(WeightsError, match="There is no folder"):
        models.fetch("small", folder, source_dir=tmp_path / "nowhere")


# offline


def test_promise_28_a_start_opens_no_socket(server, small, folder, monkeypatch):
    fetch(server, folder)
    asked = len(server.requests)

    def no_socket(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", no_socket)
    monkeypatch.setattr(socket, "create_connection", no_socket)
    monkeypatch.setattr(socket, "getaddrinfo", no_socket)
    assert models.installed("small", folder)
    assert models.best_installed(folder) == "small"
    assert models.chosen("seamless", folder).voices == ()
    models.verify("small", folder)
    (folder / "listener/model.bin").unlink()
    with pytest.raises(WeightsError):
        models.verify("small", folder, full=True)
    assert len(server.requests) == asked


# the real catalogue


def test_every_file_of_the_hub_is_in_its_models_folder_and_hashed_or_not_by_intent():
    for weights in models.CATALOGUE.values():
        for model in weights.every_model:
            assert len({file.path.rpartition("/")[0] for file in model.files}) == 1
            for file in model.files:
                assert bool(file.parts) != bool(file.hub)
                assert len(file.sha256) in (0, 64) and file.size > 0
                if file.hub and file.hub.revision != "main":
                    assert len(file.hub.revision) == 40 and file.sha256 == file.sha256.lower()
    unpinned = {
        file.hub.repo.partition("-")[0]
        for weights in models.CATALOGUE.values() for model in weights.every_model
        for file in model.files if file.hub and file.hub.revision == "main"
    }  # fmt: skip
    assert unpinned == {"facebook/mms"}


def test_profiles_share_what_they_share():
    for weights in (catalogue.WHISPER_NLLB, catalogue.SEAMLESS):
        assert set(catalogue.COMPACT.models) <= set(weights.models)
    assert catalogue.WHISPER_BASE in catalogue.WHISPERS


def test_these_tests_take_no_real_pauses():
    begun = time.monotonic()
    with pytest.raises(WeightsError):
        hub.look(HubFile("org/x", "main", "x"), "http://127.0.0.1:9")
    assert time.monotonic() - begun < 2
