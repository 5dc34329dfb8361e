"""How much a server carries: many listeners of one language, several people talking at once.

Figures are CPU seconds of the server's processes and the delay of each translation over time;
a delay that grows shows that the machine cannot keep up. Nobody waits for anybody here: people
talk while others are still being translated.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from bench.client import Phone
from bench.clips import Clip
from bench.conversation import PATIENCE_S, Observation, Turn, observe, speak, take_turn
from bench.measures import growth_per_minute, ratio, summary
from bench.server import Meter, RoomLink

Trace = Callable[[], dict[str, dict[str, Any]]]
"""utterance → row of the host's live trace"""

_PAUSE_S = 2.5
"""between the utterances of one of several speakers"""
_TURN_S = 1.0
"""between the utterances of people who take turns"""


async def listeners(
    base: str, link: RoomLink, meter: Meter, clips: Sequence[Clip], hears: str,
    numbers: Sequence[int], report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """The same clips once for each number of listeners of one language: what they cost."""
    found: dict[str, Any] = {}
    for number in numbers:
        found[str(number)] = await _audience(base, link, meter, clips, hears, number)
        cost = found[str(number)]
        report(
            f"{number} listeners of one language: engine {cost['engine_cpu_s']:.1f} s CPU, "
            f"server {cost['server_cpu_s']:.1f} s CPU"
        )
    few, many = found[str(min(numbers))], found[str(max(numbers))]
    found["engine_cost_ratio"] = ratio(many["engine_cpu_s"], few["engine_cpu_s"])
    return found


async def _audience(
    base: str, link: RoomLink, meter: Meter, clips: Sequence[Clip], hears: str, number: int
) -> dict[str, Any]:
    language = clips[0].language
    async with AsyncExitStack() as stack:
        speaker = await stack.enter_async_context(Phone(base, link, "Speaker", language, language))
        audience = [
            await stack.enter_async_context(
                Phone(base, link, f"Listener {n}", "auto", hears, microphone=False)
            )
            for n in range(number)
        ]
        await asyncio.sleep(1.0)
        mark = meter.mark()
        turns = [await take_turn(speaker, audience, clip.varied(n)) for n, clip in enumerate(clips)]
        usage = meter.since(mark)
        seen = [observe(turn, phone) for turn in turns for phone in audience]
    return {
        "engine_cpu_s": usage.cpu_seconds["engine"],
        "server_cpu_s": usage.cpu_seconds["server"],
        "cpu_percent": usage.cpu_percent,
        "speech_end_to_audio_s": summary(o.to_sound for o in seen),
        "unheard": sum(o.to_sound is None for o in seen),
    }


async def participants(
    base: str, link: RoomLink, meter: Meter, trace: Trace, speaking: Sequence[Sequence[Clip]],
    number: int, seconds: float, in_turns: bool, report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """``number`` people with microphones in one room, of whom one a list of clips talks: in turns,
    as in a conversation that waits for nobody, or all at once.

    The people who do not talk hear the languages of those who do, in turn; so each utterance is
    wanted in the languages of all other speakers. trace: asks the host's page for its trace.
    """
    return await _crowd(base, [link], meter, trace, speaking, number, seconds, report, in_turns)


async def rooms(
    base: str, links: Sequence[RoomLink], meter: Meter, trace: Trace,
    speaking: Sequence[Sequence[Clip]], seconds: float, report: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """In each room, one person talks and one listens; the rooms take the lists in turn."""
    return await _crowd(base, links, meter, trace, speaking, 2, seconds, report)


async def _crowd(
    base: str, links: Sequence[RoomLink], meter: Meter, trace: Trace,
    speaking: Sequence[Sequence[Clip]], number: int, seconds: float,
    report: Callable[[str], None], in_turns: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """``number`` people in each room. In a single room, each list of clips has its speaker."""
    languages = [clips[0].language for clips in speaking]
    async with AsyncExitStack() as stack:
        people = [
            [
                await stack.enter_async_context(
                    Phone(base, link, f"Person {n}", *[languages[(room + n) % len(languages)]] * 2)
                )
                for n in range(number)
            ]
            for room, link in enumerate(links)
        ]
        talkers = (
            list(zip(people[0], speaking, strict=False))
            if len(links) == 1
            else [(p[0], speaking[room % len(speaking)]) for room, p in enumerate(people)]
        )
        await asyncio.sleep(1.0)
        mark = meter.mark()
        if in_turns:
            turns = await _converse(talkers, seconds)
        else:
            each = (_talk(*talker, seconds, n * _PAUSE_S) for n, talker in enumerate(talkers))
            turns = [turn for talk in await asyncio.gather(*each) for turn in talk]
        usage = meter.since(mark)
        seen = [sight for room in people for sight in _heard(turns, room)]
        late = max(phone.latest for room in people for phone in room)
    figures = _lag(seen) | _voices(seen, trace())
    report(
        f"{len(links)} room(s) of {number}, {len(talkers)} talking: sound after "
        f"{figures['speech_end_to_audio_s']['p50']} s, growing "
        f"{figures['lag_growth_s_per_minute']} s a minute, {usage.cpu_percent} % CPU"
    )
    return figures | {
        "rooms": len(links),
        "participants": number * len(links),
        "speaking": len(talkers),
        "cpu_percent": usage.cpu_percent,
        "server_cpu_percent": round(100 * usage.cpu_seconds["server"] / usage.seconds, 1),
        "client_delay_s": round(late, 3),
    }


async def _talk(speaker: Phone, clips: Sequence[Clip], seconds: float, wait: float) -> list[Turn]:
    await asyncio.sleep(wait)
    loop = asyncio.get_running_loop()
    end, turns = loop.time() + seconds, []
    while loop.time() < end or len(turns) < 2:
        turn = await speak(speaker, clips[len(turns) % len(clips)].varied(len(turns)))
        turns.append(turn)
        await asyncio.sleep(_PAUSE_S)
    return await _heard_out(turns)


async def _converse(talkers: Sequence[tuple[Phone, Sequence[Clip]]], seconds: float) -> list[Turn]:
    """One after the other, each beginning shortly after the one before has finished talking."""
    loop = asyncio.get_running_loop()
    end, turns = loop.time() + seconds, []
    while loop.time() < end:
        number, who = divmod(len(turns), len(talkers))
        speaker, clips = talkers[who]
        turns.append(await speak(speaker, clips[number % len(clips)].varied(number)))
        await asyncio.sleep(_TURN_S)
    return await _heard_out(turns)


async def _heard_out(turns: list[Turn]) -> list[Turn]:
    """Wait for the last translations; then each speaker's turn ends where their next begins."""
    await asyncio.sleep(PATIENCE_S)
    for speaker in {turn.speaker for turn in turns}:
        for turn, following in itertools.pairwise(t for t in turns if t.speaker is speaker):
            turn.until = following.begun
    return turns


def _heard(turns: Sequence[Turn], people: Sequence[Phone]) -> list[Observation]:
    return [
        observe(turn, person, with_sound=False)
        for turn in turns
        if turn.speaker in people
        for person in people
        if person is not turn.speaker and person.hears != turn.clip.language
    ]


def _lag(seen: Sequence[Observation]) -> dict[str, Any]:
    """Delays by when translations began to play, which the server announces as they do."""
    delays = [
        (o.turn.last_voiced, o.playing_at - o.turn.last_voiced)
        for o in seen if o.playing_at is not None
    ]  # fmt: skip
    return {
        "speech_end_to_audio_s": summary(delay for _, delay in delays),
        "lag_growth_s_per_minute": growth_per_minute(
            [moment for moment, _ in delays], [delay for _, delay in delays]
        ),
        "speech_end_to_caption_s": summary(o.to_caption for o in seen),
        "unheard": sum(o.playing_at is None for o in seen),
        "uncaptioned": sum(o.caption_at is None for o in seen),
        "expected": len(seen),
    }


def _voices(seen: Sequence[Observation], trace: dict[str, dict[str, Any]]) -> dict[str, int]:
    """How many utterances were spoken, and how many of them by the plain voice."""
    utterances = {caption.utterance for o in seen for caption in o.captions}
    outcomes = Counter(trace[u]["outcome"] for u in utterances if u in trace)
    return {
        "spoken": outcomes["spoken"] + outcomes["spoken plainly"],
        "plainly": outcomes["spoken plainly"],
    }
