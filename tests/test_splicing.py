"""From one voice into another in the middle of a sentence: every place of it is heard once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooms.playout import FRAME, RATE, Playout
from rooms.splicing import FADE, splice

LOW, SPAN = 4000, 8000


def said(seconds: float, lead: float = 0.0, tail: float = 0.0) -> np.ndarray:
    """A clause in which each sample tells its place: from LOW at its beginning to LOW + SPAN."""
    place = np.linspace(LOW, LOW + SPAN, int(seconds * RATE))
    return np.concatenate([np.zeros(int(lead * RATE)), place, np.zeros(int(tail * RATE))]).astype(
        np.int16
    )


def places(sound: np.ndarray) -> np.ndarray:
    """0 … 1 for each sample of ``said``; NaN for silence."""
    values = sound.astype(float)
    return np.where(values < LOW - 1, np.nan, (values - LOW) / SPAN)


def check_said_once(told: np.ndarray, shortest: float) -> None:
    """The places of a clause: from its beginning to its end in one go, none twice."""
    astray = 0.14 / shortest
    assert told[0] <= 0.001 and told[-1] >= 0.999, "from its first place to its last"
    assert (np.maximum.accumulate(told) - told).max() <= astray, "nothing is said twice"
    assert np.diff(told).max() <= astray, "nothing is left out"


@pytest.fixture
def hard_cuts(monkeypatch):
    """Where two voices sound at once, no sample tells one place."""
    monkeypatch.setattr("rooms.splicing._faded", lambda old, new: new)


lengths = st.floats(0.8, 3.0)


@settings(max_examples=80, deadline=None)
@given(old_s=lengths, ratio=st.floats(0.6, 1.7), at=st.floats(0.02, 0.95),
       lead=st.floats(0, 0.15), tail=st.floats(0, 0.3))  # fmt: skip
def test_a_clause_is_left_and_entered_at_the_same_place(old_s, ratio, at, lead, tail):
    old, new = said(old_s, lead, tail), said(old_s * ratio, tail / 2, lead)
    heard = int(at * len(old))
    found = splice(old, heard, new)
    if found is None:
        assert (len(old) - heard) / RATE - tail < 0.5 or ratio * old_s < 0.5
        return
    assert found.leave >= heard, "what was heard is heard"
    left, entered = places(old)[found.leave], places(new)[found.entered]
    if np.isnan(left) or np.isnan(entered):
        return  # in the silence before
    assert abs(left - entered) * old_s * max(1.0, ratio) <= 0.14
    assert (found.leave - heard) / RATE <= 0.42
    assert len(found.rest) == len(new) - found.entered


def test_where_there_is_a_pause_near_it_changes_in_the_pause():
    quiet = np.zeros(int(0.08 * RATE), np.int16)
    old = np.concatenate([said(1.0), quiet, said(1.0)])
    new = np.concatenate([said(1.3), quiet, said(1.3)])
    found = splice(old, int(0.85 * RATE), new)
    assert found is not None
    assert 1.0 <= found.leave / RATE <= 1.06 and 1.3 <= found.entered / RATE <= 1.36


def test_the_change_is_no_louder_and_no_softer():
    rng = np.random.default_rng(1)
    old, new = ((rng.standard_normal(2 * RATE) * 4000).astype(np.int16) for _ in range(2))
    found = splice(old, RATE // 2, new)
    assert found is not None
    fade = found.rest[:FADE].astype(float)
    assert np.sqrt(np.mean(fade**2)) == pytest.approx(4000, rel=0.1)


def test_what_is_almost_said_is_said_to_its_end():
    assert splice(said(2.0), int(1.8 * RATE), said(2.0)) is None
    assert splice(said(2.0), RATE, np.zeros(2 * RATE, np.int16)) is None, "nothing to change to"


# --- through a listener's playout ------------------------------------------------------------


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_promise_1_each_place_once_whatever_arrives_when(hard_cuts, data):
    """Clauses come in the neutral voice and in the own one, or only in one of them, at any time."""
    count = data.draw(st.integers(1, 4))
    lengths = [data.draw(st.floats(0.4, 1.6)) for _ in range(count)]
    ratios = [data.draw(st.floats(0.7, 1.4)) for _ in range(count)]
    broken = data.draw(st.integers(0, count))
    """own clauses that arrive"""
    own_at, now = [], data.draw(st.integers(0, 60))
    for _ in range(broken):
        own_at.append(now)
        now += data.draw(st.integers(0, 50))
    states: list[str] = []
    playout = Playout(lambda _, state: states.append(state), lag_budget=60, original_level=0.0)
    playout.open("a", 1.0)
    given_ = own = 0
    heard = []
    for tick in range(round((sum(lengths) * 1.5 + 3) * RATE / FRAME)):
        while own < broken and own_at[own] <= tick and own <= given_:
            sound = said(lengths[own] * ratios[own])
            if own == given_:
                playout.add("a", sound, own == count - 1, own, True)
                given_ += 1
            else:
                playout.replace("a", own, sound)
            own += 1
        if given_ < count and playout.backlog < 0.5:
            playout.add("a", said(lengths[given_]), given_ == count - 1, given_, False)
            given_ += 1
        heard.append(playout.next_frame())
    sound = np.concatenate(heard)
    told = places(sound)
    loud = np.flatnonzero(~np.isnan(told))
    assert np.diff(loud).max(initial=1) / RATE <= 0.06, "no silence in the sentence"
    told = told[loud[0] : loud[-1] + 1]
    begins = np.flatnonzero(np.diff(told) < -0.6)
    assert len(begins) == count - 1, "each clause once"
    for clause, length, ratio in zip(np.split(told, begins + 1), lengths, ratios, strict=True):
        check_said_once(clause, min(length, length * ratio))
    assert states[-1] == "played" and states.count("skipped") == 0
    assert states[0] == ("own_voice" if own_at[:1] == [0] else "playing")
