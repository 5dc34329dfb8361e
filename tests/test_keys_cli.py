"""``app.py keys`` beside a running server, and without one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys

import pytest
from typer.testing import CliRunner

from babblefish.errors import StorageError
from babblefish.storage import api_keys, beside
from babblefish.ui.programs.keys_cli import keys_app
from tests.patience import until
from tests.program_routes import code, programs
from tests.stored import ROOT, opened


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs ``app.py keys`` in this process: what it printed on standard output."""
    monkeypatch.setenv("BABBLEFISH_DATA_DIR", str(tmp_path))

    def command(*arguments: str) -> str:
        return CliRunner().invoke(keys_app, arguments, catch_exceptions=False).stdout

    return command


async def in_a_process(folder, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "app.py", "keys", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "BABBLEFISH_DATA_DIR": str(folder)},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_a_running_server_takes_and_drops_keys_of_the_command_line(tmp_path):
    async with programs(tmp_path) as server:
        key = (await in_a_process(tmp_path, "make", "Bridge", "--for", "translate")).strip()
        # tests' storages wait for a lock of another process for a moment only: it may be locked
        while (answer := await server.post("/translate", key, json={})).status_code == 503:
            assert code(answer) == (503, "storage")
            await asyncio.sleep(0.05)
        assert answer.json()["name"] == "Bridge", "at once"
        assert (await in_a_process(tmp_path, "list")).startswith(f"{key[:11]}  Bridge  translate  ")
        assert await in_a_process(tmp_path, "revoke", key[:11]) == "Revoked.\n"
        await until(lambda: not server.keys.all)
        assert code(await server.post("/translate", key, json={})) == (401, "api_key")
        acts = [(entry.actor, entry.act) for entry in await server.hub.storage.audit_log()]
        assert acts == [("admin", "key_revoked"), ("admin", "key_made")]
        await until(lambda: server.hub.storage.health.state == "ok")


def test_without_a_server_the_same(run, tmp_path):
    assert "No key yet" in run()
    key = run("make", "Kiosk", "--per-minute", "7", "--connections", "2").strip()
    other = run("make", "Other", "--for", "watch, speak").strip()
    assert key.startswith("bf_") and len(key) == 55
    lines = run("list").splitlines()
    assert lines[0].startswith(
        f"{key[:11]}  Kiosk  translate,transcribe,speak,rooms,watch  7 a minute, 2 open  made "
    )
    assert "speak,watch  600 a minute, 30 open" in lines[1] and "never used" in lines[1]
    assert run("revoke", other) == "Revoked.\n"
    assert len(run().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["make", "x", "--for", "everything"], "bad_value"), (["make", " "], "bad_name"),
        (["revoke", "bf_00000000"], "not_found"), (["revoke", "Kiosk"], "key"),
        (["make", "x", "--per-minute", "0"], "bad_value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(run, arguments, code):
    with pytest.raises(Exception) as caught:
        run(*arguments)
    assert caught.value.code == code


async def test_the_folder_s_owner_runs_it_and_both_are_of_one_version(tmp_path, monkeypatch):
    async with opened(tmp_path):
        with sqlite3.connect(tmp_path / "babblefish.db") as plain:
            plain.execute("UPDATE alembic_version SET version_num = '0003'")
        plain.close()
        with pytest.raises(StorageError) as caught:
            beside.transaction(tmp_path, api_keys.everything)
        assert caught.value.code == "other_version"
        monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
        with pytest.raises(StorageError, match="sudo -u") as caught:
            beside.transaction(tmp_path, api_keys.everything)
        assert caught.value.code == "not_owner"


def test_a_folder_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "babblefish.db").mkdir()
    with pytest.raises(StorageError) as caught:
        beside.transaction(tmp_path, api_keys.everything)
    assert caught.value.code in ("read_only", "io") and str(tmp_path) in caught.value.message
