"""The faster graph of Kokoro on the disk: made once, kept beside the weights, done without."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import onnx
import pytest

from babblefish.engine import kokoro as module
from babblefish.engine import kokoro_graph
from babblefish.engine.kokoro_graph import WINDOW_INPUT
from tests.test_kokoro_graph import Sketch


@pytest.fixture
def model(tmp_path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(Sketch().model(), str(path))
    return path


def is_fast(path: Path) -> bool:
    session = module._open(path, 1)
    return WINDOW_INPUT in session.inputs


def kept_graphs(path: Path) -> list[Path]:
    return sorted(path.parent.glob("model.fast-*.onnx"))


def test_the_faster_graph_is_made_once_and_kept(model, monkeypatch):
    assert is_fast(model)
    (kept,) = kept_graphs(model)
    assert kept.stat().st_mode & 0o444 == 0o444, "other users of the machine may read it"
    assert sorted(model.parent.iterdir()) == sorted([model, kept]), "something was left behind"

    def refuse(_: onnx.ModelProto) -> onnx.ModelProto:
        raise AssertionError("made again")

    monkeypatch.setattr(kokoro_graph, "optimise", refuse)
    assert is_fast(model)
    assert kept_graphs(model) == [kept]


def test_other_weights_get_a_graph_of_their_own(model):
    assert is_fast(model)
    (before,) = kept_graphs(model)
    other = onnx.load(str(model))
    other.doc_string = "newer weights"
    onnx.save(other, str(model))
    assert is_fast(model)
    (after,) = kept_graphs(model)
    assert after != before


def test_a_folder_that_cannot_be_written_to_costs_nothing_but_time(model, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "read-only")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    assert is_fast(model)
    assert kept_graphs(model) == []


def test_a_graph_that_cannot_be_made_faster_is_used_as_it_is(model):
    plain = onnx.load(str(model))
    for node in plain.graph.node:
        for names in (node.input, node.output):
            names[:] = [name.replace("/encoder/", "/elsewhere/") for name in names]
    onnx.save(plain, str(model))
    assert not is_fast(model)


def test_a_kept_graph_that_is_damaged_is_made_again(model):
    assert is_fast(model)
    (kept,) = kept_graphs(model)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    assert is_fast(model)
    assert kept.read_bytes() == whole


def test_a_full_disk_leaves_nothing_behind(model, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert is_fast(model)
    assert list(model.parent.iterdir()) == [model]
