"""Partial captions by a recogniser of their own, which is slow when the machine is busy."""

from __future__ import annotations

import asyncio

import pytest

from babblefish.protocol import Caption
from babblefish.settings import Settings
from rooms.hub import Hub
from tests.phones import Phone, fake_engine, tone


@pytest.mark.parametrize("draft_delay", [0.45, 1.0])
async def test_a_partial_caption_that_comes_late_never_replaces_more(draft_delay):
    """It arrives while the pause may still be the end, or after the final caption."""
    async with fake_engine(draft_delay=draft_delay) as engine:
        hub = Hub(Settings(), engine)
        room = hub.create("Late")
        member = room.join(name="Pierre", speaks="fr", hears="fr", microphone=True)
        async with Phone(member) as pierre:
            pierre.say(tone(400, 1.5))
            await pierre.until(lambda: pierre.finals)
            await asyncio.sleep(draft_delay)
            captions = pierre.of(Caption)
            lengths = [int(caption.text.rsplit(" ", 1)[1]) for caption in captions]
            assert len(captions) > 1 and lengths == sorted(lengths)
            assert [caption.final for caption in captions[:-1]] == [False] * (len(captions) - 1)
        await hub.close()
