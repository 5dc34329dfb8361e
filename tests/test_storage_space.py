"""A disk that takes nothing: full, read-only or no folder at all. No meeting notices."""

from __future__ import annotations

import os
import stat
import tempfile
import textwrap
from pathlib import Path

import pytest

from babblefish.errors import StorageError
from babblefish.storage.database import Database
from babblefish.storage.storage import Storage
from tests.patience import until
from tests.stored import QUICK, form, opened, python, room, said, voiceprint

FULL = textwrap.dedent("""
    import asyncio, resource, sys
    from pathlib import Path
    from babblefish.errors import StorageError
    from babblefish.storage.storage import Storage
    from tests.patience import until
    from tests.stored import QUICK, clip, form, room, said

    async def main():
        storage = Storage(Path(sys.argv[1]), max_lines=100, **QUICK)
        await storage.start()
        storage.record(room())
        ana = await storage.add_speaker("Ana")
        await storage.add_consent(ana.id, form("cloning"))
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            await storage.add_clip(ana.id, clip(audio=bytes(500_000)))
        except StorageError as error:
            print(error.code)
        await storage._submit(storage._keeper.tend)
        print(storage.health.code)
        for number in range(300):
            storage.record(said(number, "x" * 5000))
        await until(lambda: storage.health.state == "degraded")
        try:
            await storage.add_clip(ana.id, clip(audio=bytes(500_000)))
            print("kept")
        except StorageError as error:
            print(error.code in ("full", "io"))
        print(storage.health.code in ("full", "io"), storage.health.waiting, storage.health.dropped)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await until(lambda: storage.health.state == "ok")
        found = await storage.transcript("r00m")
        print([entry.spoken.sequence for entry in found] == list(range(200, 300)))
        await storage.add_clip(ana.id, clip(audio=bytes(500_000)))
        await storage.close()

    asyncio.run(main())
""")


async def test_files_that_may_not_grow_cost_old_lines_only(tmp_path):
    with python(FULL, tmp_path) as child:
        output = child.stdout.read().split("\n")
    assert output == ["full", "full", "True", "True 100 200", "True", ""], output
    assert child.returncode == 0
    assert len(os.listdir(tmp_path / "clips")) == 1


async def test_a_full_disk_is_told_and_passes(tmp_path, monkeypatch):
    async with opened(tmp_path) as storage:
        ana = await storage.add_speaker("Ana")
        await storage.add_consent(ana.id, form("voiceprint"))
        limit = [1]
        begin = Database.begin

        def bounded(self, write=True):  # SQLite itself refuses to grow, as on a full disk
            assert self._raw(f"PRAGMA max_page_count = {limit[0]}") is not None
            return begin(self, write)

        monkeypatch.setattr(Database, "begin", bounded)
        with pytest.raises(StorageError) as caught:
            for seed in range(500):
                await storage.add_embedding(ana.id, "ge2e", voiceprint(seed), 3.0)
        assert caught.value.code == "full" and "Free some" in caught.value.message
        assert storage.health.code == "full"
        limit[0] = 1_000_000
        await until(lambda: storage.health.state == "ok")
        await storage.add_embedding(ana.id, "ge2e", voiceprint(1), 3.0)


@pytest.fixture
def somebody_elses_folder():
    """A folder that this process may read but not write to, even as root; and what mends that."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o500)
        if os.geteuid() != 0:
            yield folder, lambda: folder.chmod(0o700)
            folder.chmod(0o700)
            return
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        try:
            yield folder, lambda: folder.chmod(0o700)
        finally:
            os.seteuid(0)


async def test_a_read_only_folder_is_told_and_passes(tmp_path, somebody_elses_folder):
    folder, mend = somebody_elses_folder
    storage = Storage(folder, **QUICK)
    health = await storage.start()
    try:
        assert (health.state, health.code) == ("degraded", "read_only")
        assert str(folder) in health.message and "BABBLEFISH_DATA_DIR" in health.message
        storage.record(room())
        storage.record(said(1))
        with pytest.raises(StorageError) as caught:
            await storage.add_speaker("Ana")
        assert caught.value.code == "read_only"
        mend()
        await until(lambda: storage.health.state == "ok")
        assert len(await storage.transcript("r00m")) == 1
        await storage.add_speaker("Ana")
        assert stat.S_IMODE((folder / "babblefish.db").stat().st_mode) == 0o600
    finally:
        await storage.close()


async def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "data"):
        async with opened(folder) as storage:
            assert storage.health.code == "read_only"
            storage.record(room())
            storage.record(said(1))
        assert storage.health.dropped == 1, "what never reached the disk is counted at the end"
