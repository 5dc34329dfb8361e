"""Which way to a laptop works: the one in use is asked first, then all others at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from babblefish.accelerator_protocol import PROTOCOL_VERSION, Health
from babblefish.engine.cloning_transport import Transport, unreachable
from babblefish.errors import CloningError

PROBE_S = 2.5
_TELLING = ("version", "refused", "late", "bad_answer")
"""codes, those first that say most about a laptop that can be reached in no way"""


async def first_to_answer(
    ways: Sequence[Transport], used: Transport | None
) -> tuple[Transport, Health]:
    """Raises CloningError where none answers within ``PROBE_S``, twice that after a change."""
    errors: list[CloningError] = []
    for group in ([way for way in ways if way is used], [way for way in ways if way is not used]):
        probes = [asyncio.create_task(_probe(way), name="laptop's health") for way in group]
        try:
            for probe in asyncio.as_completed(probes):
                try:
                    return await probe
                except CloningError as error:
                    errors.append(error)
        finally:
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)
    raise min(errors, key=_rank, default=unreachable())


async def _probe(way: Transport) -> tuple[Transport, Health]:
    try:
        async with asyncio.timeout(PROBE_S):
            health = await way.health()
    except TimeoutError:
        raise CloningError("late", "The laptop does not answer in time.") from None
    if health.protocol != PROTOCOL_VERSION:
        raise CloningError(
            "version", "The laptop runs another version of BabbleFish. Update the older of the two."
        )
    return way, health


def _rank(error: CloningError) -> int:
    return _TELLING.index(error.code) if error.code in _TELLING else len(_TELLING)
