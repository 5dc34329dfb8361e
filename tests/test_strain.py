"""Strain: what the machine does for guesses must not slow down what is certain."""

from __future__ import annotations

import pytest

from babblefish.engine.job_queue import Priority
from babblefish.engine.strain import OVERLOADED, Strain
from babblefish.protocol import Caption, Voicing
from babblefish.settings import Settings
from rooms.hub import Hub
from tests.phones import Phone, fake_engine, tone


class Pool:
    def __init__(self, threads: int) -> None:
        self.threads, self.worked = threads, 0.0

    def worked_by(self, least: Priority) -> float:
        return self.worked


def test_strain_counts_cores_and_forgets():
    now = [0.0]
    pools = [Pool(2), Pool(2)]
    measured = Strain(pools, 2, clock=lambda: now[0])
    assert measured.now() == 0.0
    for _ in range(20):
        now[0] += 0.5
        for pool in pools:
            pool.worked += 0.5
        measured.now()
    assert measured.now() == pytest.approx(2.0, abs=0.01), "two pools want all cores each"
    for _ in range(20):
        now[0] += 0.5
        measured.now()
    assert measured.now() == 0.0


def test_one_short_job_after_silence_is_no_strain():
    now = [0.0]
    pool = Pool(2)
    measured = Strain([pool], 2, clock=lambda: now[0])
    measured.now()
    now[0], pool.worked = 0.5, 0.5
    assert measured.now() <= 0.1


@pytest.mark.parametrize(
    "all_rooms, people, programs, eager",
    [(0.5, 0.5, False, True), (OVERLOADED, OVERLOADED, False, False),
     (OVERLOADED, 0.5, False, True), (OVERLOADED, 0.5, True, False)],
)  # fmt: skip
async def test_an_overloaded_engine_works_on_what_is_certain_only(
    monkeypatch, all_rooms, people, programs, eager
):
    """programs: those who talk are, and step back in time; people need not for them."""
    async with fake_engine() as engine:
        monkeypatch.setattr(engine._strain, "now", lambda: all_rooms)
        monkeypatch.setattr(engine._peoples_strain, "now", lambda: people)
        hub = Hub(Settings(), engine)
        room = hub.create("A")

        def seat(name, language):
            return room.join(name=name, speaks=language, hears=language, microphone=True)

        async with (
            Phone(seat("P", "fr"), program=programs) as pierre,
            Phone(seat("D", "en"), program=programs) as dan,
        ):
            calls = engine.synthesisers[0].stats.calls
            pierre.say(tone(400, 4.0))
            await dan.until(lambda: any(v.state == "played" for v in dan.of(Voicing)))
            partials = [c for c in dan.of(Caption) if not c.final]
            assert len(dan.finals) == 1, "what is final arrives all the same"
            assert partials, "the first words show that somebody is understood"
            made = engine.synthesisers[0].stats.calls - calls
            clauses = 1 + dan.finals[0].text.count(" ")
            if not eager:
                assert len(partials) == 1 and made <= clauses
            else:
                assert len(partials) > 1
        await hub.close()
