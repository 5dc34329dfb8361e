"""What a room's utterances leave behind in the program's figures: durations, outcomes, errors.

Knows neither who spoke nor what was said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from babblefish import metrics
from babblefish.protocol import EngineMessage, Notice, Transcript, Translation

if TYPE_CHECKING:
    from rooms.publication import TraceRow

_BY_LANGUAGE = ("translate", "speak", "first clause", "first audio", "own voice")
"""stages that the engine times for each language: "translate pl" """
_OUTCOMES = ("spoken", "spoken plainly", "captioned", "empty")


def note(message: EngineMessage, behind: float, row: TraceRow | None) -> None:
    """behind: seconds since the last voiced sample. row: at the utterance's end."""
    match message:
        case Transcript() if message.text:
            metrics.TURNS.observe("transcript", behind)
        case Translation():
            metrics.TURNS.observe("caption", behind)
        case Notice():
            metrics.error(message.stage, message.code)
    if row is not None:
        _over(row)


def heard(after: float) -> None:
    """The first listener of a language began to hear an utterance."""
    metrics.TURNS.observe("heard", after)


def _over(row: TraceRow) -> None:
    if row.total_ms is not None:
        metrics.TURNS.observe("sound", row.total_ms / 1000)
    for stage, milliseconds in row.stages_ms.items():
        metrics.STAGES.observe(_stage(stage), milliseconds / 1000)
    outcome = row.outcome if row.outcome in _OUTCOMES else "failed"
    metrics.UTTERANCES.labels(outcome.replace(" ", "_")).inc()


def _stage(stage: str) -> str:
    found = next((known for known in _BY_LANGUAGE if stage.startswith(f"{known} ")), stage)
    return found.replace(" ", "_")
