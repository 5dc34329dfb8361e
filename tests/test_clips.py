"""Listeners who take translations whole: order, what comes twice, what never comes."""

from __future__ import annotations

import numpy as np
import pytest

from rooms.clips import Clip, Clips
from rooms.playout import RATE


class Listener:
    def __init__(self, follows: bool = False) -> None:
        self.now = 0.0
        self.given: list[Clip] = []
        self.states: list[tuple[str, str]] = []
        self.clips = Clips(
            self.given.append, lambda track, state: self.states.append((track, state)),
            lambda: self.now, lambda track: follows, lag_budget=12.0, original_level=0.2,
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        return [clip.track for clip in self.given]


def sound(seconds: float, value: int = 1) -> np.ndarray:
    return np.full(int(seconds * RATE), value, np.int16)


def test_a_clip_is_given_when_it_is_whole():
    there = Listener()
    there.clips.open("a", 1.0)
    there.clips.add("a", sound(0.5, 1), False, 0, voice="en-0")
    assert not there.given and there.clips.expects("a")
    there.clips.add("a", sound(0.25, 2), True, 1, voice="en-0")
    (clip,) = there.given
    assert (clip.voice, clip.own, clip.own_follows, clip.again) == ("en-0", False, False, False)
    assert len(clip.samples) == 0.75 * RATE and list(np.unique(clip.samples)) == [1, 2]
    assert there.states == [("a", "playing"), ("a", "played")]
    there.clips.finish("a")
    assert not there.clips.expects("a") and len(there.given) == 1


def test_what_was_said_first_is_given_first():
    there = Listener()
    there.clips.open("a", 1.0)
    there.clips.open("b", 2.0)
    there.clips.add("a", sound(0.5), False, 0)
    there.clips.add("b", sound(0.5), True, 0)
    there.now = 10.0
    there.clips.look()
    assert not there.given, "what grows is waited for"
    there.clips.add("a", sound(0.5), True, 1)
    assert there.names == ["a", "b"]
    assert [clip.starts_in for clip in there.given] == [0.0, 1.0]


@pytest.mark.parametrize("grows, patience", [(False, 1.5), (True, 15.0)])
def test_what_does_not_come_is_not_waited_for_long(grows, patience):
    there = Listener()
    there.clips.open("a", 1.0)
    there.clips.open("b", 2.0)
    if grows:
        there.clips.add("a", sound(0.5), False, 0)
    there.clips.add("b", sound(0.5), True, 0)
    there.now = patience - 0.1
    there.clips.look()
    assert not there.given
    there.now = patience + 0.1
    there.clips.look()
    assert there.names == ["b"]
    there.now = 31.0
    there.clips.look()
    assert there.names == ["b", "a"], "its text has to be told even so"
    assert len(there.given[1].samples) == (RATE // 2 if grows else 0)
    assert not there.clips.expects("a")


def test_what_failed_is_given_without_sound():
    there = Listener()
    there.clips.open("a", 1.0)
    there.clips.finish("a")
    assert len(there.given[0].samples) == 0 and there.states == [("a", "skipped")]


def test_the_own_voice_is_given_again_when_it_is_whole():
    there = Listener(follows=True)
    there.clips.open("a", 1.0)
    there.clips.add("a", sound(0.5, 1), False, 0, voice="en-0")
    there.clips.add("a", sound(0.5, 2), True, 1, voice="en-0")
    assert there.given[0].own_follows and there.clips.expects("a")
    there.clips.replace("a", 0, sound(0.4, 8), "own")
    assert len(there.given) == 1
    there.clips.replace("a", 1, sound(0.6, 9), "own")
    again = there.given[1]
    assert (again.again, again.own, again.voice) == (True, True, "own")
    assert list(np.unique(again.samples)) == [8, 9] and len(again.samples) == RATE
    there.clips.finish("a")
    assert len(there.given) == 2
    assert there.states[-2:] == [("a", "own_voice"), ("a", "played")]


def test_an_own_voice_that_breaks_off_or_never_comes_is_told():
    there = Listener(follows=True)
    for name in ("a", "b"):
        there.clips.open(name, 1.0)
        there.clips.add(name, sound(0.5, 1), False, 0, voice="en-0")
        there.clips.add(name, sound(0.5, 2), True, 1, voice="en-0")
    there.clips.replace("a", 0, sound(0.4, 8), "own")
    there.clips.finish("a")
    there.clips.finish("b")
    broken, nothing = there.given[2:]
    assert broken.again and list(np.unique(broken.samples)) == [2, 8]
    assert nothing.again and not nothing.own and len(nothing.samples) == 0


def test_an_own_voice_in_time_is_part_of_the_clip():
    there = Listener(follows=True)
    there.clips.open("a", 1.0)
    there.clips.add("a", sound(0.5, 1), False, 0, voice="en-0")
    there.clips.replace("a", 0, sound(0.5, 8), "own")
    there.clips.add("a", sound(0.5, 9), True, 1, own=True, voice="own")
    (clip,) = there.given
    assert (clip.voice, clip.own, clip.own_follows) == ("own", True, False)


def test_who_is_behind_is_told_faster():
    there = Listener()
    assert there.clips.pace == 1.0
    for number in range(2):
        there.clips.open(str(number), number)
        there.clips.add(str(number), sound(2.5), True, 0)
    assert there.clips.backlog == 5.0 and there.clips.pace == 1.25
    there.now = 2.5
    assert there.clips.pace == 1.12 and there.clips.ahead("2") == 2.5
    there.now = 60.0
    assert there.clips.lag == 0.0


def test_what_waits_is_bounded():
    there = Listener()
    for number in range(200):
        there.clips.open(str(number), number)
    assert len(there.clips._tracks) <= 64
    assert there.names[:3] == ["0", "1", "2"], "their text is told without sound"
