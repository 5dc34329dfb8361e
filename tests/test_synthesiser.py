"""The whole of the laptop's inside on tiny real checkpoints: voices in, clauses out."""

# ruff: noqa: F401, F811  (fixtures are imported by name)
from __future__ import annotations

import asyncio
import itertools
import tempfile
import threading
import time

import numpy as np
import pytest
import torch

from babblefish.accelerator.f5 import F5Network, Vocoder
from babblefish.accelerator.sampling import Sampling
from babblefish.accelerator_protocol import (
    decode_audio,
)
from babblefish.errors import SynthesisError
from tests.patience import PATIENCE, until
from tests.synthesisers import (
    VOICE,
    asking,
    batches,
    heard,
    one_thread,
    other_voice,
    refused,
    running,
    weights,
)
from tests.test_reference_voices import speech, voice

SECRET = "Zanzibar is what only this test would say"


async def test_clauses_come_one_after_the_other_the_first_one_early(weights):
    async with running(weights, steps=32) as synthesiser:
        await synthesiser.put_voice(VOICE)
        clauses = await heard(
            synthesiser, asking("Good morning,", "we begin in a moment,", "take a seat please.")
        )
        health = synthesiser.health()
    assert [clause.clause for clause in clauses] == [0, 1, 2]
    assert [clause.last for clause in clauses] == [False, False, True]
    assert all(clause.sample_rate == 24_000 for clause in clauses)
    assert clauses[0].latency_ms < clauses[1].latency_ms < clauses[2].latency_ms
    for clause in clauses:
        samples = decode_audio(clause.audio)
        assert 0.6 < len(samples) / 24_000 < 2.5
        assert 0.02 < np.sqrt(np.mean(samples**2)) < 0.3
    assert health.ready and health.languages == ["en", "fr", "zh"] and health.voices == 1
    assert health.waiting == 0 and health.expected_wait_s == 0
    assert health.real_time_factor > 0 and 0 < health.first_clause_s < clauses[0].latency_ms / 900
    assert health.device.startswith("CPU") and health.message == ""


async def test_what_waits_at_the_same_moment_is_said_together(weights, monkeypatch):
    hold = threading.Event()
    async with running(weights, most_rows=4) as synthesiser:
        voices = [VOICE, *(other_voice(number) for number in range(2, 6))]
        for one in voices:
            await synthesiser.put_voice(one)
        sizes = batches(monkeypatch, hold)
        work = []
        for one in voices:
            request = asking("Hello you all.", "And more.", of=one)
            work.append(asyncio.create_task(heard(synthesiser, request)))
            await until(lambda: sizes == [1])
        await until(lambda: synthesiser.health().waiting == 5)
        hold.set()
        said = await asyncio.gather(*work)
    assert sizes[:2] == [1, 4], "whoever came first does not wait; the others go together"
    assert sizes[2] > 1, "second clauses only after all first ones"
    assert all([c.clause for c in clauses] == [0, 1] for clauses in said)


async def test_nobody_waits_any_more_and_the_work_ends_between_two_steps(weights, monkeypatch):
    async with running(weights, steps=5000) as synthesiser:
        await synthesiser.put_voice(VOICE)
        sizes = batches(monkeypatch)
        begun = asyncio.create_task(heard(synthesiser, asking("This would take minutes.")))
        await until(lambda: sizes == [1])
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
        synthesiser._thread.sampling = Sampling(7)
        assert len(await heard(synthesiser, asking("This does not."))) == 1
        stream = synthesiser.speak(asking("One,", "two,", "three."))
        assert (await anext(stream)).clause == 0
        await stream.aclose()
        assert synthesiser.health().waiting == 0


@pytest.mark.parametrize("most", [2, 1, 0])
async def test_when_memory_runs_out_the_batch_is_halved_and_goes_on(weights, monkeypatch, most):
    """most: rows for which there is memory."""
    hold = threading.Event()
    async with running(weights, most_rows=4) as synthesiser:
        await synthesiser.put_voice(VOICE)
        whole = F5Network.sample

        def sample(self, rows, *more):
            hold.wait(PATIENCE)
            if len(rows) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return whole(self, rows, *more)

        monkeypatch.setattr(F5Network, "sample", sample)
        work = [
            asyncio.create_task(heard(synthesiser, asking(f"Sentence {n}.", of=VOICE)))
            for n in ("one", "two", "three", "four", "five")
        ]
        await until(lambda: synthesiser.health().waiting == 5)
        hold.set()
        said = await asyncio.gather(*work, return_exceptions=True)
        if most:
            assert all(isinstance(clauses, list) and clauses[-1].last for clauses in said)
            assert synthesiser._thread.limits.rows == most
        else:
            assert {error.code for error in said} == {"synthesis_failed"}
        monkeypatch.setattr(F5Network, "sample", whole)
        assert await heard(synthesiser, asking("Still alive."))


@pytest.mark.parametrize(
    "broken",
    [
        lambda samples: np.full_like(samples, np.nan),
        lambda samples: samples * 0,
        lambda samples: samples[:500],
        lambda samples: np.tile(samples, 8),
        lambda samples: np.sign(samples),
    ],
    ids=["nan", "silent", "short", "endless", "clipped"],
)
async def test_faults_are_tried_again_and_never_sent(weights, monkeypatch, broken):
    whole, count, faults = Vocoder.speak, itertools.count(), 1

    def speak(self, mel):
        samples = whole(self, mel)
        return broken(samples) if next(count) < faults else samples

    async with running(weights) as synthesiser:
        await synthesiser.put_voice(VOICE)
        monkeypatch.setattr(Vocoder, "speak", speak)
        clauses = await heard(synthesiser, asking("Good morning everybody."))
        samples = decode_audio(clauses[0].audio)
        assert 0.5 < len(samples) / 24_000 < 4 and 0.02 < np.sqrt(np.mean(samples**2)) < 0.3
        assert next(count) == 2
        count, faults = itertools.count(), 100
        assert await refused(synthesiser, asking("Good morning everybody.")) == "synthesis_failed"
        assert next(count) == 3, "three tries are enough"
        faults = 0
        assert await heard(synthesiser, asking("Good morning everybody."))


async def test_an_error_of_the_network_costs_its_request_alone(weights, monkeypatch):
    async with running(weights) as synthesiser:
        await synthesiser.put_voice(VOICE)
        whole = F5Network.sample

        def fail(*anything):
            raise RuntimeError(SECRET)

        monkeypatch.setattr(F5Network, "sample", fail)
        assert await refused(synthesiser, asking("One.")) == "synthesis_failed"
        monkeypatch.setattr(F5Network, "sample", whole)
        assert await heard(synthesiser, asking("Two."))


async def test_a_device_that_fails_again_and_again_is_said_and_comes_back(weights, monkeypatch):
    async with running(weights) as synthesiser:
        await synthesiser.put_voice(VOICE)
        whole = F5Network.sample

        def fail(*anything):
            raise RuntimeError("CUDA error: unspecified launch failure")

        monkeypatch.setattr(F5Network, "sample", fail)
        for _ in range(3):
            assert await refused(synthesiser, asking("One.")) == "synthesis_failed"
        await until(lambda: not synthesiser.health().ready)
        assert "cannot be started" in synthesiser.health().message
        assert await refused(synthesiser, asking("Two.")) == "not_ready"
        monkeypatch.setattr(F5Network, "sample", whole)
        synthesiser._thread.submit([])  # instead of ten seconds
        await until(lambda: synthesiser.health().ready)
        assert await heard(synthesiser, asking("Three."))


async def test_what_cannot_be_said_is_refused_with_its_code(weights):
    async with running(weights) as synthesiser:
        assert await refused(synthesiser, asking("Hello.")) == "unknown_voice"
        await synthesiser.put_voice(VOICE)
        assert await refused(synthesiser, asking("Hello.", reference="0" * 32)) == "unknown_voice"
        assert await refused(synthesiser, asking("Hallo.", language="de")) == "unknown_language"
        assert await refused(synthesiser, asking("🙂")) == "bad_request"
        with pytest.raises(SynthesisError) as caught:
            await synthesiser.put_voice(voice(np.zeros(90_000, np.float32)))
        assert caught.value.code == "bad_reference" and synthesiser.health().voices == 1


async def test_too_much_or_too_late_is_busy(weights, monkeypatch):
    hold = threading.Event()
    async with running(weights, most_waiting=3) as synthesiser:
        await synthesiser.put_voice(VOICE)
        await heard(synthesiser, asking("So that it knows how long things take."))
        sizes = batches(monkeypatch, hold)
        first = asyncio.create_task(heard(synthesiser, asking("At work.", request_id="same")))
        await until(lambda: sizes == [1])
        assert await refused(synthesiser, asking("Hello.", request_id="same")) == "bad_request"
        assert synthesiser.health().expected_wait_s > 0
        synthesiser._thread.figures.seconds_per_frame = 1e-9  # as if all were done at once
        late = asyncio.create_task(heard(synthesiser, asking("Late.", deadline_ms=50)))
        third = asyncio.create_task(heard(synthesiser, asking("In time.")))
        await until(lambda: synthesiser.health().waiting == 3)
        assert await refused(synthesiser, asking("Too much.")) == "busy"
        await asyncio.sleep(0.06)
        hold.set()
        assert await first and await third
        with pytest.raises(SynthesisError) as caught:
            await late
        assert caught.value.code == "busy"


async def test_deleting_a_voice_ends_what_it_is_saying(weights, monkeypatch):
    hold = threading.Event()
    async with running(weights) as synthesiser:
        await synthesiser.put_voice(VOICE)
        await synthesiser.put_voice(other_voice(2))
        kept = synthesiser._voices.get(VOICE.speaker_id, VOICE.digest)
        sizes = batches(monkeypatch, hold)
        saying = asyncio.create_task(heard(synthesiser, asking("Hello,", "you all.")))
        await until(lambda: sizes == [1])
        other = asyncio.create_task(heard(synthesiser, asking("Hi.", of=other_voice(2))))
        gone = await synthesiser.delete_voice(VOICE.speaker_id)
        with pytest.raises(SynthesisError) as caught:
            await saying
        assert caught.value.code == "unknown_voice"
        hold.set()
        assert await other, "the others go on"
        assert gone.existed and not kept.mel.any() and not kept.symbols and not kept.words
        assert not (await synthesiser.delete_voice(VOICE.speaker_id)).existed


async def test_closing_tells_whoever_waits(weights, monkeypatch):
    hold = threading.Event()
    async with running(weights) as synthesiser:
        await synthesiser.put_voice(VOICE)
        sizes = batches(monkeypatch, hold)
        saying = asyncio.create_task(heard(synthesiser, asking("Hello.")))
        await until(lambda: sizes == [1])
        hold.set()
        await synthesiser.close()
        with pytest.raises(SynthesisError) as caught:
            await saying
        assert caught.value.code == "cancelled"
        assert not synthesiser._thread.is_alive() and synthesiser.health().voices == 0
        assert not synthesiser.health().ready


async def test_nothing_of_what_is_said_is_printed_logged_or_left_on_disk(
    weights, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in weights.rglob("*")}
    mine = voice(speech(4, seed=3), "secret-speaker", text=f"{SECRET}, in the reference.")
    async with running(weights, listen=None) as synthesiser:
        await synthesiser.put_voice(mine)
        assert await heard(synthesiser, asking(SECRET, of=mine))
        whole = Vocoder.speak
        monkeypatch.setattr(Vocoder, "speak", lambda self, mel: whole(self, mel) * 0)
        await refused(synthesiser, asking(SECRET, of=mine))
        monkeypatch.setattr(Vocoder, "speak", lambda self, mel: {}[SECRET])
        await refused(synthesiser, asking(SECRET, of=mine))
    written = "".join(capfd.readouterr())
    assert "a batch failed" in written and "said again" in written
    for private in ("Zanzibar", "zanzibar", "secret-speaker", "Dan"):
        assert private not in written
    assert list(tmp_path.rglob("*")) == []
    assert {path: path.stat().st_mtime_ns for path in weights.rglob("*")} == before


async def test_the_event_loop_is_not_held_up(weights):
    """Loading, preparing and speaking happen elsewhere: between two turns of the loop, its thread
    does next to nothing. In processor time, since other programs may hold it up, too."""
    longest, ended = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ended:
            before = time.thread_time()
            await asyncio.sleep(0.002)
            longest = max(longest, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    async with running(weights, steps=32) as synthesiser:
        await synthesiser.put_voice(VOICE)
        await heard(synthesiser, asking("Good morning,", "we begin in a moment."))
    ended = True
    await watching
    assert longest < 0.1
