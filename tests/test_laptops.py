"""The registry of paired laptops: over restarts and crashes, in trouble, and what has to be
forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from babblefish.engine.cloning import Cloning, Laptop
from babblefish.errors import RoomError, StorageError
from babblefish.storage.records import LaptopDebt
from babblefish.storage.secret import ServerSecret
from babblefish.storage.storage import Storage
from rooms import laptops as laptops_module
from rooms.laptops import MOST_LAPTOPS, Laptops
from tests import fakes_hub
from tests.patience import until
from tests.scripted_laptop import ScriptedLaptop
from tests.stored import QUICK, clip, contains, form, opened, python

pytestmark = pytest.mark.asyncio


@contextlib.asynccontextmanager
async def registry(folder: Path | None, known=tuple) -> AsyncIterator[Laptops]:
    storage = Storage(folder, **QUICK) if folder else None
    secret = ServerSecret.load(folder) if folder else ServerSecret()
    cloning = Cloning()
    laptops = Laptops(secret, cloning, storage, known)
    if storage is not None:
        await storage.start()
    await laptops.start()
    try:
        yield laptops
    finally:
        await laptops.close()
        await cloning.close()
        if storage is not None:
            await storage.close()


class Wire:
    """A socket between the server and a scripted laptop in this process."""

    def __init__(self, laptop: ScriptedLaptop) -> None:
        self._laptop = laptop
        self._answers: asyncio.Queue[str] = asyncio.Queue()

    async def send(self, text: str) -> None:
        from babblefish.accelerator_protocol import message_for_laptop

        for answer in self._laptop.answer(message_for_laptop(text)):
            self._answers.put_nowait(answer.model_dump_json())

    async def receive(self) -> str:
        return await self._answers.get()


@contextlib.asynccontextmanager
async def back(laptop: Laptop, scripted: ScriptedLaptop) -> AsyncIterator[None]:
    """``laptop`` has dialled in."""
    attached = asyncio.create_task(laptop.attach(Wire(scripted)))
    try:
        yield
    finally:
        laptop.detach()
        await attached


# --- who they are ---------------------------------------------------------------------------


async def test_a_laptop_is_known_by_its_secret_alone(tmp_path):
    async with registry(tmp_path) as laptops:
        one = await laptops.pair("Dan's", ["https://10.0.0.7:9100"], "PEM")
        two = await laptops.pair("Dan's", [], "")
        assert two.name == "Dan's 2" and one.secret != two.secret
        assert laptops.recognise(f"{one.id}.{one.secret}") is one
        for wrong in ("", ".", one.id, f"{one.id}.{two.secret}", f".{one.secret}", f"x.{'é' * 32}"):
            assert laptops.recognise(wrong) is None
    assert contains(tmp_path, one.secret.encode(), two.secret.encode()) == []


async def test_laptops_and_their_secrets_survive_a_restart(tmp_path):
    async with registry(tmp_path, known=lambda: ["ana"]) as laptops:
        first = await laptops.pair("Dan's", ["https://10.0.0.7:9100"], "PEM")
        await laptops.rename(first.id, "Kitchen")
        gone = await laptops.pair("Old one", [], "")
        assert await laptops.remove(gone.id) is False, "nobody was there to be told"
        assert laptops.recognise(f"{gone.id}.{gone.secret}") is None
    async with registry(tmp_path) as laptops:
        (again,) = laptops.all
        assert laptops.recognise(f"{first.id}.{first.secret}") is again
        assert (again.name, again.urls, again.certificate) == ("Kitchen", first.urls, "PEM")
        assert [state.id for state in laptops.states] == [first.id]
        assert laptops.recognise(f"{gone.id}.{gone.secret}") is None


_PAIRS = """
import asyncio, sys
from pathlib import Path
from babblefish.engine.cloning import Cloning
from babblefish.storage.secret import ServerSecret
from babblefish.storage.storage import Storage
from rooms.laptops import Laptops
async def main(folder):
    storage = Storage(folder)
    await storage.start()
    laptops = Laptops(ServerSecret.load(folder), Cloning(), storage)
    await laptops.start()
    laptop = await laptops.pair("Dan's", [], "")
    print(f"paired {laptop.id}.{laptop.secret}", flush=True)
    laptops.forget("ana")
    while laptops.unsaved:
        await asyncio.sleep(0.01)
    print("forgets", flush=True)
    await asyncio.sleep(60)
asyncio.run(main(Path(sys.argv[1])))
"""


def _line(process, start: str) -> str:
    """Between what the program logs."""
    return next(line for line in process.stdout if line.startswith(start))


async def test_what_was_paired_and_deleted_survives_kill_9(tmp_path):
    process = python(_PAIRS, tmp_path)
    credential = (await asyncio.to_thread(_line, process, "paired ")).split()[1]
    await asyncio.to_thread(_line, process, "forgets")
    os.kill(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    scripted = ScriptedLaptop(voices={"ana": "digest", "dan": "other"})
    async with registry(tmp_path) as laptops:
        laptop = laptops.recognise(credential)
        assert laptop is not None and laptops.states[0].owed_deletions == 1
        async with back(laptop, scripted):
            await until(lambda: scripted.deleted == ["ana"])
            await until(lambda: laptops.states[0].owed_deletions == 0)
        assert scripted.voices == {"dan": "other"}


async def test_a_laptop_that_is_paired_anew_is_not_listed_twice(tmp_path):
    async with registry(tmp_path) as laptops:
        before = await laptops.pair("Dan's", ["https://10.0.0.7:9100"], "PEM")
        laptops.forget("ana")
        now = await laptops.pair("Dan's", ["https://10.0.0.8:9100"], "PEM")
        assert [one.id for one in laptops.all] == [now.id] and now.name == "Dan's"
        assert laptops.recognise(f"{before.id}.{before.secret}") is None
        assert laptops.states[0].owed_deletions == 1
    async with registry(tmp_path) as laptops:
        assert [one.urls for one in laptops.all] == [("https://10.0.0.8:9100",)]
        assert laptops.states[0].owed_deletions == 1, "it still has to forget"


async def test_there_are_not_too_many_and_names_are_harmless(tmp_path):
    async with registry(None) as laptops:
        for _ in range(MOST_LAPTOPS):
            last = await laptops.pair("x" * 80, [], "")
        assert len({laptop.name for laptop in laptops.all}) == MOST_LAPTOPS
        with pytest.raises(RoomError) as caught:
            await laptops.pair("one more", [], "")
        assert caught.value.code == "too_many_laptops"
        with pytest.raises(RoomError):
            await laptops.rename(last.id, " \u202e ")
        for act in (laptops.rename("nobody", "x"), laptops.remove("nobody")):
            with pytest.raises(RoomError) as caught:
                await act
            assert caught.value.code == "laptop"


async def test_a_laptop_that_has_not_got_its_secret_yet_is_connecting_not_refusing(tmp_path):
    async with ScriptedLaptop().listening(tmp_path) as scripted, registry(None) as laptops:
        await laptops.pair("Dan's", [scripted.url], scripted.pem)
        await until(lambda: laptops._cloning.laptops()[0].condition == "refused")
        assert laptops.states[0].condition == "connecting"
        laptops._wall = lambda: 2e9
        assert laptops.states[0].condition == "refused"


# --- trouble of the storage -----------------------------------------------------------------


async def test_without_a_disk_laptops_work_and_are_kept_as_soon_as_it_is_back(
    tmp_path, monkeypatch
):
    async with registry(tmp_path) as laptops:
        old = await laptops.pair("Old", [], "")
        twin = await laptops.pair("Twin", [], "PEM")
        laptops.forget("ana")
    monkeypatch.setattr(laptops_module, "_AGAIN_S", 0.05)
    database, aside = tmp_path / "babblefish.db", tmp_path / "aside"
    database.rename(aside)
    database.mkdir()
    async with registry(tmp_path) as laptops:
        assert laptops.problem and laptops.all == ()
        with pytest.raises(StorageError) as caught:
            laptops.recognise(f"{old.id}.{old.secret}")
        assert caught.value.code == "starting", "it is told to try again, not to go"
        new = await laptops.pair("New", [], "PEM")
        assert laptops.recognise(f"{new.id}.{new.secret}") is new and laptops.unsaved
        database.rmdir()
        aside.rename(database)
        await until(lambda: not laptops.problem and not laptops.unsaved)
        assert {laptop.name for laptop in laptops.all} == {"Old", "New"}
        assert laptops.recognise(f"{twin.id}.{twin.secret}") is None, "the same laptop, paired anew"
        assert [state.owed_deletions for state in laptops.states] == [1, 1]
    async with registry(tmp_path) as laptops:
        assert {laptop.name for laptop in laptops.all} == {"Old", "New"}
        assert [state.owed_deletions for state in laptops.states] == [1, 1]


async def test_where_nothing_is_kept_laptops_work_for_this_run():
    async with registry(None) as laptops:
        laptop = await laptops.pair("Dan's", [], "")
        assert laptops.recognise(f"{laptop.id}.{laptop.secret}") is laptop
        scripted = ScriptedLaptop(voices={"ana": "digest"})
        laptops.forget("ana")
        async with back(laptop, scripted):
            await until(lambda: scripted.deleted == ["ana"])
        assert not laptops.unsaved and laptops.problem == ""


# --- what has to be forgotten ---------------------------------------------------------------


async def test_a_laptop_that_was_away_forgets_when_it_is_back_and_it_is_crossed_off(tmp_path):
    here = ScriptedLaptop(voices={"ana": "a", "dan": "d"})
    away = ScriptedLaptop(voices={"ana": "a"})
    async with registry(tmp_path) as laptops:
        one, two = await laptops.pair("here", [], ""), await laptops.pair("away", [], "")
        async with back(one, here):
            await until(lambda: laptops.states[0].asked_now)
            laptops.forget("ana")
            await until(lambda: here.deleted == ["ana"])
            await until(lambda: laptops.states[0].owed_deletions == 0)
            await until(lambda: not laptops.unsaved and len(laptops._debts) == 1)
    async with opened(tmp_path) as storage:
        assert await storage.laptop_debts() == [LaptopDebt(two.id, "ana")]
    async with registry(tmp_path) as laptops:
        async with back(laptops.all[1], away):
            await until(lambda: away.deleted == ["ana"])
            # the other one is told once more, which is harmless
            await until(lambda: not laptops._debts and not laptops.unsaved)
    async with opened(tmp_path) as storage:
        assert await storage.laptop_debts() == []
    assert here.voices == {"dan": "d"} and away.voices == {}


async def test_a_removed_laptop_forgets_everybody_first(tmp_path):
    """Also those whom it was given before this process began."""
    scripted = ScriptedLaptop(voices={"ana": "a", "dan": "d", "eve": "e"})
    async with registry(tmp_path, known=lambda: ["ana", "dan"]) as laptops:
        laptop = await laptops.pair("Dan's", [], "")
        laptops.forget("eve")
        async with back(laptop, scripted):
            await until(lambda: laptops.states[0].asked_now)
            assert await laptops.remove(laptop.id) is True
        assert scripted.voices == {} and laptops.all == () and laptops.states == ()
        assert laptops.recognise(f"{laptop.id}.{laptop.secret}") is None
    async with opened(tmp_path) as storage:
        assert await storage.laptop_debts() == [] and await storage.laptops() == []


@pytest.mark.parametrize("way", ["delete", "withdraw", "merge", "split"])
async def test_whatever_the_host_or_the_person_does_reaches_the_laptops(tmp_path, way):
    from babblefish.settings import Settings
    from rooms.hub import Hub

    hub = Hub(Settings(data_dir=tmp_path), fakes_hub.QuietEngine(), Storage(tmp_path, **QUICK))
    await hub.start()
    try:
        ids, clips = [], []
        for name in ("Ana", "Dan"):
            person = await hub.storage.add_speaker(name)
            await hub.storage.add_consent(person.id, form("cloning"))
            clips.append(await hub.storage.add_clip(person.id, clip()))
            ids.append(person.id)
        await hub.refresh_people()
        scripted = ScriptedLaptop(voices=dict.fromkeys(ids, "digest"))
        laptop = await hub.laptops.pair("Dan's", [], "")
        async with back(laptop, scripted):
            await until(lambda: hub.laptops.states[0].asked_now)
            match way:
                case "delete":
                    await hub.profiles.delete(ids[1], "self")
                case "withdraw":
                    await hub.profiles.withdraw(ids[1], "cloning", "self")
                case "merge":
                    await hub.profiles.merge(ids[0], ids[1], "admin")
                case "split":
                    await hub.profiles.split(
                        ids[1], "Eve", clips=[clips[1].id], embeddings=[],
                        forms=[form("cloning")], actor="admin",
                    )  # fmt: skip
            await until(lambda: set(scripted.deleted) == {ids[1]})
            await until(lambda: not hub.laptops._debts and not hub.laptops.unsaved)
        assert await hub.storage.laptop_debts() == []
    finally:
        await hub.close()
