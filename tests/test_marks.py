"""What ``bench/marks.py`` says of what somebody heard: it has to notice what it is there for."""

from __future__ import annotations

import numpy as np
import pytest

from babblefish.audio import to_int16
from babblefish.engine import clauses
from bench import marks
from bench.marks import FRAME, PLAYOUT_RATE, Voice, verdict
from rooms.splicing import splice

TEXT = marks.sentence(3)
PARTS = clauses.split(TEXT, "en")


def clause(number: int, voice: Voice) -> np.ndarray:
    return to_int16(marks.spoken(PARTS[number].text, PLAYOUT_RATE, voice))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * PLAYOUT_RATE), np.int16)


def said(*voices: Voice) -> list[np.ndarray]:
    """All clauses, each in its voice, with the pauses between them."""
    pieces = [silence(0.5)]
    for number, voice in enumerate(voices):
        pieces += [clause(number, voice), silence(PARTS[number].pause_after)]
    return pieces


def heard(pieces: list[np.ndarray]) -> marks.Verdict:
    whole = np.concatenate([*pieces, silence(0.5)])
    return verdict(whole[: len(whole) // FRAME * FRAME].reshape(-1, FRAME), TEXT)


@pytest.mark.parametrize(
    "voices", [("neutral",) * 3, ("own",) * 3, ("neutral", "own", "own"), ("own", "own", "neutral")]
)
def test_what_is_well_said_is_found_well_said(voices):
    found = heard(said(*voices))
    assert [run[:2] for run in found.runs] == list(enumerate(voices))
    assert (found.lost_s, found.doubled_s, found.out_of_order, found.foreign) == (0, 0, False, 0)
    assert found.first == pytest.approx(25, abs=1)
    assert max([*found.change_gaps, *found.other_gaps]) <= 0.04


def test_a_change_of_voice_in_the_middle_of_a_clause_is_no_blemish():
    old, new = clause(2, "neutral"), clause(2, "own")
    cut = splice(old, len(old) // 3, new)
    assert cut is not None
    found = heard([*said("neutral", "neutral"), old[: cut.leave], cut.rest])
    assert [run[:2] for run in found.runs][-2:] == [(2, "neutral"), (2, "own")]
    assert (found.lost_s, found.doubled_s, found.out_of_order) == (0, 0, False)
    assert found.change_gaps == [pytest.approx(0.0, abs=0.04)]


def test_what_is_lost_is_noticed():
    pieces = said("own", "own", "neutral")
    assert heard(pieces[:3] + pieces[5:]).lost_s > 0.1, "a clause"
    assert heard([*pieces[:-2], pieces[-2][: len(pieces[-2]) // 2]]).lost_s > 0.5, "half of one"
    assert heard([silence(1)]).lost_s > 2, "everything"


def test_what_is_said_twice_is_noticed():
    pieces = said("neutral", "own", "own")
    assert heard([*pieces[:3], clause(0, "own"), *pieces[3:]]).doubled_s > 0.3, "in two voices"
    again = heard([*pieces, *said("neutral")])
    assert again.out_of_order or again.doubled_s > 0.3


def test_what_is_in_the_wrong_order_or_none_of_it_is_noticed():
    a, b, c = clause(0, "own"), clause(1, "own"), clause(2, "own")
    assert heard([b, a, c]).out_of_order
    stranger = to_int16(0.3 * np.sin(np.arange(PLAYOUT_RATE) / PLAYOUT_RATE * 2 * np.pi * 200))
    assert heard([a, stranger.astype(np.int16), b, c]).foreign > 40


def test_gaps_beyond_the_pause_between_clauses_are_measured_and_told_apart():
    pieces = said("neutral", "own", "own")
    late = heard([*pieces[:3], silence(0.2), *pieces[3:5], silence(0.3), *pieces[5:]])
    assert late.change_gaps == [pytest.approx(0.2, abs=0.04)]
    assert late.other_gaps == [pytest.approx(0.3, abs=0.04)]
