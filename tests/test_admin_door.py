"""The admin's password, the sessions and the counted tries: they outlive the process, and no
trouble of the data folder keeps the host out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import textwrap
import threading
from pathlib import Path

import pytest

from babblefish.errors import SignInError
from babblefish.storage.secret import ServerSecret
from babblefish.ui import password_rules
from babblefish.ui.admin_door import (
    CODE_COUNTS_SECONDS,
    CODE_LIMITS,
    PASSWORD_LIMITS,
    SESSION_SECONDS,
    AdminDoor,
)
from babblefish.ui.tries import Limit, Tries
from tests.patience import PATIENCE, awake
from tests.stored import contains, python

GOOD, BETTER = "correct horse battery", "staple gun on a Sunday"
NOW = 1_800_000_000.0


class Door(AdminDoor):
    """A door with a clock that tests set, and everything that it told."""

    def __init__(self, folder: Path, now: float = NOW) -> None:
        self.codes: list[str] = []
        self.notes: list[tuple[str, str]] = []
        self.now = now
        super().__init__(
            self.codes.append, folder, ServerSecret(bytes(32)),
            lambda *note: self.notes.append(note), lambda: self.now,
        )  # fmt: skip

    async def with_password(self, password: str = GOOD) -> str:
        session = await self.enter_by_code(self.codes[-1], "a")
        return await self.change_password(session, "", password)


# --- which passwords --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    ["", "short", "Password123!", "P@ssw0rd2024!", "babblefish2026", "aaaaaaaaaa", "abcabcabcabc",
     "1234567890", "qwertyuiop", "letmein-letmein", "a-b-c-d-e-f-g", "🐟" * 12, "zaq12wsxcde34"],
)  # fmt: skip
def test_easy_passwords_are_refused_in_words(password: str) -> None:
    with pytest.raises(SignInError) as caught:
        password_rules.check(password)
    assert caught.value.code == "weak" and "four unrelated words" in caught.value.message


@pytest.mark.parametrize(
    "password", [GOOD, BETTER, "Tr0ub4dor&3", "vier kleine Enten", "xK9mQ2vL7p", "#+*~.,:;-_!"]
)
def test_others_are_taken(password: str) -> None:
    assert password_rules.check(password) is None


def test_endless_passwords_are_refused_at_once() -> None:
    begun = awake()
    with pytest.raises(SignInError, match="at most 200"):
        password_rules.check("a1" * 100_000)
    password_rules.check("".join(chr(0x4E00 + n) for n in range(200)))
    assert awake() - begun < 1


# --- the password -----------------------------------------------------------------------------


async def test_a_password_is_kept_as_an_argon2_hash_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    door = Door(folder)
    assert await door.password.state() == "none"
    session = await door.with_password()
    assert door.knows(session) and await door.password.state() == "set"
    kept = folder / "admin-password.json"
    assert json.loads(kept.read_text())["argon2"].startswith("$argon2id$v=19$m=65536,")
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert contains(folder, GOOD.encode(), session.encode(), door.codes[-1].encode()) == []

    (folder / ".part-admin-password.json").write_text("{half")  # as after a power cut
    again = Door(folder)
    assert await again.enter_by_password(GOOD, "a") and await again.password.state() == "set"
    for wrong in (GOOD.upper(), GOOD + " ", "", "x" * 100_000, "\0"):
        assert await again.enter_by_password(wrong, "a") is None
    assert again.notes == [("admin", "signed_in_by_password")]


async def test_accents_may_be_typed_in_two_ways(tmp_path: Path) -> None:
    door = Door(tmp_path)
    await door.with_password("caf\u00e9 au lait dehors")
    assert await door.enter_by_password("cafe\u0301 au lait dehors", "a")


async def test_a_new_password_needs_the_old_one_or_a_fresh_code(tmp_path: Path) -> None:
    door = Door(tmp_path)
    await door.with_password()
    session = await door.enter_by_password(GOOD, "a")
    with pytest.raises(SignInError) as caught:
        await door.change_password(session, "wrong", BETTER)
    assert caught.value.code == "wrong" and door.knows(session)
    session = await door.change_password(session, GOOD, BETTER)
    assert await door.enter_by_password(BETTER, "a")

    by_code = await door.enter_by_code(door.codes[-1], "a")  # forgotten
    door.now += CODE_COUNTS_SECONDS
    with pytest.raises(SignInError):
        await door.change_password(by_code, "", GOOD)
    door.now -= 1
    await door.change_password(by_code, "", GOOD)
    assert [act for _, act in door.notes] == [
        "signed_in_by_code", "password_set", "signed_in_by_password", "password_changed",
        "signed_in_by_password", "signed_in_by_code", "password_changed",
    ]  # fmt: skip


async def test_a_new_password_signs_everybody_out(tmp_path: Path) -> None:
    door = Door(tmp_path)
    await door.with_password()
    others = [await door.enter_by_password(GOOD, "a"), await door.enter_by_code(door.codes[-1], "")]
    late = asyncio.create_task(door.enter_by_password(GOOD, "b"))
    fresh = await door.change_password(others[0], GOOD, BETTER)
    assert door.knows(fresh) and not any(map(door.knows, others))
    assert not door.knows(await late), "who was being checked meanwhile stays out"
    again = Door(tmp_path)
    assert again.knows(fresh) and not any(map(again.knows, others))


async def test_a_session_that_ended_meanwhile_changes_nothing(tmp_path: Path) -> None:
    door = Door(tmp_path)
    session = await door.with_password()
    changing = asyncio.create_task(door.change_password(session, GOOD, BETTER))
    await asyncio.sleep(0)
    await door.leave(session)
    with pytest.raises(SignInError, match="signed out"):
        await changing
    assert await door.enter_by_password(GOOD, "a")


DAMAGES = {
    "emptied": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, 40),
    "not JSON": lambda path: path.write_text("Dear diary"),
    "another shape": lambda path: path.write_text("[[[1]]]"),
    "one letter": lambda path: path.write_bytes(path.read_bytes().replace(b"p=1$", b"p=2$")),
    "deep": lambda path: path.write_text("[" * 1900),
    "long": lambda path: path.write_bytes(b" " * 10_000_000),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_password_is_told_and_the_code_works(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await Door(tmp_path).with_password()
    DAMAGES[damage](tmp_path / "admin-password.json")
    door = Door(tmp_path)
    assert await door.password.state() == "unreadable"
    with pytest.raises(SignInError) as caught:
        await door.enter_by_password(GOOD, "a")
    assert caught.value.code == "unreadable" and "with the code" in caught.value.message
    assert caplog.text.count("cannot be read") == 1, "told once"
    session = await door.enter_by_code(door.codes[-1], "a")
    if damage == "a folder":
        with pytest.raises(SignInError) as caught:
            await door.change_password(session, "", BETTER)
        assert caught.value.code == "not_kept" and str(tmp_path) in caught.value.message
    else:
        await door.change_password(session, "", BETTER)
        assert await door.enter_by_password(BETTER, "a")


async def test_guessing_does_not_exhaust_the_server(tmp_path: Path) -> None:
    """Hashes are computed one after the other, off the event loop; few wait, the rest is told."""
    door = Door(tmp_path)
    await door.with_password()
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    watching = asyncio.create_task(watch())
    results = await asyncio.gather(
        *(door.enter_by_password("guess", f"address {n}") for n in range(40)),
        return_exceptions=True,
    )
    watching.cancel()
    told = [result for result in results if isinstance(result, SignInError)]
    assert {error.code for error in told} == {"busy"} and len(told) >= 20
    assert [result for result in results if result not in told] == [None] * (40 - len(told))
    assert turns > 20, "the event loop went on"
    assert await door.enter_by_password(GOOD, "a")


# --- tries ------------------------------------------------------------------------------------


def test_tries_are_counted_in_windows_for_each_and_together() -> None:
    tries = Tries((Limit(2, 10), Limit(3, 100)), (Limit(4, 10),))
    assert [tries.wait("a", now) for now in (0, 1, 2)] == [0, 0, 8]
    assert [tries.wait("b", 3), tries.wait("b", 4), tries.wait("c", 5)] == [0, 0, 5]
    assert [tries.wait("a", 20), tries.wait("a", 30)] == [0, 70]
    tries.forgive("a")
    assert tries.wait("a", 31) == 0
    assert len(tries.remember()) == 6


def test_what_is_remembered_is_bounded_and_never_trusted() -> None:
    tries = Tries((Limit(5, 60),), (Limit(50, 60),))
    for number in range(1000):
        tries.wait(f"address {number}", 0.0)
    assert len(tries.remember()) == 50
    nonsense = [None, 7, "x", {}, [[1]], [["a", "b"]], [[float("nan"), "a"]], [[1.0, "k" * 999]]]
    for remembered in nonsense:
        assert Tries((Limit(1, 60),), (Limit(1, 60),), remembered).wait("a", 1.0) == 0
    ahead = Tries((Limit(1, 60),), (Limit(9, 60),), [[5000.0, "a"]])
    assert ahead.wait("a", 100.0) == 60 and ahead.wait("a", 160.0) == 0, "the clock was set back"


async def test_promise_19_guessing_is_limited_per_address_and_in_all(tmp_path: Path) -> None:
    for way, limits in (("password", PASSWORD_LIMITS), ("code", CODE_LIMITS)):
        door = Door(tmp_path / way)
        each, together = limits[0][0].number, limits[1][0].number
        assert [await door.wait(way, "a") for _ in range(each)] == [0] * each
        assert 0 < await door.wait(way, "a") <= 60 and await door.wait(way, "b") == 0
        await door.enter_by_code(door.codes[-1], "a")
        if way == "code":
            assert await door.wait(way, "a") == 0
        waits = [await door.wait(way, f"address {n}") for n in range(together)]
        assert 0 in waits and 0 < waits[-1] <= 60
        assert door.notes.count(("server", "sign_in_blocked")) == 1, "a burst is one line"
    assert await Door(tmp_path / "password").wait("code", "a") == 0, "the code still lets in"


async def test_promise_19_a_day_of_guessing_stays_small(tmp_path: Path) -> None:
    door = Door(tmp_path)
    let_through = 0
    for _ in range(24 * 60):
        door.now += 60
        let_through += [await door.wait("password", "a") for _ in range(6)].count(0)
    assert let_through <= 24 * PASSWORD_LIMITS[0][1].number + 5
    assert (tmp_path / "admin-state.json").stat().st_size < 20_000


GUESSER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from babblefish.storage.secret import ServerSecret
    from babblefish.ui.admin_door import AdminDoor

    async def main():
        codes = []
        folder = Path(sys.argv[1])
        door = AdminDoor(codes.append, folder, ServerSecret.load(folder))
        print(await door.enter_by_code(codes[-1], "host"), flush=True)
        for line in iter(sys.stdin.readline, ""):
            print(await door.wait("password", line.strip()), flush=True)

    asyncio.run(main())
""")


def test_promise_19_tries_and_sessions_outlive_kill_9(tmp_path: Path) -> None:
    def start():
        child = python(GUESSER, tmp_path)
        return child, child.stdout.readline().strip()

    def tried(child, address: str) -> int:
        child.stdin.write(f"{address}\n")
        child.stdin.flush()
        return int(child.stdout.readline())

    child, session = start()
    each = PASSWORD_LIMITS[0][0].number
    assert [tried(child, "192.0.2.7") for _ in range(each)] == [0] * each
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    (tmp_path / ".part-admin-state.json").write_text("{half")  # as if it died while writing
    assert contains(tmp_path, b"192.0.2.7", session.encode()) == []

    child, _ = start()
    assert 0 < tried(child, "192.0.2.7") <= 60 and tried(child, "192.0.2.8") == 0
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    door = AdminDoor(lambda code: None, tmp_path, ServerSecret.load(tmp_path))
    assert door.knows(session) and not door.knows(session[:-1])


async def test_leaving_outlives_the_process_and_old_sessions_do_not(tmp_path: Path) -> None:
    door = Door(tmp_path)
    left, kept = [await door.enter_by_code(door.codes[-1], "a") for _ in range(2)]
    await door.leave(left)
    again = Door(tmp_path)
    assert again.knows(kept) and not again.knows(left)
    assert not Door(tmp_path, NOW + SESSION_SECONDS).knows(kept)
    assert not Door(tmp_path, NOW - 60).knows(kept), "a clock that was far ahead made it"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sessions": [1], "tries": 7}', "[" * 9999])
async def test_a_damaged_memory_is_a_fresh_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "admin-state.json").write_text(content)
    door = Door(tmp_path)
    assert await door.wait("password", "a") == 0
    session = await door.enter_by_code(door.codes[-1], "a")
    assert Door(tmp_path).knows(session)


async def test_a_folder_in_trouble_costs_the_memory_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    door = Door(tmp_path / "file")
    each = PASSWORD_LIMITS[0][0].number
    assert [await door.wait("password", "a") for _ in range(each + 1)][-1] > 0
    session = await door.enter_by_code(door.codes[-1], "a")
    assert door.knows(session)
    assert caplog.text.count("cannot be written") == 1 and "Check the folder" in caplog.text
    with pytest.raises(SignInError) as caught:
        await door.change_password(session, "", GOOD)
    assert caught.value.code == "not_kept"
    (tmp_path / "file").unlink()
    await door.change_password(session, "", GOOD)
    assert "are written to" in caplog.text and await door.enter_by_password(GOOD, "b")


async def test_a_dead_disk_holds_up_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from babblefish.storage import files
    from babblefish.ui import admin_door

    monkeypatch.setattr(admin_door, "_DISK_SECONDS", 0.1)
    alive = threading.Event()
    door = Door(tmp_path)
    monkeypatch.setattr(files, "replace", lambda path, data: alive.wait(PATIENCE))
    try:
        async with asyncio.timeout(PATIENCE):
            assert await door.wait("code", "a") == 0
            assert door.knows(await door.enter_by_code(door.codes[-1], "a"))
            assert await door.password.state() == "unreadable"
        assert "does not answer" in caplog.text
    finally:
        alive.set()
