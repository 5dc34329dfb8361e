"""The server's client of the laptops, against real processes over real https and WebSockets."""

# ruff: noqa: F401, F811  (fixtures are imported by name)
from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from babblefish.accelerator_protocol import Health
from babblefish.engine.cloning import Cloning, Laptop
from babblefish.engine.stages import PLAYOUT_RATE
from bench.laptop_process import LaptopProcess
from tests.laptop_pair import one, processes, state, two
from tests.laptops import CLAUSES, PIERRE, client, listen, reference, request, seen
from tests.patience import at_once, awake, until

NONE = Health(ready=False)


async def test_a_sentence_comes_clause_by_clause_in_the_person_s_voice(one):
    await one.behave(first_s=0.1, each_s=0.2)
    async with client(one.laptop()) as cloning:
        assert cloning.speaks("en") and cloning.speaks("en-GB") and not cloning.speaks("pl")
        heard = await listen(cloning)
        assert [clause.text for clause in heard.clauses] == list(CLAUSES)
        assert [clause.last for clause in heard.clauses] == [False, False, True]
        assert heard.at[2] - heard.at[0] > 0.3, "the first clause waited for the others"
        assert all(clause.samples.dtype == "float32" for clause in heard.clauses)
        seconds = [len(clause.samples) / PLAYOUT_RATE for clause in heard.clauses]
        assert min(seconds) > 0.5 and max(seconds) < 2
        assert {clause.laptop for clause in heard.clauses} == {"one"}
        assert heard.clauses[0].took_s >= 0.1
        await until(lambda: state(cloning).figures.waiting == 0)
        figures = state(cloning).figures
        assert (figures.asked, figures.spoken, figures.failed) == (1, 1, 0)
        assert figures.first_clause_s is not None and figures.first_clause_s > 0.08
        expected = cloning.expected("Hello everybody", "en")
        assert expected is not None and 0.08 < expected < 1
        assert cloning.expected("Cześć", "pl") is None
        assert (state(cloning).condition, state(cloning).transport) == ("ready", "https")


async def test_without_a_laptop_everything_is_instant():
    cloning = Cloning()
    begun = awake()
    for _ in range(1000):
        assert not cloning.speaks("en") and cloning.expected("Hello", "en") is None
    assert awake() - begun < 0.1
    assert (await at_once(listen(cloning))).code == "nobody"
    cloning.prepare(PIERRE)
    cloning.forget(PIERRE.speaker)
    await cloning.close()


async def test_a_laptop_that_is_away_costs_nothing(one):
    away = Laptop("away", "Away", "s" * 40, ["https://127.0.0.1:9"], one.laptop().certificate)
    async with client(away, ready=False) as cloning:
        await until(lambda: state(cloning, "away").condition == "away")
        assert (await at_once(listen(cloning))).code == "nobody"


async def test_a_laptop_that_warms_up_is_asked_once_it_is_ready(one):
    await one.behave(health="not_ready")
    async with client(one.laptop(), ready=False) as cloning:
        await until(lambda: state(cloning).condition == "preparing")
        assert state(cloning).message == "Warming up." and not cloning.speaks("en")
        await one.behave(health="")
        await until(lambda: cloning.speaks("en"))


# --- voices ----------------------------------------------------------------------------------


async def test_a_voice_is_handed_over_ahead_of_time_and_once(one):
    async with client(one.laptop()) as cloning:
        cloning.prepare(PIERRE)
        await seen(one, lambda seen: PIERRE.speaker in seen["voices"])
        for _ in range(3):
            assert len((await listen(cloning)).clauses) == 3
        assert (await one.seen())["uploads"] == 1
        better = reference(text="Bonjour à toutes et à tous")
        assert len((await listen(cloning, request(of=better))).clauses) == 3
        assert (await one.seen())["voices"] == {PIERRE.speaker: better.digest}


async def test_a_voice_used_at_one_laptop_is_handed_to_the_others(one, two):
    async with client(one.laptop(), two.laptop()) as cloning:
        await listen(cloning)
        for process in (one, two):
            await seen(process, lambda seen: seen["uploads"])
            assert list((await process.seen())["voices"]) == [PIERRE.speaker]


async def test_a_laptop_that_lost_a_voice_gets_it_once_more(one):
    async with client(one.laptop()) as cloning:
        await listen(cloning)
        await one.behave(anew=True)
        assert len((await listen(cloning)).clauses) == 3
        await one.behave(anew=True, most_voices=0)
        assert (await listen(cloning)).code == "unknown_voice"
        assert (await one.seen())["asked"] == 2
        assert state(cloning).condition == "ready", "that is no fault of the laptop"


async def test_a_deleted_voice_is_deleted_at_every_laptop_also_at_one_that_hangs(one, two):
    async with client(one.laptop(), two.laptop()) as cloning:
        cloning.prepare(PIERRE)
        for process in (one, two):
            await seen(process, lambda seen: seen["voices"])
        two.freeze()
        try:
            cloning.forget(PIERRE.speaker)
            await seen(one, lambda seen: not seen["voices"])
            assert state(cloning, "two").owed_deletions == 1
        finally:
            two.thaw()
        await seen(two, lambda seen: not seen["voices"])
        await until(lambda: state(cloning, "two").owed_deletions == 0)
        assert (await one.seen())["uploads"] == 1, "nobody hands it over again"


async def test_a_voice_deleted_while_it_is_handed_over_is_nowhere_afterwards(one, two):
    async with client(one.laptop(), two.laptop()) as cloning:
        for passes in (1, 2, 3, 4, 8, 200):  # of the event loop, from asking to deleting
            talk = asyncio.create_task(listen(cloning))
            for _ in range(passes):
                await asyncio.sleep(0)
            cloning.forget(PIERRE.speaker)
            assert (await talk).code in ("forgotten", "")
            await until(lambda: not any(state.owed_deletions for state in cloning.laptops()))
            await asyncio.sleep(0.1)
            for process in (one, two):
                assert (await process.seen())["voices"] == {}


async def test_a_deleted_voice_is_not_asked_of_another_laptop(one, two):
    async with known_and_new(one, two) as cloning:
        await one.behave(fault="hang")
        talk = asyncio.create_task(listen(cloning))
        await seen(one, lambda seen: seen["asked"] == 4)
        cloning.forget(PIERRE.speaker)
        assert (await talk).code == "forgotten"
        await seen(two, lambda seen: not seen["voices"] and not seen["asked"])


async def test_a_deleted_voice_stops_in_the_middle_and_may_be_given_anew(one):
    await one.behave(each_s=0.5)
    async with client(one.laptop()) as cloning:
        async with aclosing(cloning.speak(request(), 3)) as spoken:
            await anext(spoken)
            cloning.forget(PIERRE.speaker)
            with pytest.raises(Exception, match="deleted"):
                await anext(spoken)
        await seen(one, lambda seen: not seen["voices"])
        assert len((await listen(cloning)).clauses) == 3


# --- several laptops -------------------------------------------------------------------------


async def test_two_laptops_share_the_load(one, two):
    for process in (one, two):
        await process.behave(first_s=0.3)
    async with client(one.laptop(), two.laptop()) as cloning:
        cloning.prepare(PIERRE)
        for process in (one, two):
            await seen(process, lambda seen: seen["voices"])
        begun = time.monotonic()
        heard = await asyncio.gather(*(listen(cloning, deadline=10) for _ in range(6)))
        assert all(len(each.clauses) == 3 for each in heard)
        shares = [(await process.seen())["asked"] for process in (one, two)]
        assert min(shares) >= 2, shares
        assert time.monotonic() - begun < 6 * 0.3, "one of them would have needed that long"


@asynccontextmanager
async def known_and_new(one: LaptopProcess, two: LaptopProcess) -> AsyncIterator[Cloning]:
    """``one`` is known to be quick and will be asked first; of ``two`` nothing is known."""
    async with client(one.laptop()) as cloning:
        for _ in range(3):
            await listen(cloning)
        cloning.add(two.laptop())
        await until(lambda: state(cloning, "two").asked_now)
        await seen(two, lambda seen: seen["voices"])
        yield cloning


async def test_a_laptop_that_is_late_is_helped_out_and_nothing_is_heard_twice(one, two):
    async with known_and_new(one, two) as cloning:
        await one.behave(fault="hang")
        heard = await listen(cloning)
        assert {clause.laptop for clause in heard.clauses} == {"two"}, heard.code
        assert heard.numbers == [0, 1, 2] and heard.ended < 3
        await seen(one, lambda seen: seen["asked"] == 4 and seen["cancelled"] == 1)


async def test_who_is_late_while_nobody_else_has_time_is_helped_out_later(one, two):
    async with known_and_new(one, two) as cloning:
        await one.behave(fault="hang")
        heard = await asyncio.gather(*(listen(cloning) for _ in range(3)))
        assert [len(each.clauses) for each in heard] == [3, 3, 3], [h.code for h in heard]
        assert (await one.seen())["asked"] >= 5


async def test_a_laptop_that_fails_is_replaced_by_another_within_the_deadline(one, two):
    async with known_and_new(one, two) as cloning:
        await one.behave(fault="page")
        heard = await listen(cloning)
        assert {clause.laptop for clause in heard.clauses} == {"two"}, heard.code
        assert state(cloning).figures.failed == 1


async def test_the_one_that_has_less_to_do_is_asked(one, two):
    async with known_and_new(one, two) as cloning, client(one.laptop()) as others:
        await one.behave(first_s=1.5)
        talk = [asyncio.create_task(listen(others, deadline=9)) for _ in range(2)]
        await until(lambda: (state(cloning).health or NONE).expected_wait_s > 1)
        for _ in range(3):
            heard = await listen(cloning)
            assert {c.laptop for c in heard.clauses} == {"two"}, heard.code
        await asyncio.gather(*talk)


async def test_laptops_come_and_go_while_everybody_talks(one, two):
    await one.behave(each_s=0.5)
    async with client(one.laptop()) as cloning:
        talk = asyncio.create_task(listen(cloning))
        await seen(one, lambda seen: seen["asked"])
        cloning.add(two.laptop())
        cloning.remove("one")
        heard = await talk
        assert heard.code == "closed" or len(heard.clauses) == 3
        await seen(one, lambda seen: not seen["voices"])  # it no longer needs them
        await until(lambda: cloning.speaks("en"))
        assert [state.id for state in cloning.laptops()] == ["two"]
        assert {c.laptop for c in (await listen(cloning)).clauses} == {"two"}


# --- nobody waits any more -------------------------------------------------------------------


async def test_closing_the_iterator_stops_the_laptop(one):
    await one.behave(each_s=1.0)
    async with client(one.laptop()) as cloning:
        async with aclosing(cloning.speak(request(), 3)) as spoken:
            await anext(spoken)
        await seen(one, lambda seen: seen["cancelled"] == 1)
        talk = asyncio.create_task(listen(cloning))
        await seen(one, lambda seen: seen["asked"] == 2)
        talk.cancel()
        await seen(one, lambda seen: seen["cancelled"] == 2)
        await until(lambda: state(cloning).figures.given_up == 2)
        assert cloning.speaks("en"), "giving up says nothing about the laptop"


# --- who is who ------------------------------------------------------------------------------


async def test_a_pinned_certificate_counts_whatever_its_name_and_date(two):
    async with client(two.laptop()) as cloning:  # it has expired, and names another address
        assert len((await listen(cloning)).clauses) == 3


async def test_another_s_certificate_no_certificate_and_no_https_are_not_asked(one, two):
    other = two.laptop().certificate
    for changed in ({"certificate": other}, {"certificate": ""},
                    {"urls": [one.url.replace("https", "http")]}):  # fmt: skip
        async with client(one.laptop(**changed), ready=False) as cloning:
            await until(lambda: state(cloning).condition == "away")
            assert not cloning.speaks("en")
    async with client(one.laptop(certificate="nonsense"), ready=False) as cloning:
        await until(lambda: "pair it again" in state(cloning).message)


async def test_a_wrong_secret_is_refused_and_the_admin_is_told_what_to_do(one):
    async with client(one.laptop(secret="w" * 43), ready=False) as cloning:
        await until(lambda: state(cloning).condition == "refused")
        assert "pair it again" in state(cloning).message
        assert (await listen(cloning)).code == "nobody"
    assert (await one.seen())["asked"] == 0


async def test_a_secret_that_is_no_longer_right_is_noticed_at_once(one):
    async with client(one.laptop()) as cloning:
        await listen(cloning)
        await one.behave(refuse=True)
        heard = await listen(cloning)
        assert heard.code in ("refused", "nobody") and not heard.clauses
        await until(lambda: state(cloning).condition == "refused")
