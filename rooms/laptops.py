"""The laptops that were paired with this server: kept over restarts, added and removed while people
talk, and told to forget voices even when they were away.

A laptop's secret follows from its random id and the server's own secret, and is stored nowhere;
removing the id makes it worthless. Trouble of the storage costs only what it would have kept.
Knows neither HTTP nor how laptops are found.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from babblefish.engine.cloning import Cloning, Laptop, LaptopState
from babblefish.errors import RoomError, StorageError
from babblefish.storage.records import LaptopDebt, StoredLaptop
from babblefish.storage.secret import ServerSecret
from babblefish.storage.storage import Storage
from rooms.names import clean_name

log = logging.getLogger(__name__)

MOST_LAPTOPS = 16
_PURPOSE = "accelerator"
"""what the server's secret signs"""
_AGAIN_S = 5.0
_NEW_S = 10.0
"""within which a paired laptop gets its secret"""
_LOOK_S = 1.0
"""between looks whether laptops have forgotten what they had to"""
_SAVE_S = 5.0
"""for which a change waits for the disk before it goes on without"""
_DONE = ("erasing", "not_found", "bad_value")
"""of the storage: trying again changes nothing"""


@dataclass
class _Change:
    """Something for the storage; tried again until it is done."""

    save: Callable[[Storage], Awaitable[object]]
    tried: asyncio.Event = field(default_factory=asyncio.Event)


class Laptops:
    """For the event loop. ``known``: everybody of whom a laptop may have a voice."""

    def __init__(
        self, secret: ServerSecret, cloning: Cloning, storage: Storage | None,
        known: Callable[[], Iterable[str]] = tuple, wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._secret, self._cloning, self._storage = secret, cloning, storage
        self._known, self._wall = known, wall
        self._laptops: dict[str, Laptop] = {}
        self._paired: dict[str, float] = {}
        """in this run, and when"""
        self._debts: dict[LaptopDebt, None] = {}
        self._changes: deque[_Change] = deque()
        self._due = asyncio.Event()
        self._keeper: asyncio.Task | None = None
        self._loaded = storage is None
        self.problem = ""
        """why nothing is kept at the moment, in words; empty: all is well"""

    async def start(self) -> None:
        """Add the laptops that are stored; what cannot be read now is read later."""
        if self._storage is not None:
            first = self._change(None)
            self._keeper = asyncio.create_task(self._keep(self._storage), name="laptops")
            await self._wait(first)

    async def close(self) -> None:
        """Hang up on those that dialled in; write what is not on the disk yet."""
        for laptop in self.all:
            laptop.detach()
        if self._keeper is not None:
            if self._changes and not self.problem:
                await self._wait(self._changes[-1])
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    # --- who they are -------------------------------------------------------------------------

    @property
    def all(self) -> tuple[Laptop, ...]:
        """The oldest first."""
        return tuple(self._laptops.values())

    @property
    def states(self) -> tuple[LaptopState, ...]:
        """What each of them does now. One that has just been paired may not have its secret yet,
        and refuses the server for a moment."""
        now = self._wall()
        return tuple(
            replace(state, condition="connecting", message="Connecting.")
            if state.condition == "refused" and 0 <= now - self._paired.get(state.id, 0) < _NEW_S
            else state
            for state in self._cloning.laptops()
        )

    @property
    def unsaved(self) -> bool:
        """Whether something is not on the disk that should be."""
        return bool(self._changes)

    def __contains__(self, laptop: str) -> bool:
        return laptop in self._laptops

    def recognise(self, credential: str) -> Laptop | None:
        """The laptop with this ``id.secret``; None for a wrong one and for one that was removed.
        Raises StorageError("starting") while it is not known which there are."""
        id_, dot, secret = credential.partition(".")
        if not dot or not self._secret.verify(_PURPOSE, id_, secret):
            return None
        if id_ not in self._laptops and not self._loaded:
            raise StorageError("starting", "The server has not read its laptops yet. Try again.")
        return self._laptops.get(id_)

    # --- changes ------------------------------------------------------------------------------

    async def pair(self, name: str, urls: Sequence[str], certificate: str) -> Laptop:
        """A new laptop, used at once. One with the same certificate was paired before: it is
        replaced. Raises RoomError("too_many_laptops")."""
        same = [old.id for old in self.all if certificate and old.certificate == certificate]
        if len(self._laptops) - len(same) >= MOST_LAPTOPS:
            raise RoomError(
                "too_many_laptops",
                f"This server has {MOST_LAPTOPS} laptops already. Remove one on its host page "
                "first.",
            )
        for old in same:
            self._drop(old)
        stored = StoredLaptop(
            secrets.token_hex(8), self._free_name(_readable(name)), tuple(urls), certificate,
            self._wall(),
        )  # fmt: skip
        laptop = self._add(stored)
        self._paired[stored.id] = stored.paired
        owed = [debt for debt in self._debts if debt.laptop in same]
        self._owe(LaptopDebt(stored.id, debt.speaker) for debt in owed)
        for debt in owed:
            del self._debts[debt]
        await self._wait(self._change(lambda storage: storage.add_laptop(stored, same)))
        return laptop

    async def rename(self, laptop: str, name: str) -> None:
        """Raises RoomError("laptop" | "bad_name")."""
        found, cleaned = self._get(laptop), clean_name(name)
        found.name = cleaned
        await self._wait(self._change(lambda storage: storage.rename_laptop(laptop, cleaned)))

    async def remove(self, laptop: str) -> bool:
        """Whether it was there and has forgotten all voices; its secret opens nothing any more.
        Raises RoomError("laptop")."""
        found = self._get(laptop)
        owed = [debt for debt in self._debts if debt.laptop == laptop]
        people = {*self._known(), *(debt.speaker for debt in owed)}
        del self._laptops[laptop]
        for debt in owed:
            del self._debts[debt]
        saved = self._change(lambda storage: storage.delete_laptop(laptop))
        clean = await self._cloning.remove(laptop, people)
        found.detach()
        self._paired.pop(laptop, None)
        await self._wait(saved)
        return clean

    # --- voices that have to go ---------------------------------------------------------------

    def forget(self, speaker: str) -> None:
        """Every laptop deletes what it has of this person; one that is away does so when it is
        back, whatever happens to this process meanwhile."""
        if self._storage is not None and (self._laptops or not self._loaded):
            self._debts |= dict.fromkeys(LaptopDebt(laptop, speaker) for laptop in self._laptops)
            self._change(lambda storage: storage.owe_forgetting([speaker]))
        self._cloning.forget(speaker)

    def _owe(self, debts: Iterable[LaptopDebt]) -> None:
        """These are on the disk already."""
        for debt in debts:
            self._debts[debt] = None
            self._cloning.owe(debt.laptop, [debt.speaker])

    def _settle(self) -> None:
        """Cross off what laptops have said that they forgot."""
        clean = {state.id for state in self.states if not state.owed_deletions}
        paid = [debt for debt in self._debts if debt.laptop in clean]
        for debt in paid:
            del self._debts[debt]
        if paid:
            self._change(lambda storage: storage.settle_laptop_debts(paid))

    # --- the parts ----------------------------------------------------------------------------

    def _get(self, laptop: str) -> Laptop:
        found = self._laptops.get(laptop)
        if found is None:
            raise RoomError("laptop", "This laptop was removed already.")
        return found

    def _free_name(self, name: str) -> str:
        taken = {laptop.name for laptop in self.all}
        more = (f"{name} {number}" for number in range(2, MOST_LAPTOPS + 2))
        return next(one for one in (name, *more) if one not in taken)

    def _add(self, stored: StoredLaptop) -> Laptop:
        secret = self._secret.sign(_PURPOSE, stored.id)
        laptop = Laptop(stored.id, stored.name, secret, stored.urls, stored.certificate)
        self._laptops[stored.id] = laptop
        self._cloning.add(laptop)
        return laptop

    def _drop(self, laptop: str) -> None:
        """It was paired anew: what it has to forget is the new one's business."""
        self._cloning.remove(laptop)
        self._laptops.pop(laptop).detach()
        self._paired.pop(laptop, None)

    # --- the storage --------------------------------------------------------------------------

    def _change(self, save: Callable[[Storage], Awaitable[object]] | None) -> _Change:
        change = _Change(save or _nothing)
        if self._storage is None:
            change.tried.set()
        else:
            self._changes.append(change)
            self._due.set()
        return change

    @staticmethod
    async def _wait(change: _Change) -> None:
        try:
            async with asyncio.timeout(_SAVE_S):
                await change.tried.wait()
        except TimeoutError:
            log.info("A change of the laptops waits for the disk")

    async def _keep(self, storage: Storage) -> None:
        while True:
            self._due.clear()
            try:
                await self._load(storage)
                self._settle()
                while self._changes:
                    await self._save(storage, self._changes[0])
                    self._changes.popleft().tried.set()
                self.problem, pause = "", _LOOK_S if self._debts else None
            except StorageError as error:
                if self.problem != error.message:
                    log.warning("Laptops are not kept: %s", error.message)
                self.problem, pause = error.message, _AGAIN_S
                for change in self._changes:
                    change.tried.set()
            try:
                async with asyncio.timeout(pause):
                    await self._due.wait()
            except TimeoutError:
                continue

    @staticmethod
    async def _save(storage: Storage, change: _Change) -> None:
        try:
            await change.save(storage)
        except StorageError as error:
            if error.code not in _DONE:
                raise

    async def _load(self, storage: Storage) -> None:
        if self._loaded:
            return
        stored, debts = await storage.laptops(), await storage.laptop_debts()
        self._loaded = True
        anew = {laptop.certificate: laptop.id for laptop in self.all if laptop.certificate}
        now: dict[str, str] = {}
        for laptop in stored:
            now[laptop.id] = anew.get(laptop.certificate, laptop.id)
            if laptop.certificate in anew:  # paired anew while nothing could be read
                self._change(partial(_take_over, now[laptop.id], laptop.id))
            else:
                self._add(laptop)
        self._owe(LaptopDebt(now[debt.laptop], debt.speaker) for debt in debts)


async def _nothing(storage: Storage) -> None:
    pass


async def _take_over(laptop: str, before: str, storage: Storage) -> None:
    await storage.replace_laptop(laptop, before)


def _readable(name: str) -> str:
    try:
        return clean_name(name[:40])
    except RoomError:
        return "Laptop"
