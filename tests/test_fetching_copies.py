"""A profile's weights from a folder of copies, without a network."""
# ruff: noqa: F401, F811  (fixtures are imported by name)

from __future__ import annotations

from pathlib import Path

import pytest

from babblefish.engine import fetching, models
from babblefish.errors import WeightsError
from tests.hub_server import FILES, sha256
from tests.small_profile import (
    as_the_fetch_command,
    contents,
    fetch,
    folder,
    server,
    small,
)


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


def test_copies_of_an_unknown_commit_are_replaced_together(server, small, folder, tmp_path):
    by_repository(tmp_path / "source")
    models.fetch("small", folder, source_dir=tmp_path / "source")
    newer = {"config.json": b"{}", "model.safetensors": b"newer " * 10_000}
    server.repos["org/voice-pol"].commit(newer)
    (folder / "voices/pol/config.json").unlink()
    fetch(server, folder)
    assert contents(folder / "voices/pol") == newer
    assert models.Source.load(folder / "voices/pol").revision == server.repos["org/voice-pol"].main
