"""The whole of the laptop's inside on tiny real checkpoints: voices in, clauses out."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from babblefish.accelerator import checkpoints
from babblefish.accelerator.f5 import F5Network, Vocoder
from babblefish.accelerator.sampling import Sampling
from babblefish.accelerator.scheduling import Limits
from babblefish.accelerator.synthesis import Synthesiser, SynthesisSettings
from babblefish.accelerator_protocol import (
    ClauseSpoken,
    Health,
    PutVoice,
    Synthesize,
    decode_audio,
)
from babblefish.engine.models import Source, sha256
from babblefish.errors import SettingsError, SynthesisError, WeightsError
from tests import tiny_f5
from tests.test_reference_voices import speech, voice

SECRET = "Zanzibar is what only this test would say"
_names = (f"r{number}" for number in itertools.count())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny_f5.install(folder, "base", "fr")
    return folder


@asynccontextmanager
async def running(weights: Path, **settings) -> AsyncIterator[Synthesiser]:
    chosen = {"device": "cpu", "precision": "fp32", "steps": 7, "listen": False} | settings
    synthesiser = Synthesiser(SynthesisSettings(weights, **chosen))
    await synthesiser.start()
    try:
        await synthesiser.ready()
        yield synthesiser
    finally:
        await synthesiser.close()


VOICE = voice(speech(3, seed=1), text="Today only platforms one and three are used.")


def other_voice(number: int) -> PutVoice:
    return voice(speech(2.5 + number / 4, seed=number), f"p{number}",
                 text="These are other words, said by another one.")  # fmt: skip


def asking(*clauses: str, of: PutVoice = VOICE, **changes) -> Synthesize:
    values = {"request_id": next(_names), "text": " ".join(clauses), "clauses": list(clauses),
              "language": "en", "speaker_id": of.speaker_id, "speaker_name": "Dan",
              "reference": of.digest}  # fmt: skip
    return Synthesize(**(values | changes))


async def heard(synthesiser: Synthesiser, request: Synthesize) -> list[ClauseSpoken]:
    return [clause async for clause in synthesiser.speak(request)]


async def refused(synthesiser: Synthesiser, request: Synthesize) -> str:
    with pytest.raises(SynthesisError) as caught:
        await heard(synthesiser, request)
    return caught.value.code


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def batches(monkeypatch: pytest.MonkeyPatch, hold: threading.Event | None = None) -> list[int]:
    """Rows of each batch that is sampled; ``hold`` stops before each."""
    sizes: list[int] = []
    whole = F5Network.sample

    def sample(self, rows, *more):
        sizes.append(len(rows))
        if hold is not None:
            hold.wait(20)
        return whole(self, rows, *more)

    monkeypatch.setattr(F5Network, "sample", sample)
    return sizes


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
            hold.wait(20)
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
    """Loading, preparing and speaking happen elsewhere. Generous: the machine may be busy."""
    longest, ended = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ended:
            before = time.perf_counter()
            await asyncio.sleep(0.002)
            longest = max(longest, time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    async with running(weights, steps=32) as synthesiser:
        await synthesiser.put_voice(VOICE)
        await heard(synthesiser, asking("Good morning,", "we begin in a moment."))
    ended = True
    await watching
    assert longest < 0.5


async def test_without_weights_it_says_how_to_get_them_and_asks_no_network(tmp_path, monkeypatch):
    def refuse(*anything):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    synthesiser = Synthesiser(SynthesisSettings(tmp_path, device="cpu"))
    await synthesiser.start()
    with pytest.raises(WeightsError, match="--fetch base") as caught:
        await synthesiser.ready()
    assert caught.value.code == "missing" and "commercially" in caught.value.message
    health = synthesiser.health()
    assert not health.ready and health.languages == [] and "--fetch base" in health.message
    assert await refused(synthesiser, asking("Hello.")) == "not_ready"
    await synthesiser.close()


async def test_languages_are_those_whose_weights_are_there(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    hidden = folder / "f5" / "fr"
    hidden.rename(tmp_path / "fr")
    async with running(folder, networks=1) as synthesiser:
        await synthesiser.put_voice(VOICE)
        assert synthesiser.health().languages == ["en", "zh"]
        assert await refused(synthesiser, asking("Bonjour.", language="fr")) == "unknown_language"
        (tmp_path / "fr").rename(hidden)
        await synthesiser.refresh()
        assert synthesiser.health().languages == ["en", "fr", "zh"]
        for language, text in (("fr", "Bonjour."), ("en", "Hello."), ("zh", "你好。")):
            assert await heard(synthesiser, asking(text, language=language))
            assert len(synthesiser._thread.networks._loaded) == 1


async def test_damaged_weights_are_found_and_named(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    path = checkpoints.BASE.weights(folder)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    synthesiser = Synthesiser(SynthesisSettings(folder, device="cpu"))
    await synthesiser.start()
    with pytest.raises(WeightsError, match="not the original"):
        await synthesiser.ready()
    await synthesiser.close()


async def test_numbers_that_overflow_16_bits_are_computed_in_32(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    path = checkpoints.BASE.weights(folder)
    state = load_file(path)
    state["ema_model.transformer.proj_out.bias"] += 1e6  # beyond what 16 bits hold
    save_file(state, path)
    files = {file.name: folder / file.path for file in checkpoints.BASE.model.files}
    known = {name: (file.stat().st_size, sha256(file)) for name, file in files.items()}
    Source("0" * 40, known).save(path.parent)
    async with running(folder, precision="fp16") as synthesiser:
        assert synthesiser._thread.networks.precision == "fp32"
        assert synthesiser.health().ready


async def test_a_long_text_is_one_clause_all_the_same(weights, monkeypatch):
    sizes = batches(monkeypatch)
    async with running(weights, steps=7) as synthesiser:
        sizes.clear()
        await synthesiser.put_voice(VOICE)
        words = "This sentence is here because it takes so long to say. " * 10
        [clause] = await heard(synthesiser, asking(text=words.strip(), clauses=[]))
        assert clause.last and len(decode_audio(clause.audio)) > 20 * 24_000
        assert sum(sizes) >= 2, "in pieces that F5 can say"
        spoken = await heard(synthesiser, asking("🙂", "Good.", "…"))
        assert [c.clause for c in spoken] == [0, 1, 2] and spoken[-1].last
        assert not decode_audio(spoken[0].audio).any()


async def test_settings_that_cannot_be_are_named(tmp_path):
    with pytest.raises(SettingsError, match="fp16"):
        Synthesiser(SynthesisSettings(tmp_path, device="cpu", precision="int8"))
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="No GPU"):
            Synthesiser(SynthesisSettings(tmp_path, device="cuda"))


async def test_health_is_a_message(weights):
    async with running(weights) as synthesiser:
        assert Health.model_validate_json(synthesiser.health().model_dump_json()).ready
    assert Limits(8, 100).halved(8).rows == 4 and Limits(1, 100).halved(1).rows == 1
