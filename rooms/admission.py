"""The door of a room: who comes straight in, who waits until the host lets them in.

Who waits reads and hears nothing of the room and is in no roster. The list is bounded, and no
address gets more than half of it. Somebody whom the host removed waits, too, if they come back;
as anybody else does who comes from the same address. Knows addresses only as labels to compare.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from babblefish.errors import RoomError
from rooms.names import clean_name

if TYPE_CHECKING:
    from rooms.member import Member
    from rooms.room import Room

State = Literal["waiting", "admitted", "refused", "closed"]
_MOST_WATCHED = 200
"""addresses of people who were removed"""
_KEEPS_S = 180.0
"""a phone that asks for nothing so long has lost its place"""


@dataclass(eq=False)
class Place:
    """Somebody at the door."""

    name: str
    speaks: str
    hears: str
    microphone: bool
    also: str
    address: str
    seated: Callable[[Member], None]
    """told of the participant that they became"""
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """secret: whoever has it is the one who waits"""
    state: State = "waiting"
    member: Member | None = None
    """whom they became"""
    seen: float = 0.0
    """clock time at which the phone was last heard of"""
    asking: int = 0
    """requests that wait for the decision at the moment"""
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    """One room's door."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._places: dict[str, Place] = {}
        self._addresses: dict[str, str] = {}
        """member → where they came from"""
        self._watched: dict[str, None] = {}
        """addresses of people who were removed"""

    @property
    def waiting(self) -> list[Place]:
        """Who waits, in the order in which they came."""
        return [place for place in self._places.values() if place.state == "waiting"]

    def enter(
        self, address: str, *, name: str, speaks: str, hears: str, microphone: bool, also: str = "",
        seated: Callable[[Member], None] = lambda member: None,
    ) -> Member | Place:  # fmt: skip
        """A new participant, or their place at the door. seated: told of the participant once
        there is one. The others: as in ``Room.join``, which raises the same."""
        room = self._room
        who: dict[str, Any] = {
            "name": name, "speaks": speaks, "hears": hears, "microphone": microphone, "also": also,
        }  # fmt: skip
        if room.settings.waiting_list or address in self._watched:
            return self._ask(address, who, seated)
        member = room.join(**who)
        self.came(member, address)
        seated(member)
        return member

    def _ask(self, address: str, who: dict[str, Any], seated: Callable[[Member], None]) -> Place:
        room = self._room
        who["name"] = clean_name(who["name"])
        room.check_newcomer(who["speaks"], who["hears"], who["also"])
        mine = sum(place.address == address for place in self.waiting)
        if mine >= max(1, room.max_members // 2):
            raise RoomError(
                "room_full", "Too many people wait at your address. Ask the host to let them in."
            )
        place = Place(**who, address=address, seated=seated, seen=room.clock())
        self._places[place.id] = place
        return place

    def came(self, member: Member, address: str) -> None:
        """Where a member came from, for when the host removes them."""
        self._addresses[member.id] = address

    def place(self, key: str) -> Place:
        """The place with this secret key. Raises RoomError("member_key")."""
        found = None
        for place in self._places.values():  # every key is compared, whichever matches
            if secrets.compare_digest(key.encode(), place.key.encode()):
                found = place
        if found is None or (found.state == "admitted" and not self._is_here(found)):
            raise RoomError("member_key", "Your place at the door is gone. Join again.")
        return found

    def _is_here(self, place: Place) -> bool:
        return place.member is not None and place.member.id in self._room.members

    async def wait(self, place: Place, seconds: float) -> None:
        """Until it is decided about ``place``, or ``seconds`` have passed."""
        place.asking += 1
        try:
            async with asyncio.timeout(seconds):
                await place.decided.wait()
        except TimeoutError:
            pass
        finally:
            place.asking -= 1
            place.seen = self._room.clock()

    def give_up(self, place: Place) -> None:
        """They do not want to wait any longer."""
        if place.state == "waiting":
            self._places.pop(place.id, None)
            self._decide(place, "refused")

    # --- the host ---------------------------------------------------------------------------

    def admit(self, id_: str) -> Member:
        """Into a locked room, too. Raises RoomError("member" | "room_full")."""
        place = self._waiting(id_)
        member = self._room.join(
            name=place.name, speaks=place.speaks, hears=place.hears, microphone=place.microphone,
            also=place.also, admitted=True,
        )  # fmt: skip
        self.came(member, place.address)
        place.member = member
        place.seated(member)
        self._decide(place, "admitted")
        return member

    def admit_all(self) -> None:
        """In their order. Raises RoomError("room_full")."""
        for place in self.waiting:
            self.admit(place.id)

    def refuse(self, id_: str) -> None:
        """Raises RoomError("member")."""
        self._decide(self._waiting(id_), "refused")

    def removed(self, member: str) -> None:
        """The host sent this member away: they come back only through the host."""
        address = self._addresses.get(member)
        if address:
            self._watched[address] = None
            while len(self._watched) > _MOST_WATCHED:
                self._watched.pop(next(iter(self._watched)))

    def forgive(self) -> None:
        """The room has a new link: who has it was given it by the host."""
        self._watched.clear()

    def close(self) -> None:
        for place in self.waiting:
            self._decide(place, "closed")

    def suspend(self) -> None:
        """Nothing is decided: phones ask again, until the server is back."""
        for place in self.waiting:
            place.decided.set()

    def expire(self) -> None:
        """Forget who went away from the door, and of whom the decision is long known."""
        now, members = self._room.clock(), self._room.members
        for place in list(self._places.values()):
            if not place.asking and now - place.seen > _KEEPS_S:
                self._places.pop(place.id)
        self._addresses = {m: a for m, a in self._addresses.items() if m in members}

    def _waiting(self, id_: str) -> Place:
        place = self._places.get(id_)
        if place is None or place.state != "waiting":
            raise RoomError("member", "This person does not wait any more.")
        return place

    def _decide(self, place: Place, state: State) -> None:
        place.state, place.seen = state, self._room.clock()
        place.decided.set()


def find_place(rooms: Mapping[str, Room], code: str, key: str) -> tuple[Admission, Place]:
    """Raises RoomError("member_key"), for an unknown room as for an unknown key."""
    room = rooms.get(code)
    if room is None:
        raise RoomError("member_key", "Your place at the door is gone. Join again.")
    return room.admission, room.admission.place(key)
