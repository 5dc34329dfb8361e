from __future__ import annotations

import stat

import pytest

from babblefish.errors import StorageError
from babblefish.storage.secret import ServerSecret


def test_the_same_folder_gives_the_same_keys(tmp_path):
    first = ServerSecret.load(tmp_path / "data").sign("room", "abc")
    assert ServerSecret.load(tmp_path / "data").sign("room", "abc") == first
    assert len(first) == 32


def test_only_the_owner_may_read_it_and_nothing_else_is_left(tmp_path):
    ServerSecret.load(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


def test_a_key_holds_for_one_value_and_one_purpose():
    secret = ServerSecret()
    key = secret.sign("room", "abc")
    assert secret.verify("room", "abc", key)
    assert not secret.verify("room", "abd", key)
    assert not secret.verify("person", "abc", key)
    assert not secret.verify("room", "abc", "ü")
    assert not ServerSecret().verify("room", "abc", key)


def test_damage_is_told_with_the_fix(tmp_path):
    (tmp_path / "secret.key").write_bytes(b"short")
    with pytest.raises(StorageError, match="Delete it"):
        ServerSecret.load(tmp_path)


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(StorageError, match="Check the folder"):
        ServerSecret.load(tmp_path / "data")
