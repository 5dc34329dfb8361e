"""A profile's weights from the hub, over real HTTP: whole, interrupted, altered, refused."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import filelock
import pytest

from babblefish.engine import hub, models
from babblefish.errors import WeightsError
from tests import hub_server
from tests.hub_server import FILES
from tests.small_profile import (
    MODEL,
    as_the_fetch_command,
    contents,
    fetch,
    folder,
    server,
    small,
)


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
