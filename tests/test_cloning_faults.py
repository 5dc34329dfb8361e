"""Laptops that die, hang and talk nonsense: real processes over real https.

Whatever happens, whoever asked knows within the deadline which clauses are missing, and no clause
is there twice.
"""

from __future__ import annotations

import asyncio

import pytest

from babblefish.engine import cloning_health
from babblefish.engine.circuit_breaker import FAILURES, LONGEST_REST_S, REST_S, CircuitBreaker
from babblefish.engine.cloning import Cloning
from babblefish.engine.stages import PLAYOUT_RATE
from bench.laptop_process import LaptopProcess
from tests.laptops import CLAUSES, PIERRE, client, listen, reference, request, seen
from tests.patience import PATIENCE, at_once, awake, until

DEADLINE = 1.0
LATEST = DEADLINE + 0.25
"""on a machine that has other things to do, too"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    process = LaptopProcess(tmp_path_factory.mktemp("laptop"))
    process.spawn()
    yield process
    process.kill()


@pytest.fixture
async def laptop(running, monkeypatch) -> LaptopProcess:
    monkeypatch.setattr(cloning_health, "POLL_S", 0.4)
    await running.start()
    await running.behave(anew=True)
    return running


def condition(cloning: Cloning) -> str:
    return cloning.laptops()[0].condition


NONSENSE = {
    "nan": "bad_answer", "nan_samples": "bad_audio", "html": "bad_answer", "page": "bad_answer",
    "redirect": "bad_answer", "503": "bad_answer", "silence": "bad_audio", "short": "bad_audio",
    "long": "bad_audio", "loud": "bad_audio", "absurd_rate": "bad_answer",
    "no_base64": "bad_audio", "wrong_clause": "bad_answer", "wrong_request": "bad_answer",
    "wrong_last": "bad_answer", "end": "bad_answer", "oversized": "bad_answer",
    "failed": "synthesis_failed", "busy": "busy",
}  # fmt: skip
SLOW = ["hang", "half", "trickle", "deaf"]


async def test_nonsense_is_no_voice_and_the_next_sentence_is_spoken(laptop):
    async with client(laptop.laptop()) as cloning:
        await listen(cloning)
        for fault, code in NONSENSE.items():
            await laptop.behave(fault=fault)
            heard = await listen(cloning, deadline=PATIENCE)  # nobody waits until then
            assert (heard.code, heard.clauses) == (code, []), fault
            assert heard.ended < PATIENCE, fault
            await laptop.behave(fault="")
            await until(lambda: cloning.speaks("en"))
            after = await listen(cloning, deadline=PATIENCE)
            assert len(after.clauses) == 3, f"after {fault}"
        figures = cloning.laptops()[0].figures
        assert figures.failed == len(NONSENSE)


async def test_nonsense_in_the_middle_costs_the_rest_and_nothing_of_what_was_said(laptop):
    async with client(laptop.laptop()) as cloning:
        for fault in ("nan_samples", "html", "wrong_clause", "end", "failed", "silence"):
            await laptop.behave(fault=fault, fault_at=1)
            heard = await listen(cloning)
            assert (heard.numbers, heard.code) == ([0], NONSENSE[fault]), fault
            await laptop.behave(fault="", fault_at=0)
            await until(lambda: cloning.speaks("en"))
            assert len((await listen(cloning, deadline=PATIENCE)).clauses) == 3


async def test_another_sample_rate_is_heard_as_it_should_be(laptop):
    async with client(laptop.laptop()) as cloning:
        plain = await listen(cloning)
        for fault in ("other_rate", "top_rate"):
            await laptop.behave(fault=fault)
            heard = await listen(cloning)  # which compares the tones
            lengths = [len(clause.samples) / PLAYOUT_RATE for clause in heard.clauses]
            wanted = [len(clause.samples) / PLAYOUT_RATE for clause in plain.clauses]
            assert lengths == pytest.approx(wanted, abs=0.01)


async def test_a_laptop_that_hangs_or_trickles_costs_no_more_than_the_deadline(laptop):
    async with client(laptop.laptop()) as cloning:
        for fault in SLOW:
            await listen(cloning)
            await laptop.behave(fault=fault)
            heard = await listen(cloning, deadline=DEADLINE)
            assert (heard.code, heard.clauses) == ("late", []), fault
            assert DEADLINE <= heard.ended < LATEST, fault
            await laptop.behave(fault="")
            await until(lambda: cloning.speaks("en"))


async def test_a_clause_that_trickles_more_slowly_than_it_plays_is_given_up_in_time(laptop):
    async with client(laptop.laptop()) as cloning:
        for fault in ("hang", "half", "trickle"):
            await laptop.behave(fault=fault, fault_at=1)
            heard = await listen(cloning)
            assert (heard.numbers, heard.code) == ([0], "late"), fault
            heard_until = heard.at[0] + len(heard.clauses[0].samples) / PLAYOUT_RATE
            assert heard.ended < heard_until + 0.4, fault
            await laptop.behave(fault="", fault_at=0)
            await until(lambda: cloning.speaks("en"))
            assert len((await listen(cloning, deadline=PATIENCE)).clauses) == 3


async def test_whoever_listens_slowly_misses_nothing(laptop):
    async with client(laptop.laptop()) as cloning:
        numbers = []
        async for clause in cloning.speak(request(*CLAUSES, *CLAUSES, *CLAUSES), 3):
            numbers.append(clause.number)
            await asyncio.sleep(1.0 if clause.number == 1 else 0)
        assert numbers == list(range(9))


@pytest.mark.parametrize("at", [0, 1])
async def test_killed_while_it_speaks_and_back_after_one_probe(laptop, at):
    """Promises 1 and 3: at once and cleanly missing; back without a restart."""
    async with client(laptop.laptop()) as cloning:
        await listen(cloning)
        await laptop.behave(fault="die", fault_at=at)
        heard = await listen(cloning)
        assert heard.numbers == list(range(at)) and heard.code == "unreachable"
        assert heard.ended < 2, "that it is gone is known at once"
        begun = awake()
        assert (await listen(cloning)).code in ("nobody", "unreachable")
        assert awake() - begun < 0.1
        await until(lambda: condition(cloning) == "away")
        laptop.kill()  # its remains
        laptop.spawn()
        await until(lambda: cloning.speaks("en"))
        assert len((await listen(cloning, deadline=PATIENCE)).clauses) == 3
        assert condition(cloning) == "ready"
        assert (await laptop.seen())["asked"] == 1, "the voice went there before the request"


async def test_a_frozen_laptop_is_left_alone_until_it_thaws(laptop):
    async with client(laptop.laptop()) as cloning:
        await listen(cloning)
        laptop.freeze()
        try:
            heard = await listen(cloning, deadline=DEADLINE)
            assert heard.code == "late" and heard.ended < LATEST
            await until(lambda: not cloning.speaks("en"))
            assert not (await at_once(listen(cloning))).clauses
        finally:
            laptop.thaw()
        await until(lambda: cloning.speaks("en"))
        assert len((await listen(cloning, deadline=PATIENCE)).clauses) == 3
        # who was not heard is not spoken to; whether it had been asked at all depends on whether
        # a connection stood already when it froze
        await seen(laptop, lambda seen: seen["asked"] == seen["done"] + seen["cancelled"])
        assert (await laptop.seen())["done"] == 2


async def test_a_laptop_that_answers_probes_and_nothing_else_rests_longer_each_time(laptop):
    async with client(laptop.laptop()) as cloning:
        await listen(cloning)
        await laptop.behave(fault="deaf")
        for _ in range(FAILURES):
            await listen(cloning, deadline=DEADLINE)
        await until(lambda: cloning.speaks("en"))  # half-open: one may try
        tries = await asyncio.gather(*(listen(cloning, deadline=DEADLINE) for _ in range(3)))
        assert sorted(heard.code for heard in tries) == ["late", "nobody", "nobody"]
        assert condition(cloning) == "resting" and not cloning.speaks("en")


async def test_many_at_once_are_all_said_or_all_missed(laptop):
    await laptop.behave(first_s=0.02, each_s=0.0)
    async with client(laptop.laptop()) as cloning:
        voices = [reference(f"speaker-{n}") for n in range(4)]
        talk = [
            asyncio.create_task(listen(cloning, request(of=voices[n % 4]), deadline=8))
            for n in range(20)
        ]
        await seen(laptop, lambda seen: seen["done"] >= 3)
        laptop.kill()
        heard = await asyncio.gather(*talk)  # each is checked: in order, nothing twice
        whole = [each for each in heard if len(each.clauses) == 3]
        assert len(whole) >= 3
        assert all(each.code == "unreachable" for each in heard if each not in whole)


async def test_neither_words_nor_names_nor_secrets_are_logged(laptop, capfd, caplog):
    caplog.set_level("DEBUG")
    secret = laptop.secret
    async with client(laptop.laptop()) as cloning:
        asked = request("Confidential things,", "truly", name="Marie Curie")
        for fault in ("failed", "html", "503", "end"):
            await laptop.behave(fault=fault)
            await listen(cloning, asked)
        long = request(*(["Confidential things"] * 60), name="Marie Curie")
        await laptop.behave(fault="")
        await until(lambda: cloning.speaks("en"))
        assert (await listen(cloning, long)).code == "bad_request"
        assert "Confidential" not in repr(asked) and "Curie" not in repr(asked)
        assert secret not in repr(cloning.laptops()) + repr(laptop.laptop())
    ours = [line for line in caplog.text.splitlines() if "babblefish" in line]
    output = "".join(capfd.readouterr()) + "\n".join(ours)
    assert "a laptop failed" in output
    for word in ("Confidential", "Curie", secret, PIERRE.text):
        assert word not in output


# --- the circuit breaker, by its own clock ---------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_circuit_opens_after_failures_in_a_row_only():
    breaker = CircuitBreaker(Clock())
    for _ in range(5):
        breaker.failed()
        assert breaker.state == "closed"
        breaker.succeeded()
    for _ in range(FAILURES):
        breaker.failed()
    assert breaker.state == "open" and not breaker.allows


def test_who_is_gone_is_not_asked_again_before_a_probe_was_answered():
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.failed(gone=True)
    clock.now = 1000
    assert not breaker.allows
    breaker.answered()
    assert breaker.state == "half_open" and breaker.allows
    breaker.begin()
    assert not breaker.allows, "one may try"
    breaker.gave_up()
    assert breaker.allows
    breaker.begin()
    breaker.succeeded()
    assert breaker.state == "closed"


def test_each_trial_that_fails_makes_the_rest_longer_and_a_success_short_again():
    clock = Clock()
    breaker = CircuitBreaker(clock)
    breaker.failed(gone=True)
    rests = []
    for _ in range(8):
        breaker.answered()
        clock.now = breaker._open_until or clock.now
        breaker.begin()
        breaker.failed()
        rests.append((breaker._open_until or 0) - clock.now)
    assert rests[:3] == [REST_S, 2 * REST_S, 4 * REST_S] and rests[-1] == LONGEST_REST_S
    clock.now += LONGEST_REST_S
    breaker.answered()
    breaker.begin()
    breaker.succeeded()
    breaker.failed(gone=True)
    breaker.answered()
    assert breaker.allows, "its rest is short again"
