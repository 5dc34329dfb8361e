"""How good the words are: transcripts, translations, synthesised speech, and silence kept.

What a room did with the clips is compared with ``app.py file`` and with faster-whisper's defaults
on the same clips; what listeners heard is recognised again and compared with the captions.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from babblefish.audio import resample, to_float32, to_int16
from babblefish.engine.stages import SPEECH_RATE
from babblefish.protocol import Caption
from babblefish.settings import Settings
from bench.baseline import Whisper
from bench.client import Phone
from bench.clips import RATE, SENT_RATE, Clip
from bench.conversation import Observation, observe, take_turn
from bench.measures import WordErrors, chrf, word_errors, words
from bench.server import RoomLink
from bench.sounds import no_speech

_AFTER_SOUND_S = 3.0


async def readings(
    base: str, link: RoomLink, clips: Sequence[Clip], hears: str, rounds: int
) -> list[Observation]:
    """Each clip once a round, never quite the same, by a speaker of its language."""
    seen = []
    async with Phone(base, link, "Listener", hears, hears, microphone=False) as listener:
        for language in dict.fromkeys(clip.language for clip in clips):
            name = f"Speaker of {language}"
            async with Phone(base, link, name, language, hears) as speaker:
                for number, clip in itertools.product(range(rounds), clips):
                    if clip.language == language:
                        turn = await take_turn(speaker, [listener], clip.varied(number))
                        seen.append(observe(turn, listener))
    return seen


async def false_words(base: str, link: RoomLink, hears: str) -> dict[str, Any]:
    """Words captioned and seconds of translation heard while nobody speaks, sound by sound."""
    loop = asyncio.get_running_loop()
    sounds = no_speech()
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(
            Phone(base, link, "Listener", hears, hears, microphone=False)
        )
        makers = {
            name: await stack.enter_async_context(Phone(base, link, name, "en", "en"))
            for name in sounds
        }
        begun = loop.time()
        said = [makers[name].say(_sent(sound)) for name, sound in sounds.items()]
        for spoken in said:
            await spoken.finished.wait()
        await asyncio.sleep(_AFTER_SOUND_S)
        captions = [c for _, c in listener.between(Caption, begun, loop.time()) if c.final]
        audible = listener.recording.seconds_audible(begun, loop.time())
    counts = {
        name: sum(len(words(c.text)) for c in captions if c.member == phone.member)
        for name, phone in makers.items()
    }
    return {"words": counts, "words_in_all": sum(counts.values()), "heard_s": round(audible, 2)}


def _sent(samples: np.ndarray) -> np.ndarray:
    return to_int16(resample(samples, RATE, SENT_RATE))


# --- words ----------------------------------------------------------------------------------


def room_words(observations: Sequence[Observation]) -> dict[str, Any]:
    """Word error rate and chrF of what the room made of clips that have references."""
    written = [seen for seen in observations if seen.turn.clip.transcript is not None]
    texts = [" ".join(seen.texts) for seen in written]
    errors = sum(errors_of(texts, [s.turn.clip for s in written]).values(), WordErrors())
    pairs = []
    for seen in observations:
        reference = seen.turn.clip.translations.get(seen.hears)
        if reference and seen.translated:
            pairs.append((" ".join(seen.translated), reference))
    return {
        "wer": errors.rate,
        "wer_words": errors.of,
        "chrf": chrf(pairs),
        "chrf_sentences": len(pairs),
    }


def errors_of(texts: Sequence[str], clips: Sequence[Clip]) -> dict[str, WordErrors]:
    """``texts`` against the transcripts of ``clips``, one each; summed by clip name."""
    found: dict[str, WordErrors] = {}
    for text, clip in zip(texts, clips, strict=True):
        assert clip.transcript is not None
        errors = word_errors(clip.transcript, text, clip.language)
        found[clip.name] = found.get(clip.name, WordErrors()) + errors
    return found


def compare(
    settings: Settings, whisper: Whisper, observations: Sequence[Observation]
) -> dict[str, Any]:
    """Word error rates of the same sounds through the room, ``app.py file`` and faster-whisper."""
    clips = [seen.turn.clip for seen in observations]
    by_way = {
        "wer": [" ".join(seen.texts) for seen in observations],
        "wer_file": file_transcripts(settings, clips),
        "wer_faster_whisper": faster_whisper_transcripts(whisper, clips),
    }
    errors = {way: errors_of(texts, clips) for way, texts in by_way.items()}
    rates = {way: sum(found.values(), WordErrors()) for way, found in errors.items()}
    return {way: total.rate for way, total in rates.items()} | {
        "wer_words": rates["wer"].of,
        "wer_clips": {
            name: {way: found[name].rate for way, found in errors.items()} for name in errors["wer"]
        },
    }


def faster_whisper_transcripts(whisper: Whisper, clips: Sequence[Clip]) -> list[str]:
    """What faster-whisper's defaults recognise, told the language."""
    return [whisper.text(clip.samples, clip.language) for clip in clips]


def file_transcripts(settings: Settings, clips: Sequence[Clip]) -> list[str]:
    """What ``app.py file --from`` recognises."""
    return asyncio.run(_file_transcripts(settings, clips))


async def _file_transcripts(settings: Settings, clips: Sequence[Clip]) -> list[str]:
    from babblefish.engine.engine import Engine
    from babblefish.engine.profiles import choose, without_drafts
    from babblefish.ui.files import interpret_file

    engine, found = Engine(without_drafts(choose(settings))), []
    await engine.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for clip in clips:
                path = Path(folder) / "clip.wav"
                soundfile.write(path, clip.samples, RATE)
                result = await interpret_file(
                    engine, path, clip.language, [], Path(folder) / "out",
                    lambda line: None, lambda done, of: None,
                )  # fmt: skip
                found.append(" ".join(line.transcript for line in result.lines))
    finally:
        await engine.close()
    return found


def round_trip(
    whisper: Whisper, observations: Sequence[Observation], most: int,
    report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Recognise what listeners heard and compare it with the captions they read."""
    errors, done = WordErrors(), 0
    for seen in observations:
        if done == most:
            break
        if seen.sound is None or len(seen.translated) != 1:
            continue
        heard = resample(to_float32(seen.sound), SENT_RATE, SPEECH_RATE)
        text = whisper.text(heard, seen.hears)
        errors += word_errors(seen.translated[0], text, seen.hears)
        done += 1
    report(f"synthesised speech recognised again: word error rate {errors.rate}")
    return {"wer": errors.rate, "utterances": done}
