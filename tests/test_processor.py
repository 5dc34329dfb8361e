from __future__ import annotations

import platform

import pytest

from babblefish.engine.processor import adds_bytes_exactly


@pytest.fixture(autouse=True)
def x86(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    adds_bytes_exactly.cache_clear()
    yield
    adds_bytes_exactly.cache_clear()


@pytest.mark.parametrize(
    ("flags", "exact"),
    [
        ("fpu avx2 fma", False),
        ("fpu avx2 avx512f avx512_vnni", True),
        ("fpu avx2 avx_vnni", True),
        ("fpu avx2 avx512_vnni_like", False),
    ],
)
def test_the_flags_of_the_processor_decide(tmp_path, flags, exact):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre\n")
    assert adds_bytes_exactly(info) is exact


def test_what_cannot_be_read_counts_as_no(tmp_path):
    assert not adds_bytes_exactly(tmp_path / "missing")
    (tmp_path / "empty").write_text("")
    assert not adds_bytes_exactly(tmp_path / "empty")


def test_arm_adds_exactly_whatever_the_file_says(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert adds_bytes_exactly(tmp_path / "missing")
