"""The colours of people, as the style sheets have them: told apart by every kind of eye, readable,
and the same everywhere."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bench import palette
from rooms.room import COLORS

THEME = pytest.mark.parametrize("theme", palette.THEMES)


@THEME
def test_every_two_colours_differ_for_every_kind_of_eye(theme: str) -> None:
    linear = palette.parse(palette.of_the_phone_page()[theme])
    firsts = palette.least_among_first(palette.differences(linear))
    among = dict(enumerate(firsts, 2))
    assert among[2] >= 20
    assert among[4] >= 14
    assert among[6] >= 13
    assert among[palette.COUNT] >= 8.5
    all_cones = palette.lab(linear)
    alike = palette.ciede2000(all_cones[:, None], all_cones[None])
    assert palette.least_among_first(alike)[-1] >= 12


@THEME
def test_names_are_readable_on_every_ground(theme: str) -> None:
    linear = palette.parse(palette.of_the_phone_page()[theme])
    assert palette.contrasts(linear, theme).min() >= palette.LEAST_CONTRAST


def test_the_grounds_are_those_of_the_page() -> None:
    text = (palette.WEB / "base.css").read_text("utf-8")
    found = re.findall(r"--bg: (#\w+);\s+--surface: (#\w+);", text)
    assert found == [palette.GROUNDS[theme] for theme in palette.THEMES]
    css = (palette.WEB / "room.css").read_text("utf-8")
    playing = re.search(r"\.caption\.playing \{ background: color-mix\(.*?(\d+)%", css)
    assert playing and int(playing[1]) == round(palette.PLAYING * 100)


def test_everybody_has_the_same_colour_on_every_page() -> None:
    phone = palette.of_the_phone_page()
    assert palette.of_the_host_page() == phone
    assert {len(phone[theme]) for theme in palette.THEMES} == {COLORS} == {palette.COUNT}
    for name in ("roster.js", "caption-view.js"):
        assert f"color % {COLORS}" in (palette.WEB / name).read_text("utf-8")


def test_a_colour_keeps_its_hue_in_the_dark() -> None:
    """ "The purple one" is purple on every phone."""
    phone = palette.of_the_phone_page()
    views = [palette.lab(palette.parse(phone[theme])) for theme in palette.THEMES]
    light, dark = (np.degrees(np.arctan2(view[:, 2], view[:, 1])) for view in views)
    assert np.abs((light - dark + 180) % 360 - 180).max() <= 45


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_differences_are_those_of_the_standard(
    one: tuple[float, ...], other: tuple[float, ...], difference: float
) -> None:
    """Pairs published by Sharma, Wu and Dalal."""
    assert palette.ciede2000(np.array(one), np.array(other)) == pytest.approx(difference, abs=1e-4)


def test_eyes_without_a_cone_confuse_what_they_are_known_to_confuse() -> None:
    def seen_by(eyes: str, *colours: str) -> float:
        views = palette.lab(palette.seen(palette.parse(list(colours))))
        view = views[palette.EYES.index(eyes)]
        return float(palette.ciede2000(view[0], view[1]))

    green_and_brown = ("#4c6500", "#7e4f04")
    assert seen_by("all cones", *green_and_brown) > 2 * seen_by("no green", *green_and_brown)
    assert seen_by("no blue", "#00a080", "#0090c0") < seen_by("all cones", "#00a080", "#0090c0")
    assert seen_by("no red", "#ffffff", "#000000") == pytest.approx(100, abs=1)
