"""Conversations through a real room: how long each turn takes, and whether all of it arrives.

fr→en is one person speaking to another; es→en and en→es are two people alternating, utterance
after utterance. One person speaks at a time, and the next begins when the last was heard.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.client import Phone
from bench.clips import Clip, choose
from bench.conversation import PATIENCE_S, Observation, Turn, all_heard, observe, take_turn
from bench.measures import WordErrors, match, summary
from bench.server import RoomLink

_SHORT_S = 5.2
"""clips without a transcript take part up to this length"""


@dataclass(slots=True)
class Live:
    """What came of the conversations."""

    observations: list[Observation] = field(default_factory=list)
    """one a turn, in order, as the person spoken to got it"""
    own: list[Observation] = field(default_factory=list)
    """the same turns as their speakers saw them"""
    latest_frame_s: float = 0.0
    """the most that this machine delayed a microphone"""
    longest_gap_s: float = 0.0
    """the longest time in which a listener got no sound packet"""


async def monologue(
    base: str, link: RoomLink, clips: Sequence[Clip], hears: str, count: int,
    live: Live, report: Callable[[str], None], deadline: float = float("inf"),
) -> None:  # fmt: skip
    """``count`` turns of one speaker, for one listener, from ``clips`` in rotation."""
    language = clips[0].language
    async with (
        Phone(base, link, "Speaker", language, language) as speaker,
        Phone(base, link, "Listener", hears, hears) as listener,
    ):
        turns = ((speaker, listener, clip) for clip in itertools.cycle(clips))
        await _talk(itertools.islice(turns, count), live, report, deadline)


async def dialogue(
    base: str, link: RoomLink, first: Sequence[Clip], second: Sequence[Clip], count: int,
    live: Live, report: Callable[[str], None], deadline: float = float("inf"),
) -> None:  # fmt: skip
    """``count`` utterances of two people who alternate, each hearing the other translated."""
    one, two = first[0].language, second[0].language
    async with (
        Phone(base, link, "One", one, one) as a,
        Phone(base, link, "Two", two, two) as b,
    ):
        pairs = zip(itertools.cycle(first), itertools.cycle(second), strict=False)
        turns = (turn for x, y in pairs for turn in ((a, b, x), (b, a, y)))
        await _talk(itertools.islice(turns, count), live, report, deadline)


async def _talk(turns, live: Live, report: Callable[[str], None], deadline: float) -> None:
    done: list[tuple[Turn, Phone]] = []
    for number, (speaker, listener, clip) in enumerate(turns):
        if time.monotonic() > deadline:
            break
        turn = await take_turn(speaker, [listener], clip.varied(number))
        done.append((turn, listener))
        report(_line(observe(turn, listener)))
    if not done:
        return
    await all_heard(done, PATIENCE_S)
    for turn, listener in done:
        live.observations.append(observe(turn, listener))
        live.own.append(observe(turn, turn.speaker, with_sound=False))
    begun, ended = done[0][0].begun, done[-1][0].until
    for phone in {phone for turn, listener in done for phone in (turn.speaker, listener)}:
        live.latest_frame_s = max(live.latest_frame_s, phone.latest)
        gap = phone.recording.longest_gap(begun, ended)
        live.longest_gap_s = max(live.longest_gap_s, gap)


def _line(seen: Observation) -> str:
    moments = (("end", seen.to_end), ("caption", seen.to_caption), ("sound", seen.to_sound))
    times = "  ".join(f"{name} {'–' if at is None else f'{at:.2f} s'}" for name, at in moments)
    return f"{seen.turn.clip.language}→{seen.hears}  {times}"


def speakers(clips: list[Clip], language: str) -> list[Clip]:
    """The clips of one language that alternate in a conversation."""
    found = choose(
        clips,
        lambda clip: (
            clip.language == language and (clip.transcript is not None or clip.seconds <= _SHORT_S)
        ),
    )
    return found[:8]


# --- judging --------------------------------------------------------------------------------


def timings(observations: Sequence[Observation]) -> dict[str, Any]:
    """The figures of some turns, each {"p50", "p95", "n"} in seconds."""
    return {
        "speech_end_to_audio_s": summary(o.to_sound for o in observations),
        "speech_end_to_caption_s": summary(o.to_caption for o in observations),
        "speech_end_to_endpoint_s": summary(o.to_end for o in observations),
        "first_partial_s": summary(o.to_partial for o in observations),
    }


def directions(observations: Sequence[Observation]) -> dict[str, dict[str, Any]]:
    """``timings`` for each "fr→en"."""
    found: dict[str, list[Observation]] = {}
    for seen in observations:
        found.setdefault(f"{seen.turn.clip.language}→{seen.hears}", []).append(seen)
    return {direction: timings(group) for direction, group in found.items()}


def completeness(live: Live, references: dict[str, str]) -> dict[str, Any]:
    """Turns lost, doubled and cut. references: clip name → what it says.

    A turn is lost when its words are in no final caption of the listener or of the speaker, or
    when its translation was never played; doubled when any of it is captioned or played twice.
    """
    lost, doubled, cut = [], [], []
    errors = WordErrors()
    for seen, own in zip(live.observations, live.own, strict=True):
        clip = seen.turn.clip
        result = match(references[clip.name], seen.texts, clip.language)
        ids = [caption.utterance for caption in seen.captions]
        unheard = [c.utterance for c in seen.captions if c.utterance not in seen.heard]
        if result.lost or unheard or not own.captions:
            lost.append(clip.name)
        if result.doubled or len(set(ids)) < len(ids) or any(n > 1 for n in seen.heard.values()):
            doubled.append(clip.name)
        if result.cut:
            cut.append(clip.name)
        if clip.transcript is not None:
            errors += result.errors
    return {
        "utterances": len(live.observations),
        "lost": len(lost),
        "doubled": len(doubled),
        "cut_first_words": len(cut),
        "lost_clips": lost,
        "doubled_clips": doubled,
        "cut_clips": cut,
        "wer": errors.rate,
        "wer_words": errors.of,
    }


def stages(live: Live, trace: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """stage → {"p50", "p95", "n"} in seconds, from the host's trace of the same utterances."""
    found: dict[str, list[float]] = {}
    for seen in live.observations:
        for caption in seen.captions:
            row = trace.get(caption.utterance, {})
            for stage, milliseconds in row.get("stages_ms", {}).items():
                name = stage.rsplit(" ", 1)[0] if stage.endswith(f" {seen.hears}") else stage
                found.setdefault(name, []).append(milliseconds / 1000)
    return {stage: summary(values) for stage, values in found.items()}
