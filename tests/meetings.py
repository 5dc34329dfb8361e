"""Two people who talk in a room, for tests of what is kept of it."""

from __future__ import annotations

import pytest

from babblefish.errors import RoomError
from babblefish.protocol import Caption, Voicing
from tests.phones import Phone, tone


def who(name: str, language: str, **more):
    return {"name": name, "speaks": language, "hears": language, "microphone": True} | more


def refused(call, *values, **named) -> str:
    with pytest.raises(RoomError) as error:
        call(*values, **named)
    return error.value.code


async def converse(room, *hertz: int) -> tuple[list[Caption], list[Caption]]:
    """Pierre says tones, Dan hears them in English; what each read."""
    pierre, dan = room.join(**who("Pierre", "fr")), room.join(**who("Dan", "en"))
    async with Phone(pierre) as speaker, Phone(dan) as listener:
        speaker.say(*(tone(h, 1.0) for h in hertz))
        await listener.until(lambda: heard(listener) == len(hertz))
        return speaker.finals, listener.finals


def heard(phone: Phone) -> int:
    return sum(v.state == "played" for v in phone.of(Voicing))
