"""Paired laptops in the storage, and the voices that they still have to forget."""

from __future__ import annotations

import sqlite3

import pytest

from babblefish.errors import StorageError
from babblefish.storage.records import LaptopDebt, StoredLaptop
from tests.stored import NOW, clip, form, opened


def laptop(id_: str, name: str = "Dan's", **fields) -> StoredLaptop:
    return StoredLaptop(**({"id": id_, "name": name, "urls": ("https://10.0.0.7:9100",),
                            "certificate": "PEM", "paired": NOW} | fields))  # fmt: skip


async def person(storage, name: str = "Ana", *purposes) -> str:
    speaker = await storage.add_speaker(name)
    for purpose in purposes:
        await storage.add_consent(speaker.id, form(purpose))
    return speaker.id


async def test_laptops_are_kept_renamed_and_removed(tmp_path):
    async with opened(tmp_path) as storage:
        await storage.add_laptop(laptop("one"))
        await storage.add_laptop(laptop("two", "Studio", urls=(), certificate="", paired=NOW + 1))
    async with opened(tmp_path) as storage:
        await storage.rename_laptop("two", "Kitchen")
        kept = await storage.laptops()
        assert kept[0] == laptop("one")
        assert [(one.name, one.urls) for one in kept[1:]] == [("Kitchen", ())]
        await storage.delete_laptop("one")
        assert [one.id for one in await storage.laptops()] == ["two"]
        acts = [(entry.act, entry.subject) for entry in await storage.audit_log()]
        assert acts == [
            ("laptop_removed", "one"), ("laptop_renamed", "two"), ("laptop_paired", "two"),
            ("laptop_paired", "one"),
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["", "   ", "x" * 81])
async def test_a_laptop_without_a_name_is_not_kept(tmp_path, name):
    async with opened(tmp_path) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.add_laptop(laptop("one", name))
        assert caught.value.code == "bad_value" and await storage.laptops() == []


async def test_what_is_gone_cannot_be_changed(tmp_path):
    async with opened(tmp_path) as storage:
        for change in (storage.rename_laptop("one", "x"), storage.delete_laptop("one")):
            with pytest.raises(StorageError) as caught:
                await change
            assert caught.value.code == "not_found"


async def test_no_secret_is_on_the_disk(tmp_path):
    async with opened(tmp_path) as storage:
        await storage.add_laptop(laptop("one"))
    with sqlite3.connect(tmp_path / "babblefish.db") as plain:
        columns = {row[1] for row in plain.execute("PRAGMA table_info(laptops)")}
    plain.close()
    assert columns == {"id", "name", "urls", "certificate", "paired"}


@pytest.mark.parametrize(
    ("what", "owed"),
    [
        ("delete", {"ana"}), ("withdraw cloning", {"ana"}),
        ("withdraw passive_collection", {"ana"}), ("withdraw voiceprint", set()),
        ("merge", {"dan"}), ("split", {"ana"}), ("rename", set()),
    ],
)  # fmt: skip
async def test_whatever_ends_a_voice_owes_its_forgetting_at_once(tmp_path, what, owed):
    """In the same transaction: no crash comes between the two."""
    async with opened(tmp_path) as storage:
        await storage.add_laptop(laptop("one"))
        await storage.add_laptop(laptop("two"))
        ids = {
            name: await person(storage, name, "voiceprint", "cloning", "passive_collection")
            for name in ("ana", "dan")
        }
        taken = await storage.add_clip(ids["ana"], clip())
        match what.split():
            case ["delete"]:
                await storage.delete_speaker(ids["ana"])
            case ["withdraw", purpose]:
                await storage.withdraw_consent(ids["ana"], purpose)
            case ["merge"]:
                await storage.merge_speakers(ids["ana"], ids["dan"])
            case ["split"]:
                forms = [form("cloning")]
                await storage.split_speaker(ids["ana"], "Eve", clips=[taken.id], forms=forms)
            case ["rename"]:
                await storage.change_speaker(ids["ana"], name="Anna")
        debts = await storage.laptop_debts()
        wanted = {LaptopDebt(one, ids[who]) for one in ("one", "two") for who in owed}
        assert set(debts) == wanted and len(debts) == len(wanted)


async def test_debts_are_settled_one_by_one_and_go_with_their_laptop(tmp_path):
    async with opened(tmp_path) as storage:
        await storage.owe_forgetting(["nobody has laptops yet"])
        for name in ("one", "two", "three"):
            await storage.add_laptop(laptop(name))
        await storage.owe_forgetting(["ana"])
        await storage.owe_forgetting(["ana", "dan"])
        await storage.settle_laptop_debts([LaptopDebt("one", "ana"), LaptopDebt("no", "ana")])
        await storage.delete_laptop("two")
    async with opened(tmp_path) as storage:
        assert set(await storage.laptop_debts()) == {
            LaptopDebt("one", "dan"), LaptopDebt("three", "ana"), LaptopDebt("three", "dan")
        }  # fmt: skip


async def test_a_laptop_that_is_paired_anew_still_owes_what_it_owed(tmp_path):
    async with opened(tmp_path) as storage:
        await storage.add_laptop(laptop("old"))
        await storage.owe_forgetting(["ana"])
        await storage.add_laptop(laptop("new"), ["old", "unknown"])
        assert [one.id for one in await storage.laptops()] == ["new"]
        assert await storage.laptop_debts() == [LaptopDebt("new", "ana")]
